"""The device authorization grant (RFC 8628), and what RFC 10027 asks of flows across devices."""

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import devices_pending, grants
from app.domain.client_metadata import DEVICE_CODE
from app.domain.devices_pending import ALPHABET, normalized
from app.domain.models import Grant
from app.infra.limits import DEVICE_CODES
from tests.conftest import Http
from tests.protocol.browserless import PASSWORD, new_person
from tests.protocol.token_side import TokenSide, refused, side

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

__all__ = ["side"]

CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
SESSION = re.compile(r'name="session" value="([^"]*)"')


@dataclass
class Television:
    """A device, and the person who lets it in with a browser of their own."""

    side: TokenSide
    client_id: str

    def start(self, **more: Any) -> dict[str, Any]:
        answer = self.ask(**more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    def ask(self, **more: Any) -> "TestResponse":
        form = {"client_id": self.client_id, "scope": "openid profile", **more}
        return self.side.http.post("/device_authorization", form=form)

    def poll(self, device_code: str, **more: Any) -> "TestResponse":
        form = {"grant_type": DEVICE_CODE, "device_code": device_code, "client_id": self.client_id, **more}
        return self.side.http.post("/token", form=form)

    def patient(self, device_code: str) -> "TestResponse":
        """A question after the device waited long enough."""
        wait_over(self.side, device_code)
        return self.poll(device_code)


def wait_over(side: TokenSide, device_code: str) -> None:
    """As if the interval had gone by: what counts it is forgotten, as it would be."""
    from app.infra.state import Delete, Key
    from app.kernel.secrets import lookup_hash

    name = lookup_hash(device_code)
    side.services.state.execute(
        Delete(Key(side.tenant.id, "device-polls", name)), Delete(Key(side.tenant.id, "device-slow", name))
    )


class Person:
    """Somebody at a browser without a screen."""

    def __init__(self, side: TokenSide, username: str) -> None:
        self.http = Http(side.http.app, side.tenant)
        self.username = username
        self.page: Any = None
        self.path = ""

    def open(self, path: str) -> Any:
        prefix = self.http.tenant.path
        self.page = self.http.get(path.removeprefix(prefix))
        while self.page.status_code == 303:
            self.path = self.page.headers["Location"].removeprefix(prefix)
            self.page = self.http.get(self.path)
        return self.page

    def send(self, **form: str) -> Any:
        token = CSRF.search(self.page.text)
        assert token, self.page.text
        self.page = self.http.post(self.path, form={"csrf_token": token[1], **form})
        while self.page.status_code == 303:
            self.path = self.page.headers["Location"].removeprefix(self.http.tenant.path)
            self.page = self.http.get(self.path)
        return self.page

    def confirm(self, user_code: str) -> Any:
        self.open(f"/device?user_code={user_code}")
        assert self.page.status_code == 200, self.page.text
        return self.send(step="device", answer="continue")

    def sign_in(self) -> Any:
        return self.send(step="sign-in", username=self.username, password=PASSWORD)

    def consent(self, answer: str = "allow") -> Any:
        session = SESSION.search(self.page.text)
        assert session, self.page.text
        return self.send(step="consent", answer=answer, session=session[1])

    def let_in(self, user_code: str) -> Any:
        self.confirm(user_code)
        if 'name="password"' in self.page.text:
            self.sign_in()
        return self.consent()


@pytest.fixture(scope="module")
def tv(side: TokenSide) -> Television:
    party = side.client(
        token_endpoint_auth_method="none",
        grant_types=[DEVICE_CODE, "refresh_token"],
        redirect_uris=[],
        client_name="Living Room TV",
        scope="openid profile offline_access read",
    )
    return Television(side, party.client_id)


@pytest.fixture(scope="module")
def alice(side: TokenSide) -> str:
    new_person(side.services, side.tenant, "alice-device")
    return "alice-device"


def test_a_device_gets_its_codes_and_where_to_go(tv: Television) -> None:
    """RFC 8628 section 3.2, and section 6.1 of the user code."""
    found = tv.start()
    assert set(found) == {
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    }
    assert found["verification_uri"] == tv.side.tenant.issuer + "/device"
    assert found["verification_uri_complete"] == f"{found['verification_uri']}?user_code={found['user_code']}"
    assert re.fullmatch(f"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", found["user_code"])
    assert (found["expires_in"], found["interval"]) == (600, 5)
    assert len(found["device_code"]) >= 43


@pytest.mark.parametrize("shape", ["{0}", "{0} ", "{1}", "{2}", "{3}"])
def test_the_code_is_typed_as_people_type(shape: str) -> None:
    """Section 6.1: case, hyphens and spaces make no difference."""
    spellings = ("WDJB-MJHT", "wdjb-mjht", "wdjbmjht", "WDJB MJHT")
    assert normalized(shape.format(*spellings)) == "WDJBMJHT"
    assert normalized("WDJB-MJH1") is None
    assert normalized("WDJB-MJH") is None


def test_the_whole_way_from_code_to_tokens(tv: Television, alice: str) -> None:
    """Sections 3.3 to 3.5: confirmed, signed in, consented, collected; and refreshed like any other grant."""
    found = tv.side.http.post(
        "/device_authorization",
        form={"client_id": tv.client_id, "scope": "openid profile offline_access"},
        headers={"User-Agent": "LivingRoom/7 (Tizen)"},
        environ_base={"REMOTE_ADDR": "192.0.2.20"},
    ).json
    refused(tv.poll(found["device_code"]), "authorization_pending")
    person = Person(tv.side, alice)
    done = person.let_in(found["user_code"].lower())
    assert "Your device is connected" in done.text
    with tv.side.services.tenancy.session(tv.side.tenant.id) as session:
        granted = session.query(Grant).filter_by(client_id=tv.client_id).order_by(Grant.id.desc()).first()
        assert granted is not None
        assert (granted.ip, granted.user_agent) == ("192.0.2.20", "LivingRoom/7 (Tizen)")
    answer = tv.patient(found["device_code"])
    assert answer.status_code == 200, answer.text
    tokens = answer.json
    assert tv.side.read(tokens["id_token"]).claims["aud"] == tv.client_id
    assert tv.side.read(tokens["access_token"]).claims["scope"] == "openid profile offline_access"
    assert tv.side.userinfo(tokens["access_token"]).status_code == 200
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": tv.client_id,
    }
    assert tv.side.http.post("/token", form=form).status_code == 200
    refused(tv.patient(found["device_code"]), "invalid_grant")


