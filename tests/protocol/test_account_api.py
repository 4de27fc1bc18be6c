"""`/api/v1/me/...`: what an application may see and change of an account, and when it has to ask for a new sign-in
(RFC 9470)."""

import dataclasses
import json
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyotp
import pytest
import time_machine

from app import create_app
from app.domain import consents, users
from app.domain.assurance import TWO_FACTOR
from app.domain.models import Authenticator, Consent, Grant
from app.infra import sms
from app.infra.fetch import Fetcher
from app.infra.sms import HttpSender, Texter
from app.infra.state import Get, Key
from app.kernel import clock
from app.kernel.secrets import unb64url
from app.web.api.catalogue import ENDPOINTS, PREFIX
from app.web.api.json_bodies import MAX_BYTES
from app.web.api.me_enrolments import KIND
from app.web.services import Services
from tests import outbox_rows
from tests.conftest import Http, new_tenant
from tests.protocol import mailbag, parties, security_key
from tests.protocol.native_app import AGENT, NativeApp, more, new_app
from tests.protocol.test_api import problem
from tests.protocol.test_factor_messages import JSON_BODY, Receiver, code_in, messages
from tests.protocol.test_tenant_settings import decide
from tests.protocol.token_side import TokenSide

READ, WRITE = "watchword:account:read", "watchword:account:write"
MINE = [row for row in ENDPOINTS if row.path.startswith("/me/")]


