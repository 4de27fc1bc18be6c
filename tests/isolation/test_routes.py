"""Every route there is, as tenant B with what tenant A's people, clients and browsers hold.

A route without a row in `ROUTES` fails the suite.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyotp
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.domain import admin_links, initial_tokens, invitations, one_time_links, tenants
from app.domain.client_metadata import DEVICE_CODE
from app.domain.models import Authenticator, Consent, Grant, MailboxMessage, Role
from app.domain.tenants import TenantContext
from app.infra import outbox
from app.infra.outbox import DeliveryFailed
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.web.brand_preview import make_link
from app.web.endpoints import EDGE, ENDPOINTS
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol import browserless, parties
from tests.protocol.browserless import REDIRECT_URI, VERIFIER, Person
from tests.protocol.native_app import NativeApp, new_app
from tests.protocol.parties import Party

SCOPES = "watchword:read watchword:admin watchword:account:write"
TWIN = "app"
"""A client id both tenants use: nothing but the tenant tells the two clients apart."""
MARK = "only-in-a"
"""What is found in tenant A's names and nowhere else."""


@dataclass
class Side:
    """A tenant: an administrator, a signed-in browser, and clients."""

    services: Services
    app: Flask
    tenant: TenantContext
    username: str
    user_id: str
    admin_token: str
    svc: Party
    http: Http
    person: Person

    def fresh(self) -> Http:
        return Http(self.app, self.tenant)


@dataclass
class World:
    """Two tenants, and what was stolen from A."""

    a: Side
    b: Side
    tokens: dict[str, Any]
    consent_id: str
    lasting: dict[str, str]
    """A grant no consent stands for, and what it is refreshed with."""
    dead_letter_id: int
    admin_link: str
    logout_handle: str
    factor_id: str

    @property
    def interaction_id(self) -> str:
        """A new one of A's browser, at its page: it lives for ten minutes, the world longer."""
        waiting = self.a.http.get("/authorize", query=browserless.request(TWIN, prompt="login"))
        self.a.http.get(waiting.headers["Location"], raw=True)
        return waiting.headers["Location"].rpartition("/")[2]

    @property
    def session_id(self) -> str:
        """The session of A's browser."""
        name = f"ww-{self.a.tenant.id}"
        cookies = self.a.http.client._cookies.values()  # type: ignore[attr-defined]
        found: str = next(cookie.value for cookie in cookies if cookie.key == name)
        return found.partition(".")[0]

    def thief(self) -> Http:
        """A browser at B with every cookie of A's browser, under A's names and under B's."""
        http = self.b.fresh()
        for cookie in self.a.http.client._cookies.values():  # type: ignore[attr-defined]
            for name in (cookie.key, cookie.key.replace(self.a.tenant.id, self.b.tenant.id)):
                http.client.set_cookie(name, cookie.value, domain="localhost")
        return http

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.a.admin_token}"}

    def code(self) -> dict[str, str]:
        """A new code of A's person, as the form that redeems it."""
        code = self.a.person.through().parameters["code"]
        form = {"grant_type": "authorization_code", "code": code, "client_id": TWIN}
        return {**form, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}

    def is_signed_in_at_a(self) -> bool:
        return self.a.username in self.a.http.get("/account").text


def make_side(services: Services, app: Flask, mark: str) -> Side:
    tenant = new_tenant(services, f"{mark}-{secrets.token_hex(4)}")
    browserless.new_public_client(services, tenant, TWIN, client_name=f"App {mark}")
    username = f"{mark}-{secrets.token_hex(4)}"
    user_id = browserless.new_person(services, tenant, username)
    svc = parties.new_client(
        services, tenant, client_id=f"svc-{mark}", scope=f"openid {SCOPES}", client_name=f"Service {mark}"
    )
    admin = parties.new_user(services, tenant, role="admin")
    http = Http(app, tenant)
    code = parties.new_code(
        services, tenant, svc, admin, f"openid {SCOPES}", resources=(tenant.issuer,), **parties.TWO_FACTORS
    )
    answer = http.post("/token", form=code.form(), headers=svc.basic)
    assert answer.status_code == 200, answer.text
    token = answer.json["access_token"]
    return Side(services, app, tenant, username, user_id, token, svc, http, Person(http, username))


