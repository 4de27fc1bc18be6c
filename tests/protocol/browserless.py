"""A browser without a screen: walks the hosted pages the way a person does, for protocol tests."""

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from app.domain import clients, users
from app.domain.models import Group, UserGroup
from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.authenticator_app import AuthenticatorApp

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

PASSWORD = "correct-horse-battery"
REDIRECT_URI = "https://app.example/cb"
VERIFIER = "v" * 43
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"


def new_person(
    services: Services, tenant: TenantContext, username: str = "alice", *, groups: tuple[str, ...] = ()
) -> str:
    """Somebody who can sign in. Gives the id."""
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.create(
            session,
            username=username,
            email=f"{username}@example.com",
            password_hash=services.passwords.hash(PASSWORD),
            claims={"name": username.title()},
        )
        for name in groups:
            group = Group(name=name)
            session.add(group)
            session.flush()
            session.add(UserGroup(user_id=user.id, group_id=group.id))
        return user.id


def new_public_client(
    services: Services, tenant: TenantContext, client_id: str = "app", **metadata: Any
) -> str:
    """A public client for the code flow."""
    said = {
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        "scope": "openid profile email offline_access read write pay",
        "client_name": "Example App",
        **metadata,
    }
    with services.tenancy.session(tenant.id, write=True) as session:
        clients.create(session, client_id, said)
    services.versions.touch()
    return client_id


def request(client_id: str = "app", **changes: Any) -> dict[str, Any]:
    """The parameters of a good authorization request; None takes one out."""
    parameters = {
        "client_id": client_id,
        "redirect_uri": REDIRECT_URI,
        "response_type": "code",
        "scope": "openid profile",
        "state": "state-1",
        "nonce": "nonce-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    return {name: value for name, value in parameters.items() if value is not None}


@dataclass(frozen=True)
class Answer:
    """An authorization response on its way to the client."""

    target: str
    parameters: dict[str, str]
    mode: str


def answer_of(response: "TestResponse") -> Answer:
    """The answer a response carries: by redirect, by a page that goes on, or by a form."""
    if response.status_code == 303:
        return _query(response.headers["Location"])
    assert response.status_code == 200, (response.status, response.text)
    if found := re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', response.text):
        return _query(html.unescape(found[1]))
    form = re.search(r'id="form-post" method="post" action="([^"]+)"', response.text)
    assert form, response.text
    fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', response.text)
    return Answer(html.unescape(form[1]), {n: html.unescape(v) for n, v in fields}, "form_post")


def _query(target: str) -> Answer:
    parts = urlsplit(target)
    pairs = parse_qsl(parts.fragment or parts.query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), f"a parameter is given twice in {target}"
    return Answer(target, dict(pairs), "fragment" if parts.fragment else "query")


def token_of(response: "TestResponse") -> str:
    """The form token of a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', response.text)
    assert found, response.text
    return found[1]


def consent_form(page: "TestResponse") -> dict[str, str]:
    """What the consent page sends when its button is pressed to allow."""
    found = re.search(r'name="session" value="([^"]+)"', page.text)
    assert found, page.text
    token = token_of(page)
    return {"csrf_token": token, "step": "consent", "answer": "allow", "session": found[1]}


class Person:
    """Somebody at a browser."""

    def __init__(self, http: "Http", username: str = "alice", password: str = PASSWORD) -> None:
        self.http = http
        self.username = username
        self.password = password
        self.app = AuthenticatorApp()
        self.recovery_codes: list[str] = []

    def follow(self, response: "TestResponse") -> "TestResponse":
        """Follow redirects as long as they lead to our own pages."""
        while response.status_code == 303 and response.headers["Location"].startswith("/"):
            self.at = response.headers["Location"]
            response = self.http.get(self.at, raw=True)
        return response

    def authorize(self, client_id: str = "app", **changes: Any) -> "TestResponse":
        """Open the authorization endpoint; gives the first page, or the answer."""
        return self.follow(self.http.get("/authorize", query=request(client_id, **changes)))

    def step(self, page: "TestResponse", **form: str) -> "TestResponse":
        """Send the form of an interaction page."""
        return self.follow(self.http.post(self.at, raw=True, form={"csrf_token": token_of(page), **form}))

    def sign_in(self, page: "TestResponse", **changes: str) -> "TestResponse":
        """Fill in the sign-in page."""
        form = {"step": "sign-in", "username": self.username, "password": self.password, **changes}
        return self.step(page, **form)

    def enrol(self, page: "TestResponse", **changes: str) -> "TestResponse":
        """Add an authenticator app where the page asks for a second factor; gives the page with recovery codes."""
        if 'id="way-totp"' in page.text:
            page = self.view("totp")
        self.app.scan(page.text)
        return self.step(page, step="enrol", way="totp", **{"code": self.app.code(), **changes})

    def save_codes(self, page: "TestResponse") -> "TestResponse":
        """Write the recovery codes down and go on."""
        self.recovery_codes = re.findall(r"<code>([A-Z2-9]{4}(?:-[A-Z2-9]{4}){2})</code>", page.text)
        assert len(self.recovery_codes) == 10, page.text
        return self.step(page, step="recovery-codes", answer="saved")

    def view(self, way: str) -> "TestResponse":
        """Another view of the page at hand."""
        return self.http.get(self.at.partition("?")[0], raw=True, query={"way": way})

    def second(self, page: "TestResponse", way: str = "totp", **changes: str) -> "TestResponse":
        """Show a second factor."""
        if "code" not in changes:
            changes["code"] = self.recovery_codes.pop() if way == "recovery" else self.app.code()
        return self.step(page, step="factor", way=way, **changes)

    def allow(self, page: "TestResponse") -> "TestResponse":
        """Allow access."""
        return self.step(page, **consent_form(page))

    def through(self, client_id: str = "app", **changes: Any) -> Answer:
        """Whatever pages come, sign in and allow."""
        response = self.authorize(client_id, **changes)
        for _ in range(8):
            if 'id="sign-in"' in response.text:
                response = self.sign_in(response)
            elif 'value="enrol"' in response.text or 'id="way-totp"' in response.text:
                response = self.enrol(response)
            elif 'value="recovery-codes"' in response.text:
                response = self.save_codes(response)
            elif 'value="factor"' in response.text:
                response = self.second(response)
            elif 'id="allow"' in response.text:
                response = self.allow(response)
            else:
                break
        return answer_of(response)

    def tokens(self, client_id: str = "app", **changes: Any) -> dict[str, Any]:
        """Go through it and redeem the code."""
        answer = self.through(client_id, **changes)
        form = {
            "grant_type": "authorization_code",
            "code": answer.parameters["code"],
            "client_id": client_id,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
        }
        response = self.http.post("/token", form=form)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json
        return found