class Mine:
    """Somebody, and an application that may look after their account."""

    def __init__(self, side: TokenSide) -> None:
        self.side, self.services, self.tenant = side, side.services, side.tenant
        self.party = side.client(scope=f"openid watchword:admin {READ} {WRITE}")
        self.user_id = side.user()
        self.session, _ = side.services.sessions.start(
            side.tenant, self.user_id, 0, amr=("pwd",), user_agent="Firefox/140.0", ip="192.0.2.1"
        )
        self.token = self.tokens(f"openid {WRITE}")

    def tokens(self, scope: str) -> str:
        found = self.side.tokens(
            self.party,
            self.user_id,
            scope,
            resources=(self.tenant.issuer,),
            session_id=self.session.sid,
        )
        token: str = found["access_token"]
        return token

    def call(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return self.side.http.request(method, PREFIX + path, headers=headers, **options)

    def add_factor(self, user_id: str | None = None, *, kind: str = "totp") -> str:
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            row = Authenticator(
                user_id=user_id or self.user_id, kind=kind, name="Phone", confirmed_at=clock.now()
            )
            session.add(row)
            session.flush()
            return row.id

    def events(self, name: str) -> list[dict[str, Any]]:
        with self.services.tenancy.session(self.tenant.id) as session:
            rows = outbox_rows.events(session, name)
        return [row for row in rows if row["user"] == self.user_id]


@pytest.fixture(scope="module")
def side(_shared_services: Services) -> TokenSide:
    services = _shared_services
    tenant = new_tenant(services)
    parties.new_resource(services, tenant, parties.API)
    return TokenSide(services, tenant, Http(create_app(services.settings, services=services), tenant))


@pytest.fixture
def mine(side: TokenSide) -> Mine:
    return Mine(side)


@pytest.mark.parametrize("row", MINE, ids=lambda row: row.name)
def test_looking_needs_one_scope_and_changing_the_other(mine: Mine, row: Any) -> None:
    """RFC 6750 section 3.1; administering the organization is not looking after one's account."""
    path = re.sub(r"<\w+:\w+>", "0" * 8 + "-0000-0000-0000-" + "0" * 12, row.path)
    for scope in ("openid", "openid watchword:admin"):
        problem(mine.call(row.method, path, mine.tokens(scope)), 403, "token.scope")
    reading = mine.call(row.method, path, mine.tokens(f"openid {READ}"))
    if row.method == "GET":
        assert reading.status_code == 200, reading.text
        assert mine.call(row.method, path).status_code == 200
    else:
        problem(reading, 403, "token.scope")
        assert f'scope="{WRITE}"' in reading.headers["WWW-Authenticate"]


def test_the_profile_is_seen_and_changed_where_the_tenant_lets_people(mine: Mine) -> None:
    seen = mine.call("GET", "/me/profile").json
    assert set(seen["editable"]) <= set(seen["attributes"])
    name = seen["editable"][0]
    answer = mine.call("PATCH", "/me/profile", json={"attributes": {name: "Nick"}})
    assert answer.status_code == 200, answer.text
    assert answer.json["attributes"][name] == "Nick"
    assert mine.call("GET", "/me/profile").json["attributes"][name] == "Nick"
    (event,) = mine.events("user.updated")
    assert event["data"]["via"] == "api"
    answer = mine.call("PATCH", "/me/profile", json={"attributes": {name: "Other", "is_admin": True}})
    problem(answer, 400, "profile.invalid")
    assert mine.call("GET", "/me/profile").json["attributes"][name] == "Nick"
    assert (
        mine.call("PATCH", "/me/profile", json={"attributes": {name: None}}).json["attributes"][name] is None
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b" ", 400),
        (b"{}", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'{"attributes": {}}', 400),
        (b'{"attributes": {"a": NaN}}', 400),
        (b'{"attributes": {"a": [1]}}', 400),
        (b'{"attributes": {"a": 1e400}}', 400),
        (b'{"attributes": {"a": 123456789012345678901234567890}}', 400),
        (b'{"attributes": {"a": "x"}, "attributes": {"b": "y"}}', 400),
        (b'{"attributes": {"a": "x", "a": "y"}}', 400),
        (b'{"attributes": {"a": "x"}, "more": 1}', 400),
        (b'{"attributes": {"a": "\\u0000"}}', 400),
        (b'{"attributes": {"a": "\\ud800"}}', 400),
        (b'{"attributes": {"a": "\xff"}}', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"[" * 10_000, 400),
        (b'{"attributes":' * 3000, 413),
        (b" " * (MAX_BYTES + 1), 413),
    ],
)
def test_bodies_are_read_strictly(mine: Mine, body: bytes, status: int) -> None:
    """RFC 8259 and RFC 7493: what two readers could understand differently is refused; nothing is a fault of ours."""
    answer = mine.call("PATCH", "/me/profile", data=body, content_type="application/json")
    problem(answer, status, "request.invalid" if status == 400 else "request.too_large")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=x"]
)
def test_other_content_types_are_refused(mine: Mine, kind: str) -> None:
    answer = mine.call("PATCH", "/me/profile", data=b'{"attributes": {"a": "b"}}', content_type=kind)
    problem(answer, 415, "request.content_type")


def test_sessions_are_listed_in_words_and_ended(mine: Mine) -> None:
    other, cookie = mine.services.sessions.start(mine.tenant, mine.user_id, 0, amr=("pwd",))
    seen = mine.call("GET", "/me/sessions").json
    first, second = seen["sessions"]
    assert (first["id"], first["is_current"], first["browser"]) == (mine.session.sid, True, "Firefox 140")
    assert (first["ip"], first["place"]) == ("192.0.2.1", None)
    assert (second["id"], second["is_current"]) == (other.sid, False)
    assert set(seen["fresh_until"]) == {"security", "billing"}
    assert mine.call("DELETE", f"/me/sessions/{other.sid}").json["status"] == "removed"
    assert mine.services.sessions.get(mine.tenant, cookie) is None
    problem(mine.call("DELETE", f"/me/sessions/{other.sid}"), 404, "session.unknown")
    assert [event["data"]["target"] for event in mine.events("session.revoked")] == [other.sid]


def test_all_other_sessions_end_together_and_this_one_stays(mine: Mine) -> None:
    for _ in range(2):
        mine.services.sessions.start(mine.tenant, mine.user_id, 0, amr=("pwd",))
    assert mine.call("DELETE", "/me/sessions").json == {"ended": 2, "signed_out": 0}
    assert [session["id"] for session in mine.call("GET", "/me/sessions").json["sessions"]] == [
        mine.session.sid
    ]