@pytest.fixture(scope="module")
def world(_shared_services: Services) -> World:
    from app import create_app

    services = _shared_services
    app = create_app(services.settings, services=services)
    a, b = make_side(services, app, MARK), make_side(services, app, "other")
    tokens = a.person.tokens(scope="openid profile offline_access")
    b.person.tokens()
    with services.tenancy.session(a.tenant.id, write=True) as session:
        factor = Authenticator(user_id=a.user_id, kind="totp", name=MARK, confirmed_at=clock.now())
        session.add(factor)
        session.flush()
        factor_id = factor.id
        session.add(MailboxMessage(recipient=MARK, subject=MARK, text=MARK, html=MARK))
        outbox.put(session, "news", secrets.token_hex(4), {"said": MARK})
        link = admin_links.create(session, recover=True)
        consents = session.query(Consent).filter_by(user_id=a.user_id).all()
    lasting = new_lasting(a)
    claim = next(c for c in services.outbox.claim(a.tenant.id) if c.topic == "news")
    services.outbox.failed(claim, DeliveryFailed(MARK, permanent=True))
    posted = a.http.post("/logout", form={"client_id": TWIN})
    return World(
        a,
        b,
        tokens,
        consent_id=consents[0].id,
        lasting=lasting,
        dead_letter_id=claim.id,
        admin_link=link,
        logout_handle=posted.headers["Location"].rpartition("/")[2],
        factor_id=factor_id,
    )


def new_lasting(side: Side) -> dict[str, str]:
    """An application of the tenant's own that stays signed in."""
    own = browserless.new_public_client(side.services, side.tenant, "own", first_party=True)
    tokens = side.person.tokens(own, scope="openid offline_access")
    with side.services.tenancy.session(side.tenant.id) as session:
        found = session.query(Grant).filter_by(user_id=side.user_id, client_id=own).one()
        return {"grant_id": found.id, "refresh_token": tokens["refresh_token"]}


def stays_signed_in(world: World) -> bool:
    """Whether A's application still gets tokens."""
    form = {
        "grant_type": "refresh_token",
        "client_id": "own",
        "refresh_token": world.lasting["refresh_token"],
    }
    answer = world.a.fresh().post("/token", form=form)
    world.lasting["refresh_token"] = answer.json.get("refresh_token", "")
    return answer.status_code == 200


def discovery(world: World, path: str) -> list[TestResponse]:
    thief = world.thief()
    prefix = world.b.tenant.path
    answers = [thief.get(path), thief.get(path + prefix, raw=True)]
    for answer in answers:
        assert answer.json["issuer"] == world.b.tenant.issuer
        assert world.a.tenant.slug not in answer.text
    return answers


def jwks(world: World) -> list[TestResponse]:
    theirs, ours = world.a.http.get("/jwks").json["keys"], world.b.fresh().get("/jwks").json["keys"]
    assert theirs
    assert ours
    assert not {key["kid"] for key in theirs} & {key["kid"] for key in ours}
    return [world.thief().get("/jwks")]


def authorize(world: World) -> list[TestResponse]:
    """A's session is none at B, even for the client of the same name; A's own client is unknown."""
    silent = world.thief().get("/authorize", query=browserless.request(TWIN, prompt="none"))
    assert browserless.answer_of(silent).parameters["error"] == "login_required"
    unknown = world.thief().get("/authorize", query=browserless.request(world.a.svc.client_id))
    assert unknown.status_code == 400
    hint = browserless.request(TWIN, prompt="none", id_token_hint=world.tokens["id_token"])
    hinted = world.thief().get("/authorize", query=hint)
    assert "code=" not in hinted.headers.get("Location", "")
    return [unknown]


def par(world: World) -> list[TestResponse]:
    """A's client is nobody at B, and what A pushed is unknown there, even to the client of the same name."""
    stolen = world.thief().post("/par", form=browserless.request(TWIN), headers=world.a.svc.basic)
    assert stolen.status_code == 400  # TWIN is public: two clients in one request
    foreign = world.thief().post("/par", form={"response_type": "code"}, headers=world.a.svc.basic)
    assert foreign.status_code == 401
    pushed = world.a.fresh().post("/par", form=browserless.request(TWIN))
    assert pushed.status_code == 201
    query = {"client_id": TWIN, "request_uri": pushed.json["request_uri"]}
    unknown = world.thief().get("/authorize", query=query)
    assert unknown.status_code == 400
    assert world.a.fresh().get("/authorize", query=query).status_code == 303
    return [stolen, foreign, unknown]


def authorization_challenge(world: World) -> list[TestResponse]:
    """A's person, auth session and device are nobody's and nothing at B, even at the application of the same name."""
    client_id = f"native-{secrets.token_hex(4)}"
    for side in (world.a, world.b):
        new_app(side.services, side.tenant, client_id)
    username = f"{MARK}-{secrets.token_hex(4)}"
    browserless.new_person(world.a.services, world.a.tenant, username)
    native = NativeApp(world.a.fresh(), client_id)
    begun = native.begin()
    stolen = NativeApp(world.thief(), client_id, auth_session=native.auth_session).password(username)
    assert stolen.json["error"] == "invalid_session"
    answer = native.password(username)
    assert answer.status_code == 200, answer.text
    thief = NativeApp(world.thief(), client_id, device=native.device)
    foreign = thief.sign_in(username)
    assert foreign.json["failed"] == "password"
    signed_in = NativeApp(world.thief(), client_id, auth_session=native.auth_session).begin()
    assert signed_in.json["error"] == "invalid_session"
    assert NativeApp(world.thief(), client_id).redeem(answer).json["error"] == "invalid_grant"
    assert native.begin().status_code == 200
    assert begun.status_code == 403
    return [stolen, foreign, signed_in]