def test_the_person_sees_who_asks_from_where_and_when(tv: Television, alice: str) -> None:
    """RFC 10027: context, and the code to compare, also where the link brought it along; no sign-in before that."""
    tv_form = {"client_id": tv.client_id, "scope": "openid"}
    found = tv.side.http.post(
        "/device_authorization",
        form=tv_form,
        headers={"User-Agent": "LivingRoom/7 (Tizen)"},
        environ_base={"REMOTE_ADDR": "203.0.113.9"},
    ).json
    page = Person(tv.side, alice).open(f"/device?user_code={found['user_code']}")
    for shown in ("Living Room TV", found["user_code"], "203.0.113.9", "another network"):
        assert shown in page.text
    assert 'name="password"' not in page.text
    refused(tv.poll(found["device_code"]), "authorization_pending")


def test_consent_is_asked_for_every_device(tv: Television, alice: str) -> None:
    """RFC 10027: what was allowed once says nothing of another device."""
    person = Person(tv.side, alice)
    for _ in range(2):
        found = tv.start()
        person.confirm(found["user_code"])
        if 'name="password"' in person.page.text:
            person.sign_in()
        assert 'id="allow"' in person.page.text
        refused(tv.patient(found["device_code"]), "authorization_pending")
        person.consent()
        assert tv.patient(found["device_code"]).status_code == 200