def test_signing_out_everywhere_leaves_nothing(mine: Mine) -> None:
    """Not this session, no application of the tenant's own, and none somebody allowed: that stays allowed."""
    own, kept = lasting(mine)
    client = mine.side.client(scope="openid offline_access", client_name="Notes")
    tokens = mine.side.tokens(client, mine.user_id, "openid offline_access")
    _, other = mine.services.sessions.start(mine.tenant, mine.user_id, 0, amr=("pwd",))
    neighbour, theirs = lasting(mine, mine.side.user())
    problem(mine.call("DELETE", "/me/sessions?everywhere=maybe"), 400, "request.invalid")
    assert mine.side.introspect(own, kept["access_token"])["active"] is True
    answer = mine.call("DELETE", "/me/sessions?everywhere=true")
    assert answer.json == {"ended": 2, "signed_out": 2}
    assert mine.services.sessions.of_user(mine.tenant, mine.user_id) == []
    assert mine.services.sessions.get(mine.tenant, other) is None
    for party, held in ((own, kept), (client, tokens)):
        assert mine.side.refresh(party, held["refresh_token"]).json["error"] == "invalid_grant"
        assert mine.side.introspect(party, held["access_token"]) == {"active": False}
    assert mine.call("GET", "/me/grants").status_code == 401
    assert mine.side.refresh(neighbour, theirs["refresh_token"]).status_code == 200
    assert len(mine.events("session.revoked")) == 2
    found = {event["data"]["application"] for event in mine.events("grant.revoked")}
    assert found == {own.client_id, client.client_id}
    with mine.services.tenancy.session(mine.tenant.id) as session:
        consent = session.query(Consent).filter_by(user_id=mine.user_id, client_id=client.client_id).one()
        assert consent.withdrawn_at is None


def test_a_code_nobody_redeemed_yet_is_worth_nothing_once_signed_out_everywhere(mine: Mine) -> None:
    """The thief may be between the two steps."""
    client = mine.side.client(scope="openid offline_access", first_party=True)
    code = mine.side.code(client, mine.user_id, "openid offline_access", consented=False)
    assert mine.call("DELETE", "/me/sessions?everywhere=true").json["signed_out"] == 1
    assert mine.side.post("/token", code.form(), client).json["error"] == "invalid_grant"


def test_the_session_of_somebody_else_is_unknown(mine: Mine) -> None:
    other, cookie = mine.services.sessions.start(mine.tenant, mine.side.user(), 0, amr=("pwd",))
    problem(mine.call("DELETE", f"/me/sessions/{other.sid}"), 404, "session.unknown")
    assert mine.services.sessions.get(mine.tenant, cookie) is not None


def test_what_was_allowed_is_listed_and_taken_back(mine: Mine) -> None:
    client = mine.side.client(scope="openid profile offline_access", client_name="Notes")
    tokens = mine.side.tokens(client, mine.user_id, "openid profile offline_access")
    (seen,) = (g for g in mine.call("GET", "/me/grants").json["grants"] if g["client_id"] == client.client_id)
    assert (seen["client_name"], seen["resource"]) == ("Notes", mine.tenant.issuer)
    assert seen["last_used_at"]
    assert mine.call("DELETE", f"/me/grants/{seen['id']}").json["status"] == "withdrawn"
    assert mine.side.refresh(client, tokens["refresh_token"]).status_code == 400
    assert mine.side.userinfo(tokens["access_token"]).status_code == 401
    (event,) = mine.events("consent.withdrawn")
    assert event["data"]["via"] == "api"


def test_what_somebody_else_allowed_is_unknown(mine: Mine) -> None:
    other = mine.side.user()
    with mine.services.tenancy.session(mine.tenant.id, write=True) as session:
        wanted = {"": frozenset({"openid"})}
        (consent,) = consents.allow(session, other, mine.party.client_id, wanted)
        consent_id = consent.id
    problem(mine.call("DELETE", f"/me/grants/{consent_id}"), 404, "consent.unknown")
    with mine.services.tenancy.session(mine.tenant.id) as session:
        kept = session.get(Consent, (mine.tenant.id, consent_id))
        assert kept is not None
        assert kept.withdrawn_at is None