def confirm_factor(world: World) -> list[TestResponse]:
    """What is being added at A is nobody's at B."""
    begun = world.a.fresh().post("/api/v1/me/factors", json={"kind": "totp"}, headers=world.bearer())
    assert begun.status_code == 202, begun.text
    path = f"/api/v1/me/factors/{begun.json['id']}/confirmation"
    code = {"code": pyotp.TOTP(begun.json["secret"]).now()}
    own = {"Authorization": f"Bearer {world.b.admin_token}"}
    answers = [world.thief().post(path, json=code, headers=headers) for headers in (world.bearer(), own)]
    assert [answer.status_code for answer in answers] == [401, 404]
    assert world.a.fresh().post(path, json={"code": "0"}, headers=world.bearer()).status_code == 400
    return answers


def waiting_device(world: World) -> tuple[str, dict[str, Any]]:
    """A device that waits at A, of a client both tenants have."""
    client_id = f"tv-{secrets.token_hex(4)}"
    for side in (world.a, world.b):
        browserless.new_public_client(
            side.services, side.tenant, client_id, grant_types=[DEVICE_CODE], redirect_uris=[]
        )
    answer = world.a.fresh().post("/device_authorization", form={"client_id": client_id, "scope": "openid"})
    assert answer.status_code == 200, answer.text
    return client_id, answer.json


def device_authorization(world: World) -> list[TestResponse]:
    """A's client is nobody at B, and what waits at A is unknown there, even to the client of the same name."""
    client_id, found = waiting_device(world)
    stolen = world.thief().post("/device_authorization", form={"scope": "openid"}, headers=world.a.svc.basic)
    assert stolen.status_code == 401
    form = {"grant_type": DEVICE_CODE, "device_code": found["device_code"], "client_id": client_id}
    polled = world.thief().post("/token", form=form)
    assert polled.json["error"] == "invalid_grant"
    assert world.a.fresh().post("/token", form=form).json["error"] == "authorization_pending"
    return [stolen, polled]


def client_registration(world: World) -> list[TestResponse]:
    """A's initial access token registers nothing at B, and has lost nothing by the attempt."""
    token = initial_token(world.a)
    said, headers = {"redirect_uris": [REDIRECT_URI]}, {"Authorization": f"Bearer {token}"}
    let_clients_register(world)
    stolen = world.thief().post("/register", json=said, headers=headers)
    assert stolen.status_code == 401
    assert world.a.fresh().post("/register", json=said, headers=headers).status_code == 201
    return [stolen]


