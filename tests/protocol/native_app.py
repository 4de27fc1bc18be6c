"""An application of the tenant's own that signs people in itself, as its developer would write it."""

from dataclasses import dataclass, field
from typing import Any

from werkzeug.test import TestResponse

from app.domain import users
from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import CHALLENGE, PASSWORD, VERIFIER, new_public_client
from tests.protocol.prover import Prover

PATH = "/authorization_challenge"
AGENT = "Example/1.0 (Android 16; Pixel 11)"


def new_app(services: Services, tenant: TenantContext, client_id: str = "native", **metadata: Any) -> str:
    """Register one."""
    said = {
        "redirect_uris": ["com.example.app:/cb"],
        "application_type": "native",
        "first_party": True,
        "authorization_challenge": True,
        **metadata,
    }
    return new_public_client(services, tenant, client_id, **said)


@dataclass
class NativeApp:
    """It on one telephone. Keeps what it is told to keep."""

    http: Http
    client_id: str = "native"
    address: str = "127.0.0.1"
    prover: Prover | None = None
    auth_session: str | None = None
    device: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def asked(self, **changes: Any) -> dict[str, Any]:
        """The parameters of an authorization request; None takes one out."""
        parameters = {
            "response_type": "code",
            "scope": "openid profile",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in parameters.items() if value is not None}

    def begin(self, **changes: Any) -> TestResponse:
        """An authorization request, with whatever goes along."""
        return self.send(**self.asked(**changes))

    def send(self, *, prover: Prover | None = None, **form: Any) -> TestResponse:
        """One request, with the auth session of the last answer; keeps the next one."""
        said = {"client_id": self.client_id, "auth_session": self.auth_session, "device": self.device, **form}
        prover = prover or self.prover
        headers = {"User-Agent": AGENT, **self.headers, **(prover.header(PATH) if prover else {})}
        answer = self.http.post(
            PATH,
            form={name: value for name, value in said.items() if value is not None},
            headers=headers,
            environ_base={"REMOTE_ADDR": self.address},
        )
        if answer.is_json and answer.json is not None:
            self.auth_session = answer.json.get("auth_session", self.auth_session)
            self.device = answer.json.get("device", self.device)
        return answer

    def password(self, username: str = "alice", password: str = PASSWORD, **more: Any) -> TestResponse:
        """Show name and password."""
        return self.send(username=username, password=password, **more)

    def sign_in(self, username: str = "alice", password: str = PASSWORD, **changes: Any) -> TestResponse:
        """A request with name and password in one."""
        return self.begin(username=username, password=password, **changes)

    def redeem(self, answer: TestResponse, **changes: Any) -> TestResponse:
        """The code of an answer at the token endpoint."""
        assert answer.status_code == 200, answer.text
        form = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "code": answer.json["authorization_code"],
            "code_verifier": VERIFIER,
            **changes,
        }
        return self.http.post("/token", form=form, headers=self.prover.header() if self.prover else {})

    def tokens(self, answer: TestResponse) -> dict[str, Any]:
        """The tokens of an answer."""
        redeemed = self.redeem(answer)
        assert redeemed.status_code == 200, redeemed.text
        found: dict[str, Any] = redeemed.json
        return found


def more(answer: TestResponse) -> dict[str, Any]:
    """What an answer says that the person has to show."""
    assert answer.status_code == 403, answer.text
    assert answer.json["error"] == "insufficient_authorization", answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = answer.json
    return found


def web(answer: TestResponse) -> dict[str, Any]:
    """What an answer says that sends the person to a browser."""
    assert answer.status_code == 403, answer.text
    assert answer.json["error"] == "redirect_to_web", answer.text
    found: dict[str, Any] = answer.json
    return found


def confirm_mailbox(services: Services, tenant: TenantContext, username: str = "alice") -> None:
    """Have somebody's address confirmed."""
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, username)
        assert user is not None
        user.email_verified = True