def lasting(mine: Mine, user_id: str | None = None) -> tuple[Any, dict[str, Any]]:
    """An application of the tenant's own that stays signed in, and its tokens."""
    client = mine.side.client(scope="openid offline_access", client_name="Northwind", first_party=True)
    tokens = mine.side.tokens(
        client,
        user_id or mine.user_id,
        "openid offline_access",
        consented=False,
        ip="192.0.2.7",
        user_agent=AGENT,
    )
    return client, tokens


def test_an_application_that_stays_signed_in_without_consent_is_listed_and_signed_out(mine: Mine) -> None:
    """Whatever session it came of is long over; new tokens are refused, and those it has are worth nothing."""
    client, tokens = lasting(mine)
    (seen,) = mine.call("GET", "/me/grants").json["lasting"]
    assert (seen["client_id"], seen["client_name"]) == (client.client_id, "Northwind")
    assert (seen["system"], seen["device"], seen["ip"], seen["place"]) == (
        "Android 16",
        "Pixel 11",
        "192.0.2.7",
        None,
    )
    assert (seen["scopes"], seen["resources"]) == (["offline_access", "openid"], [mine.tenant.issuer])
    assert seen["last_used_at"] >= seen["signed_in_at"]
    assert client.client_id not in {g["client_id"] for g in mine.call("GET", "/me/grants").json["grants"]}
    assert mine.side.introspect(client, tokens["access_token"])["active"] is True
    assert mine.call("DELETE", "/me/sessions").status_code == 200
    tokens = mine.side.refresh(client, tokens["refresh_token"]).json
    assert mine.call("DELETE", f"/me/grants/{seen['id']}").json == {"id": seen["id"], "status": "withdrawn"}
    assert mine.side.refresh(client, tokens["refresh_token"]).json["error"] == "invalid_grant"
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert mine.side.introspect(client, token) == {"active": False}
    assert mine.call("GET", "/me/grants").json["lasting"] == []
    (event,) = mine.events("grant.revoked")
    assert event["data"]["target"] == seen["id"]
    assert (event["data"]["application"], event["data"]["via"]) == (client.client_id, "api")
    problem(mine.call("DELETE", f"/me/grants/{seen['id']}"), 404, "consent.unknown")


def test_where_applications_of_somebody_else_stay_signed_in_is_unknown(mine: Mine) -> None:
    client, tokens = lasting(mine, mine.side.user())
    with mine.services.tenancy.session(mine.tenant.id) as session:
        grant_id = session.query(Grant).filter_by(client_id=client.client_id).one().id
    assert mine.call("GET", "/me/grants").json["lasting"] == []
    problem(mine.call("DELETE", f"/me/grants/{grant_id}"), 404, "consent.unknown")
    assert mine.side.refresh(client, tokens["refresh_token"]).status_code == 200


def test_what_lasts_no_longer_than_its_session_does_not_stay_signed_in(mine: Mine) -> None:
    client = mine.side.client(scope="openid", first_party=True)
    mine.side.tokens(client, mine.user_id, "openid", consented=False)
    assert mine.call("GET", "/me/grants").json["lasting"] == []


def challenge(answer: Any) -> str:
    found: str = answer.headers["WWW-Authenticate"]
    assert 'error="insufficient_user_authentication"' in found
    return found


def test_factors_need_a_recent_sign_in(mine: Mine) -> None:
    """RFC 9470 section 3: the challenge says how recent it has to be."""
    problem(mine.call("POST", "/me/recovery-codes"), 409, "factor.missing")
    decide(mine.services, mine.tenant, sessions={"reauthenticate_for": {"security": 120}})
    with time_machine.travel(clock.now() + timedelta(seconds=150), tick=True):
        for method, path in (("POST", "/me/recovery-codes"), ("DELETE", f"/me/factors/{mine.session.sid}")):
            answer = mine.call(method, path)
            problem(answer, 401, "token.sign_in_too_old")
            assert 'max_age="120"' in challenge(answer)
        assert mine.call("GET", "/me/factors").status_code == 200
        assert mine.call("DELETE", "/me/sessions").status_code == 200