def client_configuration(world: World) -> list[TestResponse]:
    """A's client and its token are nothing at B, whatever is done with them."""
    let_clients_register(world)
    headers = {"Authorization": f"Bearer {initial_token(world.a)}"}
    made = world.a.fresh().post("/register", json={"redirect_uris": [REDIRECT_URI]}, headers=headers).json
    mine = {"Authorization": f"Bearer {made['registration_access_token']}"}
    path, said = (
        f"/clients/{made['client_id']}",
        {"client_id": made["client_id"], "redirect_uris": [REDIRECT_URI]},
    )
    thief = world.thief()
    answers = [
        thief.get(path, headers=mine),
        thief.request("PUT", path, headers=mine, json=said),
        thief.request("DELETE", path, headers=mine),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert world.a.fresh().get(path, headers=mine).status_code == 200
    return answers


def initial_token(side: Side) -> str:
    """What lets its bearer register one client."""
    pepper = side.services.deployment_secrets.pepper()
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        return initial_tokens.create(session, pepper, name=MARK, max_uses=1, seconds=600, by=None)[1]


def let_clients_register(world: World) -> None:
    """At both tenants, with an initial access token."""
    with world.a.services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        for side in (world.a, world.b):
            row = tenants.find(session, side.tenant.slug)
            assert row is not None
            tenants.update_settings(row, {"registration": {"clients": "token"}})
    world.a.services.versions.touch()


def device(world: World) -> list[TestResponse]:
    """A code of A's leads nowhere at B."""
    _, found = waiting_device(world)
    answer = world.thief().get("/device", query={"user_code": found["user_code"]})
    assert answer.status_code == 400
    assert world.a.fresh().get("/device", query={"user_code": found["user_code"]}).status_code == 303
    return [answer]


def device_page(path: str, **query: str) -> Callable[[World], list[TestResponse]]:
    """What says nothing of anybody."""

    def check(world: World) -> list[TestResponse]:
        answer = world.thief().get(path, query=query)
        assert answer.status_code == 200
        return [answer]

    return check


def token(world: World) -> list[TestResponse]:
    refresh = {
        "grant_type": "refresh_token",
        "refresh_token": world.tokens["refresh_token"],
        "client_id": TWIN,
    }
    code, thief = world.code(), world.thief()
    credentials = {"grant_type": "client_credentials"}
    stolen = thief.post("/token", form=credentials, headers=world.a.svc.basic)
    answers = [thief.post("/token", form=code), thief.post("/token", form=refresh)]
    assert stolen.status_code == 401
    assert [answer.json["error"] for answer in answers] == ["invalid_grant", "invalid_grant"]
    # The attempt has burnt nothing of A's either.
    for form in (code, refresh):
        good = world.a.fresh().post("/token", form=form)
        assert good.status_code == 200, good.text
        world.tokens["refresh_token"] = good.json.get("refresh_token", world.tokens["refresh_token"])
    return [stolen, *answers]


def revoke(world: World) -> list[TestResponse]:
    """RFC 7009 section 2.2: 200 for what is no token here; and it is still good there."""
    for kind in ("access_token", "refresh_token"):
        form = {"token": world.tokens[kind], "client_id": TWIN}
        assert world.thief().post("/revoke", form=form).status_code == 200
    bearer = {"Authorization": f"Bearer {world.tokens['access_token']}"}
    assert world.a.fresh().get("/userinfo", headers=bearer).status_code == 200
    with_a_client = {"token": world.tokens["access_token"]}
    stolen = world.thief().post("/revoke", form=with_a_client, headers=world.a.svc.basic)
    assert stolen.status_code == 401
    return [stolen]


def introspect(world: World) -> list[TestResponse]:
    for stolen in (world.tokens["access_token"], world.tokens["refresh_token"], world.a.admin_token):
        answer = world.thief().post("/introspect", form={"token": stolen}, headers=world.b.svc.basic)
        assert answer.json == {"active": False}
    answer = world.thief().post("/introspect", form={"token": "x"}, headers=world.a.svc.basic)
    assert answer.status_code == 401
    return [answer]


def userinfo(world: World) -> list[TestResponse]:
    bearer = {"Authorization": f"Bearer {world.tokens['access_token']}"}
    assert world.a.fresh().get("/userinfo", headers=bearer).json["sub"] == world.a.user_id
    answer = world.thief().get("/userinfo", headers=bearer)
    assert answer.status_code == 401
    return [answer]


def logout(world: World) -> list[TestResponse]:
    asked = {"id_token_hint": world.tokens["id_token"], "client_id": TWIN}
    answers = [world.thief().get("/logout", query=asked), world.thief().post("/logout", form=asked)]
    assert all("only-in-a" not in answer.headers.get("Location", "") for answer in answers)
    assert world.is_signed_in_at_a()
    return answers


def logout_request(world: World) -> list[TestResponse]:
    answer = world.thief().get(f"/logout/{world.logout_handle}")
    assert answer.status_code == 400
    assert world.is_signed_in_at_a()
    return [answer]


def sign_out(world: World) -> list[TestResponse]:
    answer = world.thief().get("/sign-out")
    assert world.is_signed_in_at_a()
    return [answer]


def signed_in_page(path: str) -> Callable[[World], list[TestResponse]]:
    """To the sign-in page, that is where A's cookies get somebody at B."""

    def ask(world: World) -> list[TestResponse]:
        assert world.a.http.get(path).status_code == 200
        answer = world.thief().get(path)
        assert 'id="sign-in"' in answer.text
        assert world.b.username not in answer.text
        return [answer]

    return ask


def withdraw(world: World) -> list[TestResponse]:
    """Somebody signed in at B, with a form of their own, names A's consent, and A's grant that stands on none."""
    csrf = browserless.token_of(world.b.http.get("/account"))
    form = {"csrf_token": csrf, "step": "withdraw", "consent": world.consent_id}
    answer = world.b.http.post("/account/applications", form=form)
    assert answer.status_code == 404
    with world.a.services.tenancy.session(world.a.tenant.id) as session:
        consent = session.get(Consent, (world.a.tenant.id, world.consent_id))
        assert consent is not None
        assert consent.withdrawn_at is None
    named = {"csrf_token": csrf, "step": "withdraw", "grant": world.lasting["grant_id"]}
    of_grant = world.b.http.post("/account/applications", form=named)
    assert of_grant.status_code == 404
    theirs = browserless.token_of(world.a.http.get("/account"))
    forged = [
        world.thief().post("/account/applications", form={**one, "csrf_token": theirs})
        for one in (form, named)
    ]
    assert all(one.status_code in (303, 400, 403) for one in forged)
    assert stays_signed_in(world)
    return [answer, of_grant, *forged]


def forged(path: str, form: dict[str, str]) -> Callable[[World], list[TestResponse]]:
    """A's cookies and a form of A's page are worth nothing at B."""

    def ask(world: World) -> list[TestResponse]:
        theirs = browserless.token_of(world.a.http.get("/account"))
        answer = world.thief().post(path, form={"csrf_token": theirs, **form})
        assert answer.status_code in (303, 400, 403)
        assert "attachment" not in str(answer.headers)
        return [answer]

    return ask


def end_session(world: World) -> list[TestResponse]:
    """Somebody signed in at B, with a form of their own, names A's session."""
    csrf = browserless.token_of(world.b.http.get("/account"))
    form = {"csrf_token": csrf, "step": "end", "session": world.session_id}
    answer = world.b.http.post("/account/sessions", form=form)
    assert answer.status_code == 404
    assert world.is_signed_in_at_a()
    found = [answer]
    for step in ("end-others", "end-all"):
        found += forged("/account/sessions", {"step": step})(world)
    assert world.is_signed_in_at_a()
    assert stays_signed_in(world)
    return found


def remove_factor(world: World) -> list[TestResponse]:
    """Somebody signed in at B, with a form of their own, names A's authenticator app."""
    csrf = browserless.token_of(world.b.http.get("/account/factors"))
    with world.a.services.tenancy.session(world.a.tenant.id, write=True) as session:
        row = Authenticator(user_id=world.a.user_id, kind="totp", name=MARK, confirmed_at=clock.now())
        session.add(row)
        session.flush()
        target = row.id
    answer = world.b.http.post(
        "/account/factors", form={"csrf_token": csrf, "step": "remove", "target": target}
    )
    assert answer.status_code == 404
    with world.a.services.tenancy.session(world.a.tenant.id, write=True) as session:
        row = session.get_one(Authenticator, (world.a.tenant.id, target))
        session.delete(row)
    return [answer, *forged("/account/factors", {"step": "remove", "target": target})(world)]


def sign_in_link(world: World) -> list[TestResponse]:
    """A link of A's interaction, whatever its secret, is none at B."""
    path = f"/interaction/{world.interaction_id}/email/{'x' * 43}"
    answer = world.thief().get(path)
    assert "Nobody was signed in" in answer.text
    return [answer]


def text_messages(world: World) -> list[TestResponse]:
    """There are none in this deployment, at either tenant."""
    answers = [http.get("/account/factors/sms") for http in (world.a.http, world.b.http, world.thief())]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    return answers[1:]


def interaction(method: str) -> Callable[[World], list[TestResponse]]:
    def ask(world: World) -> list[TestResponse]:
        path = f"/interaction/{world.interaction_id}"
        form = {"step": "sign-in", "username": world.a.username, "password": browserless.PASSWORD}
        answer = world.thief().request(method, path, form=form if method == "POST" else None)
        assert answer.status_code == 400
        assert world.a.http.get(path).status_code == 200
        return [answer]

    return ask


def sign_in(world: World) -> list[TestResponse]:
    """A's person, with the right password, is nobody at B."""
    thief = world.b.fresh()
    page = thief.get("/sign-in")
    form = {"csrf_token": browserless.token_of(page), "step": "sign-in", "username": world.a.username}
    action = re.findall(r'<form[^>]* action="([^"]+)"', page.text)
    answer = thief.post(action[0], raw=True, form={**form, "password": browserless.PASSWORD})
    # The name is shown because it was typed in.
    assert "Wrong username or password" in answer.text
    assert 'id="sign-in"' in thief.get("/account").text
    return [page]


def first_admin(method: str) -> Callable[[World], list[TestResponse]]:
    def ask(world: World) -> list[TestResponse]:
        path = f"/first-admin/{world.admin_link}"
        page = world.a.http.get(path)
        assert page.status_code == 200
        form = {
            "csrf_token": browserless.token_of(page),
            "username": "mallory",
            "password": "long-enough-password",
        }
        answer = world.thief().request(method, path, form=form if method == "POST" else None)
        assert answer.status_code == 404
        assert world.a.http.get(path).status_code == 200
        return [answer]

    return ask


def mailbox(world: World) -> list[TestResponse]:
    assert MARK in world.a.http.get("/dev/mailbox").text
    answer = world.thief().get("/dev/mailbox")
    assert answer.status_code == 200
    return [answer]


def mailbox_html(world: World) -> list[TestResponse]:
    shown = re.search(r"/dev/mailbox/[0-9a-f-]{36}", world.a.http.get("/dev/mailbox").text)
    assert shown is not None
    assert MARK in world.a.http.get(shown[0]).text
    answer = world.thief().get(shown[0])
    assert answer.status_code == 404
    return [answer]


def api(
    path: str, method: str = "GET", *, expected: tuple[int, ...] = (), **options: Any
) -> Callable[[World], list[TestResponse]]:
    """A's administrator is nobody at B; B's administrator does not reach A's rows."""

    def ask(world: World) -> list[TestResponse]:
        filled = path.replace("<id>", str(world.dead_letter_id)).replace("<consent>", world.consent_id)
        filled = filled.replace("<session>", world.session_id).replace("<factor>", world.factor_id)
        stolen = world.thief().request(method, filled, headers=world.bearer(), **options)
        assert stolen.status_code == 401
        own = {"Authorization": f"Bearer {world.b.admin_token}"}
        answer = world.b.fresh().request(method, filled, headers=own, **options)
        assert answer.status_code in (expected or (404 if "<id>" in path else 200,)), answer.text
        assert world.is_signed_in_at_a()
        with world.a.services.tenancy.session(world.a.tenant.id) as session:
            factor = session.get(Authenticator, (world.a.tenant.id, world.factor_id))
            assert factor is not None
            assert factor.name == MARK
        return [stolen, answer]

    return ask


def end_sessions_by_api(world: World) -> list[TestResponse]:
    """Everywhere is everywhere in one tenant."""
    found = api("/api/v1/me/sessions", "DELETE")(world)
    found += api("/api/v1/me/sessions?everywhere=true", "DELETE")(world)
    assert stays_signed_in(world)
    return found


def withdraw_by_api(world: World) -> list[TestResponse]:
    """Neither A's consent nor A's grant that stands on none is anything at B."""
    found = []
    for named in ("<consent>", world.lasting["grant_id"]):
        found += api(f"/api/v1/me/grants/{named}", "DELETE", expected=(404,))(world)
    assert stays_signed_in(world)
    return found


def one_time_link(purpose: str, path: str, method: str) -> Callable[[World], list[TestResponse]]:
    """A link of A's is nobody's at B, and is not used up by the attempt."""

    def ask(world: World) -> list[TestResponse]:
        data = {
            "email": f"{MARK}@example.com",
            "roles": [],
            "groups": [],
            "by_mail": True,
            "interaction": None,
        }
        for_nobody = purpose in (one_time_links.REGISTRATION, one_time_links.INVITATION)
        with world.a.services.tenancy.session(world.a.tenant.id, write=True) as session:
            user_id = None if for_nobody else world.a.user_id
            token = one_time_links.create(session, purpose, user_id=user_id, data=data)
        page = world.a.fresh().get(f"{path}/{token}")
        assert page.status_code == 200
        form = {"csrf_token": browserless.token_of(page), "username": "mallory", "password": "x" * 20}
        answer = world.thief().request(method, f"{path}/{token}", form=form if method == "POST" else None)
        assert answer.status_code == 404
        assert world.a.fresh().get(f"{path}/{token}").status_code == 200
        return [answer]

    return ask


def interaction_page(name: str, method: str) -> Callable[[World], list[TestResponse]]:
    """A's interaction is none at B."""

    def ask(world: World) -> list[TestResponse]:
        path = f"/interaction/{world.interaction_id}/{name}"
        form = {"login": world.a.username, "email": f"{MARK}@example.com"}
        answer = world.thief().request(method, path, form=form if method == "POST" else None)
        assert answer.status_code == 400
        return [answer]

    return ask


def not_offered(path: str) -> Callable[[World], list[TestResponse]]:
    """Nothing of A is there to be seen."""
    return lambda world: [world.thief().get(path)]


def account_form(path: str, **form: str) -> Callable[[World], list[TestResponse]]:
    """The form of A's page, sent with A's cookies at B, changes nothing at either."""

    def ask(world: World) -> list[TestResponse]:
        csrf = browserless.token_of(world.a.http.get(path))
        answer = world.thief().post(path, form={"csrf_token": csrf, **form})
        assert answer.status_code in (303, 400, 403)
        assert world.is_signed_in_at_a()
        return [answer]

    return ask


def somebody_elses(path: str, method: str = "POST") -> Callable[[World], list[TestResponse]]:
    """B's administrator does not reach A's person or invitation."""

    def ask(world: World) -> list[TestResponse]:
        with world.a.services.tenancy.session(world.a.tenant.id, write=True) as session:
            email = f"{secrets.token_hex(6)}@example.com"
            invitation, _ = invitations.create(session, email, by=None, by_mail=True)
            pepper = world.a.services.deployment_secrets.pepper()
            token, _ = initial_tokens.create(session, pepper, name=MARK, max_uses=1, seconds=600, by=None)
        filled = path.replace("<user>", world.a.user_id).replace("<invitation>", invitation.id)
        filled = filled.replace("<token>", token.id)
        stolen = world.thief().request(method, filled, headers=world.bearer())
        assert stolen.status_code == 401
        own = {"Authorization": f"Bearer {world.b.admin_token}"}
        answer = world.b.fresh().request(method, filled, headers=own)
        assert answer.status_code == 404
        return [stolen, answer]

    return ask


def invite(world: World) -> list[TestResponse]:
    """An invitation is the tenant's whose token it was made with; A's roles are none of B's."""
    own = {"Authorization": f"Bearer {world.b.admin_token}"}
    body = {"email": "guest@example.com", "roles": [MARK]}
    with world.a.services.tenancy.session(world.a.tenant.id, write=True) as session:
        session.add(Role(name=MARK, permissions=[]))
    stolen = world.thief().post("/api/v1/invitations", json=body, headers=world.bearer())
    assert stolen.status_code == 401
    answer = world.b.fresh().post("/api/v1/invitations", json=body, headers=own)
    assert answer.status_code == 404
    return [stolen]


def openapi(world: World) -> list[TestResponse]:
    answer = world.thief().get("/api/v1/openapi.json")
    assert world.a.tenant.issuer not in answer.text
    return [answer]


def language(world: World) -> list[TestResponse]:
    """A language chosen at A is A's: B's pages stay as they were, and nobody is sent to A."""
    form = {"csrf_token": browserless.token_of(world.a.http.get("/account")), "language": "de"}
    answer = world.thief().post("/language", form={**form, "return_to": world.a.tenant.path + "/account"})
    assert world.a.tenant.path not in answer.headers.get("Location", "")
    return [answer]


def looks(world: World) -> list[TestResponse]:
    """What B's pages refer to says nothing of A."""
    answers = [world.thief().get(path) for path in ("/brand.css", "/brand/logo", "/brand/icon")]
    assert [answer.status_code for answer in answers] == [200, 404, 404]
    return answers


def client_logo(world: World) -> list[TestResponse]:
    """The twin client's logo is A's alone."""
    answer = world.thief().get("/client-logo", query={"client_id": TWIN})
    assert answer.status_code == 404
    return [answer]


def brand_preview(world: World) -> list[TestResponse]:
    """A link to a preview at A leads nowhere at B."""
    link = make_link(world.a.services, world.a.tenant, {"name": f"Preview {MARK}"})
    path = link.removeprefix(world.a.tenant.issuer)
    assert MARK in world.a.http.get(path).text
    answers = [world.thief().get(path + part) for part in ("", "/brand.css", "/consent")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    return answers


def static(world: World) -> list[TestResponse]:
    answer = world.thief().get("/static/no-such-file")
    assert answer.status_code == 404
    return [answer]


ROUTES: dict[str, Callable[[World], list[TestResponse]]] = {
    "openid_configuration": lambda world: discovery(world, "/.well-known/openid-configuration"),
    "oauth_metadata": lambda world: discovery(world, "/.well-known/oauth-authorization-server"),
    "jwks": jwks,
    "authorize": authorize,
    "par": par,
    "authorization_challenge": authorization_challenge,
    "device_authorization": device_authorization,
    "client_registration": client_registration,
    "client_configuration": client_configuration,
    "device": device,
    "device_done": device_page("/device/done"),
    "device_refused": device_page("/device/refused"),
    "device_qr": device_page("/device/qr.svg", user_code="BBBB-BBBB"),
    "token": token,
    "revoke": revoke,
    "introspect": introspect,
    "userinfo": userinfo,
    "logout": logout,
    "logout_request": logout_request,
    "sign_out": sign_out,
    "start": signed_in_page("/"),
    "account": signed_in_page("/account"),
    "account_security": signed_in_page("/account/security"),
    "account_data": signed_in_page("/account/data"),
    "account_data_step": forged("/account/data", {"step": "download"}),
    "sign_in_link": sign_in_link,
    "account_factors": signed_in_page("/account/factors"),
    "account_factors_step": remove_factor,
    "account_factors_totp": signed_in_page("/account/factors/totp"),
    "account_factors_sms": text_messages,
    "account_factors_recovery_codes": signed_in_page("/account/factors/recovery-codes"),
    "account_trusted_devices": signed_in_page("/account/factors/trusted-devices"),
    "account_trusted_devices_step": forged("/account/factors/trusted-devices", {"step": "forget-all"}),
    "account_sessions": signed_in_page("/account/sessions"),
    "account_sessions_step": end_session,
    "account_switch": forged("/account/switch", {"step": "another"}),
    "account_applications": signed_in_page("/account/applications"),
    "account_applications_step": withdraw,
    "interaction": interaction("GET"),
    "interaction_step": interaction("POST"),
    "sign_in": sign_in,
    "first_admin": first_admin("GET"),
    "first_admin_step": first_admin("POST"),
    "mailbox": mailbox,
    "mailbox_html": mailbox_html,
    "registration": one_time_link(one_time_links.REGISTRATION, "/register", "GET"),
    "registration_step": one_time_link(one_time_links.REGISTRATION, "/register", "POST"),
    "invitation": one_time_link(one_time_links.INVITATION, "/invitation", "GET"),
    "invitation_step": one_time_link(one_time_links.INVITATION, "/invitation", "POST"),
    "reset": one_time_link(one_time_links.RESET_PASSWORD, "/reset", "GET"),
    "reset_step": one_time_link(one_time_links.RESET_PASSWORD, "/reset", "POST"),
    "recover": one_time_link(one_time_links.RECOVER, "/recover", "GET"),
    "recover_step": one_time_link(one_time_links.RECOVER, "/recover", "POST"),
    "email_link": one_time_link(one_time_links.VERIFY_EMAIL, "/email/confirm", "GET"),
    "email_link_step": one_time_link(one_time_links.VERIFY_EMAIL, "/email/confirm", "POST"),
    "webauthn": not_offered("/.well-known/webauthn"),
    "change_password_address": not_offered("/.well-known/change-password"),
    "register": not_offered("/register"),
    "register_address": interaction_page("register", "GET"),
    "register_address_step": interaction_page("register", "POST"),
    "forgot": not_offered("/forgot"),
    "forgot_login": interaction_page("forgot", "GET"),
    "forgot_login_step": interaction_page("forgot", "POST"),
    "password_set": not_offered("/password-set"),
    "account_profile": signed_in_page("/account/profile"),
    "account_profile_step": account_form("/account/profile", **{"profile-name": "Mallory"}),
    "account_factors_passkey": signed_in_page("/account/factors/passkey"),
    "account_passkeys": signed_in_page("/account/passkeys"),
    "account_passkeys_step": account_form("/account/passkeys", step="remove", target="0" * 36),
    "account_password": signed_in_page("/account/password"),
    "account_password_step": account_form("/account/password", current="x", password="of-somebody-else"),
    "account_email": signed_in_page("/account/email"),
    "account_email_step": account_form("/account/email", email="mallory@example.com"),
    "account_leave": signed_in_page("/account/delete"),
    "account_leave_step": account_form("/account/delete", username="mallory"),
    "api.invitations": api("/api/v1/invitations"),
    "api.invite": invite,
    "api.registration_tokens": api("/api/v1/registration-tokens"),
    "api.create_registration_token": api(
        "/api/v1/registration-tokens", "POST", json={"name": "theirs"}, expected=(201,)
    ),
    "api.revoke_registration_token": somebody_elses("/api/v1/registration-tokens/<token>", "DELETE"),
    "api.revoke_invitation": somebody_elses("/api/v1/invitations/<invitation>", "DELETE"),
    "api.disable_user": somebody_elses("/api/v1/users/<user>/disable"),
    "api.enable_user": somebody_elses("/api/v1/users/<user>/enable"),
    "api.sign_out_user": somebody_elses("/api/v1/users/<user>/sign-out"),
    "api.demand_password_of_user": somebody_elses("/api/v1/users/<user>/demand-password"),
    "api.unlock_user": somebody_elses("/api/v1/users/<user>/unlock"),
    "api.recover_user": somebody_elses("/api/v1/users/<user>/recovery"),
    "api.me": api("/api/v1/me"),
    "api.my_profile": api("/api/v1/me/profile"),
    "api.change_my_profile": api(
        "/api/v1/me/profile", "PATCH", json={"attributes": {"nickname": "N"}}, expected=(200, 400)
    ),
    "api.my_factors": api("/api/v1/me/factors"),
    "api.begin_my_factor": api("/api/v1/me/factors", "POST", json={"kind": "totp"}, expected=(202,)),
    "api.confirm_my_factor": confirm_factor,
    "api.rename_my_factor": api(
        "/api/v1/me/factors/<factor>", "PATCH", json={"name": "mine"}, expected=(404,)
    ),
    "api.remove_my_factor": api("/api/v1/me/factors/<factor>", "DELETE", expected=(404,)),
    "api.my_recovery_codes": api("/api/v1/me/recovery-codes"),
    "api.new_recovery_codes": api("/api/v1/me/recovery-codes", "POST", expected=(409,)),
    "api.my_sessions": api("/api/v1/me/sessions"),
    "api.end_my_session": api("/api/v1/me/sessions/<session>", "DELETE", expected=(404,)),
    "api.end_my_other_sessions": end_sessions_by_api,
    "api.my_grants": api("/api/v1/me/grants"),
    "api.withdraw_my_grant": withdraw_by_api,
    "api.tenant": api("/api/v1/tenant"),
    "api.audit": api("/api/v1/audit"),
    "api.dead_letters": api("/api/v1/outbox/dead-letters"),
    "api.retry_dead_letter": api("/api/v1/outbox/dead-letters/<id>/retry", "POST"),
    "api.openapi": openapi,
    "static": static,
    "language": language,
    "brand_css": looks,
    "brand_picture": looks,
    "client_logo": client_logo,
    "brand_preview": brand_preview,
    "brand_preview_part": brand_preview,
}


@pytest.mark.parametrize("name", ROUTES)
def test_as_tenant_b_with_what_is_tenant_as(world: World, name: str) -> None:
    for answer in ROUTES[name](world):
        told = answer.text + str(answer.headers)
        assert MARK not in told
        assert world.a.user_id not in told
        assert world.a.tenant.id not in told.replace(f"ww-{world.a.tenant.id}", "")
        assert answer.status_code < 500


def test_every_route_has_a_row(world: World) -> None:
    rules = {str(rule.endpoint) for rule in world.a.app.url_map.iter_rules()}
    protocol = {endpoint.name for endpoint in ENDPOINTS if endpoint.answered_by == EDGE}
    assert rules | protocol == set(ROUTES)