@pytest.mark.parametrize("where", ["compare", "consent"])
def test_whoever_refuses_lets_nothing_in(tv: Television, alice: str, where: str) -> None:
    """Section 3.5: access_denied; and the code is gone."""
    found, person = tv.start(), Person(tv.side, alice)
    if where == "compare":
        person.open(f"/device?user_code={found['user_code']}")
        person.send(step="device", answer="deny")
    else:
        person.confirm(found["user_code"])
        person.sign_in()
        person.consent("deny")
    assert "not connected" in person.page.text
    refused(tv.poll(found["device_code"]), "access_denied")
    again = Person(tv.side, alice).open(f"/device?user_code={found['user_code']}")
    assert again.status_code == 400


def test_a_hasty_device_is_slowed_down_for_good(tv: Television) -> None:
    """Section 3.5: slow_down makes the interval five seconds longer for this and all later questions."""
    code = tv.start()["device_code"]
    refused(tv.poll(code), "authorization_pending")
    refused(tv.poll(code), "slow_down")
    wait_over(tv.side, code)
    refused(tv.poll(code), "authorization_pending")
    from app.infra.state import Get, Key
    from app.kernel.secrets import lookup_hash

    name = lookup_hash(code)
    counted, held = tv.side.services.state.execute(
        Get(Key(tv.side.tenant.id, "device-slow-downs", name)),
        Get(Key(tv.side.tenant.id, "device-slow", name)),
    ).results
    assert int(counted) == 1
    assert held is not None, "the longer interval holds after a question in time as well"