def test_whoever_has_a_second_factor_has_to_have_shown_it(mine: Mine) -> None:
    """RFC 9470 section 3: `acr_values` of the challenge."""
    factor_id = mine.add_factor()
    for method, path in (("POST", "/me/recovery-codes"), ("DELETE", f"/me/factors/{factor_id}")):
        answer = mine.call(method, path)
        problem(answer, 401, "token.second_factor_missing")
        assert 'acr_values="urn:watchword:acr:two-factor"' in challenge(answer)
    (seen,) = mine.call("GET", "/me/factors").json["factors"]
    assert (seen["id"], seen["kind"], seen["name"]) == (factor_id, "totp", "Phone")


def test_a_passkey_that_only_begins_a_sign_in_is_no_second_factor(mine: Mine) -> None:
    """Of somebody who signed in with the password nothing more is asked than the pages ask."""
    decide(mine.services, mine.tenant, authentication={"mfa": {"methods": ["totp"]}})
    factor_id = mine.add_factor(kind="passkey")
    assert mine.call("DELETE", f"/me/factors/{factor_id}").json["status"] == "removed"
    decide(mine.services, mine.tenant, authentication={"mfa": None})
    problem(mine.call("DELETE", f"/me/factors/{mine.add_factor()}"), 401, "token.second_factor_missing")


def test_factors_are_renamed_and_removed_and_codes_made_anew(mine: Mine) -> None:
    factor_id, strangers = mine.add_factor(), mine.add_factor(mine.side.user())
    strong = strong_token(mine)
    with mine.services.tenancy.session(mine.tenant.id, write=True) as session:
        user = users.get(session, mine.user_id)
        assert user is not None
        users.set_email(user, "renamer@example.com")
    answer = mine.call("PATCH", f"/me/factors/{factor_id}", strong, json={"name": "Work phone"})
    assert answer.json["name"] == "Work phone"
    problem(
        mine.call("PATCH", f"/me/factors/{factor_id}", strong, json={"name": "\u200b"}), 400, "factor.name"
    )
    problem(mine.call("PATCH", f"/me/factors/{strangers}", strong, json={"name": "x"}), 404, "factor.unknown")
    codes = mine.call("POST", "/me/recovery-codes", strong)
    assert codes.status_code == 201
    assert len(set(codes.json["codes"])) == 10
    assert codes.headers["Cache-Control"] == "no-store"
    assert mine.call("GET", "/me/recovery-codes").json == {"left": 10}
    problem(mine.call("DELETE", f"/me/factors/{strangers}", strong), 404, "factor.unknown")
    assert mine.call("DELETE", f"/me/factors/{factor_id}", strong).json["status"] == "removed"
    assert mine.call("GET", "/me/factors").json["factors"] == []
    assert mine.call("GET", "/me/recovery-codes").json == {"left": 0}
    assert [event["data"]["name"] for event in mine.events("factor.removed")] == ["Work phone"]
    assert [event["data"]["name"] for event in mine.events("factor.renamed")] == ["Work phone"]
    told = [letter.subject for letter in mailbag.letters(mine.services, mine.tenant, "renamer@example.com")]
    assert "New recovery codes were made" in told


def test_the_only_way_in_stays(mine: Mine) -> None:
    """A passkey of who has neither a password nor a confirmed address."""
    strong = strong_token(mine)
    with mine.services.tenancy.session(mine.tenant.id, write=True) as session:
        user = users.get(session, mine.user_id)
        assert user is not None
        user.password_hash, user.email_verified = None, False
    security_key.registered(mine.services, mine.tenant, mine.user_id)
    (only,) = mine.call("GET", "/me/factors", strong).json["factors"]
    problem(mine.call("DELETE", f"/me/factors/{only['id']}", strong), 409, "factor.only_way")
    assert len(mine.call("GET", "/me/factors", strong).json["factors"]) == 1


def strong_token(mine: Mine) -> str:
    """Of a sign-in with two factors."""
    code = mine.side.code(
        mine.party,
        mine.user_id,
        f"openid {WRITE}",
        resources=(mine.tenant.issuer,),
        session_id=mine.session.sid,
        acr=TWO_FACTOR,
        amr=("pwd", "otp", "mfa"),
    )
    answer = mine.side.post("/token", code.form(), mine.party)
    assert answer.status_code == 200, answer.text
    token: str = answer.json["access_token"]
    return token


def begin(mine: Mine, token: str | None = None, **body: Any) -> Any:
    return mine.call("POST", "/me/factors", token, json=body)


def confirm(mine: Mine, begun: Any, token: str | None = None, **body: Any) -> Any:
    return mine.call("POST", f"/me/factors/{begun.json['id']}/confirmation", token, json=body)


def code_of(secret: str) -> str:
    return pyotp.TOTP(secret).at(clock.now())


def test_an_authenticator_app_is_added(mine: Mine) -> None:
    """What it has to know once, recovery codes with the first one, and a mail to the person."""
    begun = begin(mine, kind="totp")
    assert begun.status_code == 202
    assert begun.headers["Cache-Control"] == "no-store"
    secret = begun.json["secret"]
    assert begun.json["uri"].startswith("otpauth://totp/")
    assert f"secret={secret}" in begun.json["uri"]
    wrong = f"{(int(code_of(secret)) + 1) % 10**6:06}"
    problem(confirm(mine, begun, code=wrong), 400, "factor.code_wrong")
    added = confirm(mine, begun, code=code_of(secret), name="Pixel")
    assert added.status_code == 201, added.text
    assert (added.json["factor"]["kind"], added.json["factor"]["name"]) == ("totp", "Pixel")
    assert len(added.json["recovery_codes"]) == 10
    (event,) = mine.events("factor.added")
    assert event["data"]["via"] == "api"
    assert event["client"] == mine.party.client_id
    assert mailbag.letters(mine.services, mine.tenant)[-1].subject
    # From now on it has to be shown before anything changes.
    problem(begin(mine, kind="totp"), 401, "token.second_factor_missing")
    strong = strong_token(mine)
    again = begin(mine, strong, kind="totp")
    second = confirm(mine, again, strong, code=code_of(again.json["secret"]))
    assert second.json["recovery_codes"] == []
    assert second.json["factor"]["name"] == "Authenticator app"


def test_a_passkey_is_added_and_signs_in(mine: Mine) -> None:
    begun = begin(mine, kind="passkey")
    options = begun.json["passkey_options"]
    assert options["rp"]["id"] == "localhost"
    key = security_key.new_key(mine.services, mine.tenant)
    key.handle = unb64url(options["user"]["id"])
    problem(confirm(mine, begun, credential={"id": "x"}), 400, "passkey.invalid")
    # A challenge is good for one answer.
    problem(confirm(mine, begun, credential=key.attest(options["challenge"])), 400, "passkey.expired")
    begun = begin(mine, kind="passkey")
    added = confirm(
        mine, begun, credential=key.attest(begun.json["passkey_options"]["challenge"]), name="Key"
    )
    assert added.status_code == 201, added.text
    assert added.json["factor"]["kind"] == "passkey"
    new_app(mine.services, mine.tenant, f"native-{mine.user_id[:8]}")
    native = NativeApp(mine.side.http, f"native-{mine.user_id[:8]}")
    asked = more(native.begin(begin="passkey"))["passkey_options"]
    assert native.send(passkey=json.dumps(key.sign(asked["challenge"]))).status_code == 200