def test_an_expired_code_is_told_as_such(tv: Television, alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 3.5: expired_token; and no page takes the code any more."""
    found = tv.start()
    monkeypatch.setattr(devices_pending.PendingDevice, "expired", property(lambda self: True))
    refused(tv.poll(found["device_code"]), "expired_token")
    assert Person(tv.side, alice).open(f"/device?user_code={found['user_code']}").status_code == 400


def test_another_client_collects_nothing(tv: Television, alice: str) -> None:
    """Section 3.4: the code is bound to its client."""
    found = tv.start()
    Person(tv.side, alice).let_in(found["user_code"])
    other = tv.side.client(
        token_endpoint_auth_method="none", grant_types=[DEVICE_CODE], redirect_uris=[], scope="openid"
    )
    wait_over(tv.side, found["device_code"])
    refused(tv.poll(found["device_code"], client_id=other.client_id), "invalid_grant")
    assert tv.patient(found["device_code"]).status_code == 200


NEGATIVES: dict[str, tuple[dict[str, Any], str]] = {
    "no scope it may have": ({"scope": "write"}, "invalid_scope"),
    "malformed scope": ({"scope": 'a"b'}, "invalid_scope"),
    "unknown resource": ({"scope": "openid", "resource": "https://nobody.example"}, "invalid_target"),
    "a request by reference": ({"request_uri": "https://a.example/r"}, "invalid_request"),
    "claims that are none": ({"claims": "[]"}, "invalid_request"),
}


@pytest.mark.parametrize("case", NEGATIVES)
def test_what_a_device_may_not_ask_for(tv: Television, case: str) -> None:
    form, error = NEGATIVES[case]
    refused(tv.ask(**form), error)


def test_a_client_of_another_grant_has_no_device_codes(side: TokenSide) -> None:
    party = side.client()
    answer = side.post("/device_authorization", {"scope": "openid"}, party)
    refused(answer, "unauthorized_client")


def test_a_confidential_device_authenticates(side: TokenSide) -> None:
    """Section 3.1: client authentication as at the token endpoint."""
    party = side.client(grant_types=[DEVICE_CODE], redirect_uris=[], scope="openid")
    refused(
        side.http.post("/device_authorization", form={"client_id": party.client_id}), "invalid_client", 401
    )
    assert side.post("/device_authorization", {"scope": "openid"}, party).status_code == 200


@pytest.mark.parametrize("code", ["", "x" * 300, "é", "A" * 43])
def test_codes_that_are_none(tv: Television, code: str) -> None:
    answer = tv.poll(code)
    refused(answer, "invalid_request" if not code else "invalid_grant")


def test_guesses_are_counted(tv: Television, alice: str) -> None:
    """Section 5.1: nobody guesses a code of 34 bits at twenty tries in five minutes."""
    from tests.conftest import new_tenant

    services = tv.side.services
    tenant = new_tenant(services)
    http = Http(tv.side.http.app, tenant)
    codes = [f"BBBB-BB{a}{b}" for a in ALPHABET for b in ALPHABET][: DEVICE_CODES.most]
    for code in codes:
        assert http.get("/device", query={"user_code": code}).status_code == 400
    assert http.get("/device", query={"user_code": "CCCC-CCCC"}).status_code == 429


def test_of_sixteen_questions_at_once_one_gets_tokens(tv: Television, alice: str) -> None:
    """Contracts 3: the database decides; and the tokens of the winner stand."""
    found = tv.start(scope="openid offline_access")
    Person(tv.side, alice).let_in(found["user_code"])
    answers: list[Any] = []
    start = threading.Barrier(16)

    def ask() -> None:
        start.wait()
        wait_over(tv.side, found["device_code"])
        answers.append(Http(tv.side.http.app, tv.side.tenant).post(
            "/token",
            form={"grant_type": DEVICE_CODE, "device_code": found["device_code"], "client_id": tv.client_id},
        ))  # fmt: skip

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = [a for a in answers if a.status_code == 200]
    if not good:  # All but the first may have been told to slow down.
        good = [tv.patient(found["device_code"])]
    assert len(good) == 1, [a.text for a in answers]
    assert {a.json["error"] for a in answers if a.status_code != 200} <= {"slow_down", "invalid_grant"}
    assert tv.side.userinfo(good[0].json["access_token"]).status_code == 200


def test_redeeming_is_the_databases_to_decide(tv: Television, alice: str) -> None:
    """A state store from the past does not let a device in twice."""
    found = tv.start()
    Person(tv.side, alice).let_in(found["user_code"])
    stored = tv.side.services.devices.find(
        tv.side.tenant.id, devices_pending.lookup_hash(found["device_code"])
    )
    assert stored is not None
    assert stored.record is not None
    with tv.side.services.tenancy.session(tv.side.tenant.id, write=True) as session:
        assert grants.redeem(session, stored.record["grant_id"]) is grants.Redemption.WON
    refused(tv.patient(found["device_code"]), "invalid_grant")


def test_the_address_as_a_picture(tv: Television) -> None:
    """Section 3.3.1: a QR code for pages and for terminals; whether the code is any good is not told."""
    svg = tv.side.http.get("/device/qr.svg", query={"user_code": "WDJB-MJHT"})
    assert (svg.status_code, svg.headers["Content-Type"]) == (200, "image/svg+xml")
    assert b"<svg" in svg.data
    text = tv.side.http.get("/device/qr.txt", query={"user_code": "WDJB-MJHT"})
    assert text.status_code == 200
    assert "\u2588" in text.text or "\u2580" in text.text
    assert tv.side.http.get("/device/qr.svg", query={"user_code": "<svg>"}).status_code == 404
    assert tv.side.http.get("/device/qr.png", query={"user_code": "WDJB-MJHT"}).status_code == 404


def test_discovery_names_the_endpoint_and_the_grant(tv: Television) -> None:
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        document = tv.side.http.get(path).json
        assert document["device_authorization_endpoint"] == tv.side.tenant.issuer + "/device_authorization"
        assert DEVICE_CODE in document["grant_types_supported"]