def test_a_telephone_is_added(mine: Mine, receiver: Receiver) -> None:
    problem(begin(mine, kind="phone", number="+491700000001"), 409, "factor.not_offered")
    decide(mine.services, mine.tenant, authentication={"mfa": {"methods": ["passkey", "totp", "sms"]}})
    sender = HttpSender(Fetcher(("127.0.0.1",)), receiver.url, "operators-secret", JSON_BODY)
    texting = dataclasses.replace(mine.services, sms=Texter(mine.services.vault, sender))
    mine.side = dataclasses.replace(
        mine.side, http=Http(create_app(texting.settings, services=texting), mine.tenant)
    )
    problem(begin(mine, kind="phone", number="0170 1"), 400, "phone.invalid")
    problem(begin(mine, kind="phone"), 400, "request.invalid")
    problem(begin(mine, kind="totp", number="+491700000001"), 400, "request.invalid")
    begun = begin(mine, kind="phone", number="0049 170 / 000 00 01")
    assert begun.json["sent_to"].endswith("01")
    text = messages(mine.services, mine.tenant, sms.TOPIC)[-1]
    assert text["to"] == "+491700000001"
    code = code_in(text)
    problem(confirm(mine, begun, code="000000" if code != "000000" else "000001"), 400, "factor.code_expired")
    added = confirm(mine, begun, code=code)
    assert added.json["factor"]["kind"] == "phone"
    decide(mine.services, mine.tenant, authentication={"mfa": {"methods": ["passkey", "totp"]}})


def test_codes_for_a_telephone_are_not_to_be_guessed_nor_sent_without_end(
    mine: Mine, receiver: Receiver
) -> None:
    decide(mine.services, mine.tenant, authentication={"mfa": {"methods": ["passkey", "totp", "sms"]}})
    sender = HttpSender(Fetcher(("127.0.0.1",)), receiver.url, "operators-secret", JSON_BODY)
    texting = dataclasses.replace(mine.services, sms=Texter(mine.services.vault, sender))
    mine.side = dataclasses.replace(
        mine.side, http=Http(create_app(texting.settings, services=texting), mine.tenant)
    )
    begun = begin(mine, kind="phone", number="+491700000002")
    code = code_in(messages(mine.services, mine.tenant, sms.TOPIC)[-1])
    for n in range(1, 6):
        wrong = f"{(int(code) + n) % 10**6:06}"
        problem(confirm(mine, begun, code=wrong), 400, "factor.code_expired")
    problem(confirm(mine, begun, code=code), 400, "factor.code_expired")
    for _ in range(2):
        assert begin(mine, kind="phone", number="+491700000002").status_code == 202
    answer = begin(mine, kind="phone", number="+491700000002")
    problem(answer, 429, "rate.limited")
    assert int(answer.headers["Retry-After"]) >= 1
    decide(mine.services, mine.tenant, authentication={"mfa": {"methods": ["passkey", "totp"]}})


def test_what_is_being_added_is_the_persons_own_and_added_once(mine: Mine) -> None:
    begun = begin(mine, kind="totp")
    secret = begun.json["secret"]
    other = Mine(mine.side)
    problem(confirm(other, begun, code=code_of(secret)), 404, "factor.unknown")
    problem(confirm(mine, begun), 400, "factor.code_wrong")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(confirm(mine, begun, code=code_of(secret))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever comes after the first is asked to show it.
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {401, 404}
    stored = mine.services.state.execute(Get(Key(mine.tenant.id, KIND, f"{mine.user_id}:{begun.json['id']}")))
    assert stored.results == (None,)


def test_adding_needs_a_recent_sign_in(mine: Mine) -> None:
    """RFC 9470 section 3."""
    begun = begin(mine, kind="totp")
    with time_machine.travel(clock.now() + timedelta(seconds=200), tick=True):
        decide(mine.services, mine.tenant, sessions={"reauthenticate_for": {"security": 120}})
        for answer in (begin(mine, kind="totp"), confirm(mine, begun, code="000000")):
            problem(answer, 401, "token.sign_in_too_old")
            assert 'max_age="120"' in challenge(answer)
    decide(mine.services, mine.tenant, sessions={"reauthenticate_for": {}})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.server_close()
