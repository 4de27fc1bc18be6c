"""OAuth 2.0 for First-Party Applications: the tenant's own application signs people in, over the pages' own sign-in."""

import dataclasses
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from app.domain import authenticators
from app.domain.access.rbac import give_role
from app.domain.assurance import ONE_FACTOR, PHISHING_RESISTANT, TWO_FACTOR
from app.domain.models import Client, User
from app.domain.tenants import TenantContext
from app.infra import mail, sms
from app.infra.fetch import Fetcher
from app.infra.sms import HttpSender, Texter
from app.kernel import clock
from app.kernel.errors import Unavailable
from app.protocols.login.factors import totp
from app.protocols.oauth.auth_sessions import KIND, MAX_REQUESTS, SECONDS
from app.protocols.oauth.pushed import PREFIX
from app.web.services import Services
from tests.authenticator_app import AuthenticatorApp
from tests.conftest import Http, new_tenant
from tests.protocol import mailbag, security_key
from tests.protocol.banks import Bank, reasons
from tests.protocol.browserless import PASSWORD, VERIFIER, Person, answer_of, new_person
from tests.protocol.mailbag import newest
from tests.protocol.native_app import AGENT, PATH, NativeApp, confirm_mailbox, more, new_app, web
from tests.protocol.parties import API, new_client, new_resource, read_token
from tests.protocol.prover import Prover
from tests.protocol.registrations import Registry
from tests.protocol.test_access_rules import OFFICE, closed
from tests.protocol.test_factor_messages import JSON_BODY, Receiver, code_in, messages
from tests.protocol.test_factors import Settle, events, settle
from tests.protocol.token_side import refused

__all__ = ["settle"]

Phone = Callable[..., NativeApp]


@pytest.fixture
def services(services: Services) -> Services:
    """A shorter floor, as these tests fail on purpose all the time."""
    return dataclasses.replace(services, sign_in_floor_seconds=0.05)


@pytest.fixture
def alice(services: Services, tenant: TenantContext) -> str:
    """Somebody with a password. Gives the id."""
    return new_person(services, tenant)


@pytest.fixture
def phone(services: Services, tenant: TenantContext, app: Flask) -> Phone:
    """Makes telephones with the application on them."""
    new_app(services, tenant)

    def make(**members: Any) -> NativeApp:
        return NativeApp(Http(app, tenant), **members)

    return make


@pytest.fixture
def native(phone: Phone, alice: str) -> NativeApp:
    """Alice's telephone."""
    return phone()


def add_totp(services: Services, tenant: TenantContext, user_id: str) -> AuthenticatorApp:
    """Somebody's authenticator app."""
    app = AuthenticatorApp()
    app.secret = totp.new_secret()
    # The code of this moment rather than of the one before, which may be over by the time it arrives.
    app._last = clock.timestamp(clock.now()) // totp.STEP_SECONDS - 1
    with services.tenancy.session(tenant.id, write=True) as session:
        authenticators.add_totp(
            session, services.vault, tenant.id, user_id, name="Phone", secret=app.secret, step=0
        )
    return app


def add_recovery_codes(services: Services, tenant: TenantContext, user_id: str) -> list[str]:
    pepper = services.deployment_secrets.pepper()
    with services.tenancy.session(tenant.id, write=True) as session:
        return authenticators.new_recovery_codes(session, pepper, user_id)


def change(services: Services, tenant: TenantContext, **values: Any) -> None:
    """Change Alice's row."""
    with services.tenancy.session(tenant.id, write=True) as session:
        session.execute(update(User).where(User.username == "alice").values(**values))


def claims_of(services: Services, tenant: TenantContext, tokens: dict[str, Any]) -> dict[str, Any]:
    return dict(read_token(services, tenant, tokens["id_token"]).claims)


@contextmanager
def busy(services: Services) -> Iterator[None]:
    """As many people at the hashing threads as may wait for them."""
    full, done = threading.Event(), threading.Event()

    def wait() -> None:
        try:
            with services.passwords.admitted():
                done.wait()
        except Unavailable:
            full.set()

    threads = []
    while not full.is_set():
        threads.append(threading.Thread(target=wait))
        threads[-1].start()
        full.wait(0.01)
    yield
    done.set()
    for thread in threads:
        thread.join()


def same(answer: TestResponse) -> dict[str, Any]:
    """What an answer says beside its auth session."""
    said = dict(answer.json)
    assert len(said.pop("auth_session")) >= 43  # 256 bits
    return {"status": answer.status_code, **said}


class TestSigningIn:
    def test_name_and_password(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str
    ) -> None:
        """Sections 5.1, 5.2.1 and 6: one request, a code, tokens without a redirect URI; nobody has to consent."""
        before = clock.timestamp(clock.now())
        answer = native.sign_in(nonce="n-1")
        assert answer.status_code == 200
        assert set(answer.json) == {"authorization_code", "auth_session", "device"}
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers
        tokens = native.tokens(answer)
        claims = claims_of(services, tenant, tokens)
        assert claims["sub"] == alice
        assert claims["amr"] == ["pwd"]
        assert claims["acr"] == ONE_FACTOR
        assert claims["nonce"] == "n-1"
        assert before <= claims["auth_time"] <= clock.timestamp(clock.now())
        assert tokens["scope"] == "openid profile"
        assert tokens["refresh_token"]

    def test_what_is_needed_is_told_first(self, native: NativeApp) -> None:
        """Section 5.2.2.1: 403, the tenant's ways to begin, and the name of what goes on."""
        said = more(native.begin())
        assert said["factors"] == ["password", "passkey"]
        assert said["reason"] == "session.missing"
        assert native.password().status_code == 200

    def test_name_first_and_password_later(self, native: NativeApp) -> None:
        more(native.begin(username="alice", login_hint="alice"))
        assert native.password().status_code == 200

    def test_repeating_the_request_each_time_works_too(self, native: NativeApp) -> None:
        more(native.begin())
        more(native.sign_in(password="wrong"))
        assert native.sign_in().status_code == 200

    def test_authenticator_app(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str
    ) -> None:
        app = add_totp(services, tenant, alice)
        add_recovery_codes(services, tenant, alice)
        said = more(native.sign_in())
        assert said["factors"] == ["totp", "recovery_code"]
        assert said["reason"] == "mfa.enrolled"
        assert said["acr"] == TWO_FACTOR
        assert more(native.send(totp="000000"))["failed"] == "totp"
        claims = claims_of(services, tenant, native.tokens(native.send(totp=app.code())))
        assert claims["amr"] == ["pwd", "otp", "mfa"]
        assert claims["acr"] == TWO_FACTOR

    def test_recovery_code(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str
    ) -> None:
        add_totp(services, tenant, alice)
        codes = add_recovery_codes(services, tenant, alice)
        more(native.sign_in())
        claims = claims_of(services, tenant, native.tokens(native.send(recovery_code=codes[0])))
        assert claims["amr"] == ["pwd", "otp", "mfa"]
        (used,) = events(services, tenant, "recovery.used")
        assert used["user_agent"] == AGENT
        again = NativeApp(native.http)
        more(again.sign_in())
        assert more(again.send(recovery_code=codes[0]))["failed"] == "recovery_code"

    def test_code_by_mail_as_second_factor(
        self, native: NativeApp, services: Services, tenant: TenantContext, settle: Settle
    ) -> None:
        confirm_mailbox(services, tenant)
        settle(authentication={"mfa": {"required": "all", "methods": ["totp", "email"]}})
        assert more(native.sign_in())["factors"] == ["email_code"]
        said = more(native.send(begin="email"))
        assert said["sent_to"] == "a…@example.com"
        letter = newest(services, tenant, "alice@example.com")
        code = code_in({"text": letter.text})
        assert more(native.send(email_code="000000" if code != "000000" else "000001"))["failed"]
        claims = claims_of(services, tenant, native.tokens(native.send(email_code=code)))
        assert claims["amr"] == ["pwd", "otp", "mfa"]

    def test_code_by_text(
        self,
        services: Services,
        tenant: TenantContext,
        alice: str,
        settle: Settle,
        receiver: Receiver,
    ) -> None:
        """In the language the application asks for."""
        from app import create_app

        sender = HttpSender(Fetcher(("127.0.0.1",)), receiver.url, "operators-secret", JSON_BODY)
        texting = dataclasses.replace(services, sms=Texter(services.vault, sender))
        new_app(texting, tenant)
        native = NativeApp(Http(create_app(texting.settings, services=texting), tenant))
        settle(authentication={"mfa": {"methods": ["totp", "sms"]}})
        with services.tenancy.session(tenant.id, write=True) as session:
            authenticators.add_phone(session, alice, number="+491700000001")
        assert more(native.sign_in(ui_locales="de"))["factors"] == ["sms_code"]
        assert more(native.send(begin="sms"))["sent_to"].endswith("01")
        (text,) = messages(services, tenant, sms.TOPIC)
        assert "ist dein Code" in text["text"] or "Code für" in text["text"]
        claims = claims_of(services, tenant, native.tokens(native.send(sms_code=code_in(text))))
        assert claims["amr"] == ["pwd", "sms", "mfa"]

    def test_code_by_mail_alone(
        self, native: NativeApp, services: Services, tenant: TenantContext, settle: Settle
    ) -> None:
        """A code without a link, which would lead to a browser."""
        confirm_mailbox(services, tenant)
        settle(authentication={"methods": ["password", "email"]})
        assert more(native.begin())["factors"] == ["password", "email_code"]
        said = more(native.send(username="alice", begin="email"))
        assert said["sent"] is True
        assert "sent_to" not in said
        (letter,) = messages(services, tenant, mail.TOPIC)
        assert "/interaction/" not in letter["text"]
        claims = claims_of(services, tenant, native.tokens(native.send(email_code=code_in(letter))))
        assert claims["amr"] == ["otp"]
        assert claims["acr"] == ONE_FACTOR

    def test_passkey_alone(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str
    ) -> None:
        """A challenge in the answer, the assertion posted back; nobody says a name."""
        key = security_key.registered(services, tenant, alice)
        asked = more(native.begin(begin="passkey"))["passkey_options"]
        assert asked["rpId"] == "localhost"
        assert not asked.get("allowCredentials")
        answer = native.send(passkey=json.dumps(key.sign(asked["challenge"])))
        claims = claims_of(services, tenant, native.tokens(answer))
        assert claims["amr"] == ["hwk", "user", "mfa"]
        assert claims["acr"] == PHISHING_RESISTANT

    def test_passkey_as_second_factor(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str
    ) -> None:
        key = security_key.registered(services, tenant, alice)
        assert more(native.sign_in())["factors"] == ["passkey"]
        asked = more(native.send(begin="passkey"))["passkey_options"]
        assert len(asked["allowCredentials"]) == 1
        answer = native.send(passkey=json.dumps(key.sign(asked["challenge"], verified=False)))
        assert claims_of(services, tenant, native.tokens(answer))["amr"] == ["pwd", "hwk", "mfa"]

    @pytest.mark.parametrize("fault", ["origin", "challenge", "replayed", "garbage", "none begun"])
    def test_passkey_answers_that_are_none(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str, fault: str
    ) -> None:
        key = security_key.registered(services, tenant, alice)
        asked = more(native.begin(begin="passkey"))["passkey_options"]["challenge"]
        answers = {
            "origin": key.sign(asked, origin="https://evil.example"),
            "challenge": key.sign("A" * 43),
            "garbage": {"id": key.sign(asked)["id"], "response": []},
        }
        if fault == "none begun":
            native = NativeApp(native.http)
            native.begin()
        if fault == "replayed":
            more(native.send(passkey="{}"))
        answer = native.send(passkey=json.dumps(answers.get(fault, key.sign(asked))))
        assert more(answer)["failed"] == "passkey"

    def test_passkey_of_an_android_application(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str, settle: Settle
    ) -> None:
        """Android names an application by the hash of its certificate; browsers are not told of it."""
        origin = "android:apk-key-hash:" + "A" * 43
        settle(authentication={"passkeys": {"related_origins": [origin]}})
        key = security_key.registered(services, tenant, alice)
        asked = more(native.begin(begin="passkey"))["passkey_options"]["challenge"]
        assert native.send(passkey=json.dumps(key.sign(asked, origin=origin))).status_code == 200
        assert native.http.get("/.well-known/webauthn").status_code == 404

    def test_confidential_client(
        self, services: Services, tenant: TenantContext, app: Flask, alice: str
    ) -> None:
        """Section 4.1: it authenticates as at the token endpoint."""
        party = new_client(services, tenant, first_party=True, authorization_challenge=True)
        native = NativeApp(Http(app, tenant), party.client_id)
        refused(native.sign_in(), "invalid_client", 401)
        native.headers = party.basic
        answer = native.sign_in()
        form = {
            "grant_type": "authorization_code",
            "code": answer.json["authorization_code"],
            "code_verifier": VERIFIER,
        }
        assert native.http.post("/token", form=form, headers=party.basic).status_code == 200
        redirected = {**form, "redirect_uri": "https://evil.example"}
        again = native.sign_in(prompt="login")
        redirected["code"] = again.json["authorization_code"]
        answer = native.http.post("/token", form=redirected, headers=party.basic)
        refused(answer, "invalid_grant")

    def test_what_may_be_asked_for_at_the_authorization_endpoint_may_be_here(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        """Section 4.1: resource, claims and the rest, through the one table of checks."""
        new_resource(services, tenant)
        claims = {"id_token": {"email": {"essential": True}}}
        answer = native.sign_in(scope="openid read", resource=API, claims=json.dumps(claims), state="s")
        tokens = native.tokens(answer)
        assert read_token(services, tenant, tokens["access_token"]).claims["aud"] == API
        assert claims_of(services, tenant, tokens)["email"] == "alice@example.com"

    def test_signed_request(self, services: Services, tenant: TenantContext, http: Http, alice: str) -> None:
        """RFC 9101: a request object in place of parameters; what the person shows stays beside it."""
        bank = Bank.open(services, tenant, http, first_party=True, authorization_challenge=True)
        form = {
            **bank.assertion(),
            "request": bank.object(scope="openid email", redirect_uri=None),
            "username": "alice",
            "password": PASSWORD,
        }
        answer = http.post(PATH, form=form)
        assert answer.status_code == 200, answer.text
        redeemed = bank.redeem(answer.json["authorization_code"], proof=False, redirect_uri=None)
        assert redeemed.json["scope"] == "openid email"

    def test_session_is_the_persons_to_see_and_end(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str
    ) -> None:
        tokens = native.tokens(native.sign_in())
        (session,) = services.sessions.of_user(tenant, alice)
        assert session.sid == claims_of(services, tenant, tokens)["sid"]
        assert session.user_agent == AGENT
        assert session.ip == "127.0.0.1"
        assert session.clients == ("native",)
        with services.tenancy.session(tenant.id, write=True) as database:
            services.sessions.end(database, tenant, session)
        form = {
            "grant_type": "refresh_token",
            "refresh_token": tokens["refresh_token"],
            "client_id": native.client_id,
        }
        refused(native.http.post("/token", form=form), "invalid_grant")
        assert more(native.begin())["reason"] == "session.missing"

    def test_it_is_on_record(self, native: NativeApp, services: Services, tenant: TenantContext) -> None:
        more(native.sign_in(password="wrong"))
        assert native.password().status_code == 200
        (success,) = events(services, tenant, "auth.login.success")
        assert success["client"] == "native"
        assert success["user_agent"] == AGENT
        assert success["data"]["method"] == "password"
        assert reasons(services, tenant, "auth.login.fail") == ["password.wrong"]

    def test_cookies_count_for_nothing(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        """Whoever is signed in in a browser is not signed in at an application in it."""
        person = Person(native.http)
        person.allow(
            person.sign_in(person.authorize("native", redirect_uri="com.example.app:/cb", prompt="consent"))
        )
        assert "alice" in person.http.get("/account").text
        assert more(native.begin())["reason"] == "session.missing"

    def test_new_device_is_told_to_its_person(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        confirm_mailbox(services, tenant)
        native.sign_in()
        other = NativeApp(native.http)
        other.sign_in()
        letter = newest(services, tenant, "alice@example.com")
        assert "new" in letter.subject.lower()
        count = len(messages(services, tenant))
        NativeApp(native.http, device=other.device).sign_in()
        assert len(messages(services, tenant)) == count


class TestAuthSession:
    def test_changes_with_every_answer(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        """Section 5.3.1; one that was used is good for nothing."""
        seen = [more(native.begin())["auth_session"]]
        seen.append(more(native.password(password="wrong"))["auth_session"])
        seen.append(native.password().json["auth_session"])
        assert len(set(seen)) == 3
        for old in seen[:2]:
            refused(NativeApp(native.http, auth_session=old).password(), "invalid_session")
        assert reasons(services, tenant, "authorization.refused") == ["auth_session.unknown"] * 2

    def test_of_parallel_requests_one_goes_on(
        self, native: NativeApp, app: Flask, tenant: TenantContext
    ) -> None:
        more(native.begin())
        twins = [NativeApp(Http(app, tenant), auth_session=native.auth_session) for _ in range(8)]
        answers: list[TestResponse] = []
        threads = [threading.Thread(target=lambda t=t: answers.append(t.password())) for t in twins]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
        assert {a.json["error"] for a in answers if a.status_code == 400} == {"invalid_session"}

    def test_belongs_to_one_client(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        """Section 5.1; trying takes nothing from its owner."""
        new_app(services, tenant, "other")
        more(native.begin())
        refused(
            NativeApp(native.http, "other", auth_session=native.auth_session).password(), "invalid_session"
        )
        assert reasons(services, tenant, "authorization.refused") == ["auth_session.wrong_client"]
        assert native.password().status_code == 200

    def test_belongs_to_one_key(self, native: NativeApp, services: Services, tenant: TenantContext) -> None:
        """Sections 9.5.1 and 9.6.1: the key of the first request, at each request and at the token endpoint."""
        native.prover = Prover(tenant.issuer)
        more(native.begin())
        thief = NativeApp(native.http, auth_session=native.auth_session)
        refused(thief.password(), "invalid_session")
        refused(thief.password(prover=Prover(tenant.issuer)), "invalid_session")
        assert reasons(services, tenant, "authorization.refused") == ["auth_session.wrong_key"] * 2
        answer = native.password()
        stolen = NativeApp(native.http, prover=Prover(tenant.issuer))
        refused(stolen.redeem(answer), "invalid_grant")
        tokens = native.tokens(answer)
        assert tokens["token_type"] == "DPoP"
        assert read_token(services, tenant, tokens["access_token"]).claims["cnf"] == {
            "jkt": native.prover.jkt
        }
        refused(NativeApp(native.http, auth_session=native.auth_session).begin(), "invalid_session")

    def test_begun_without_a_key_stays_without(self, native: NativeApp, tenant: TenantContext) -> None:
        more(native.begin())
        refused(native.password(prover=Prover(tenant.issuer)), "invalid_session")

    def test_a_proof_is_good_once_and_for_this_address(
        self, native: NativeApp, tenant: TenantContext
    ) -> None:
        prover = Prover(tenant.issuer)
        for path, error in ((PATH, None), (PATH, "invalid_dpop_proof"), ("/token", "invalid_dpop_proof")):
            proof = prover.header(path) if path != PATH or error is None else native.headers
            native.headers, native.auth_session = proof, None
            answer = native.begin()
            assert answer.json["error"] == (error or "insufficient_authorization")

    def test_expires(self, native: NativeApp) -> None:
        more(native.begin())
        with time_machine.travel(clock.now() + timedelta(seconds=SECONDS + 2), tick=True):
            refused(native.password(), "invalid_session")

    def test_takes_so_many_requests(self, native: NativeApp) -> None:
        """Section 9.3: rate limits by auth session."""
        for _ in range(MAX_REQUESTS):
            more(native.begin())
        refused(native.begin(), "invalid_session")

    def test_is_given_back_when_nothing_came_of_it(self, native: NativeApp, services: Services) -> None:
        """Too many sign in at once: 503, and the same request may be sent again."""
        more(native.begin())
        with busy(services):
            answer = native.password()
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert native.password().status_code == 200

    def test_only_its_hash_is_stored(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        from app.infra.state import Get, Key
        from app.kernel.secrets import lookup_hash

        name = more(native.begin())["auth_session"]
        plain, hashed = (Get(Key(tenant.id, KIND, i)) for i in (name, lookup_hash(name)))
        found = services.state.execute(plain, hashed).results
        assert found[0] is None
        assert name.encode() not in found[1]


class TestStepUp:
    """Section 6.1, RFC 9470: a later request asks only for what is missing."""

    def test_stronger(self, native: NativeApp, services: Services, tenant: TenantContext, alice: str) -> None:
        first = claims_of(services, tenant, native.tokens(native.sign_in()))
        app = add_totp(services, tenant, alice)
        said = more(native.begin(acr_values=TWO_FACTOR))
        assert said["factors"] == ["totp"]
        assert said["reason"] == "acr.wanted"
        claims = claims_of(services, tenant, native.tokens(native.send(totp=app.code())))
        assert claims["acr"] == TWO_FACTOR
        assert claims["sid"] == first["sid"]
        (event,) = events(services, tenant, "auth.step_up")
        assert event["client"] == "native"

    def test_as_an_api_demands(
        self, services: Services, tenant: TenantContext, app: Flask, alice: str
    ) -> None:
        """Section 7: what the challenge of a resource says is what the next request asks for."""
        account = "watchword:account:write"
        new_app(services, tenant, "account", scope=f"openid {account}")
        native, authenticator = NativeApp(Http(app, tenant), "account"), add_totp(services, tenant, alice)
        asked = {"scope": f"openid {account}", "resource": tenant.issuer}
        more(native.sign_in(**asked))
        token = native.tokens(native.send(totp=authenticator.code()))["access_token"]

        def renew(token: str) -> TestResponse:
            headers = {"Authorization": f"Bearer {token}"}
            return native.http.post("/api/v1/me/recovery-codes", headers=headers)

        assert renew(token).status_code == 201
        most = tenant.settings.sessions.reauthenticate_for["security"]
        with time_machine.travel(clock.now() + timedelta(seconds=most + 60), tick=True):
            token = native.tokens(native.begin(**asked))["access_token"]
            challenge = renew(token).headers["WWW-Authenticate"]
            assert 'error="insufficient_user_authentication"' in challenge
            found = re.search(r'max_age="(\d+)"', challenge)
            assert found
            more(native.begin(**asked, max_age=found[1]))
            more(native.password())
            codes = add_recovery_codes(services, tenant, alice)
            token = native.tokens(native.send(recovery_code=codes[0]))["access_token"]
            assert renew(token).status_code == 201

    def test_nothing_missing(self, native: NativeApp) -> None:
        native.sign_in()
        assert native.begin(scope="openid email").status_code == 200

    @pytest.mark.parametrize("asked", [{"max_age": "0"}, {"prompt": "login"}])
    def test_more_recent(
        self, native: NativeApp, services: Services, tenant: TenantContext, asked: dict[str, str]
    ) -> None:
        native.sign_in()
        with time_machine.travel(clock.now() + timedelta(seconds=5), tick=True):
            assert more(native.begin(**asked))["factors"] == ["password", "passkey"]
            answer = native.password()
            claims = claims_of(services, tenant, native.tokens(answer))
            assert claims["auth_time"] >= clock.timestamp(clock.now()) - 2
            # What was shown for one request counts for no other.
            time.sleep(1.1)
            assert more(native.begin(**asked))["factors"] == ["password", "passkey"]

    def test_ends_with_the_session(self, native: NativeApp, tenant: TenantContext) -> None:
        native.sign_in()
        idle = tenant.settings.sessions.idle_seconds
        with time_machine.travel(clock.now() + timedelta(seconds=idle + 2), tick=True):
            assert more(native.begin())["reason"] == "session.missing"
        absolute = tenant.settings.sessions.absolute_seconds
        with time_machine.travel(clock.now() + timedelta(seconds=absolute + 2), tick=True):
            refused(native.begin(), "invalid_session")

    def test_somebody_else(self, native: NativeApp, services: Services, tenant: TenantContext) -> None:
        """The application is handed on: the session of the one before is not the other's."""
        first = claims_of(services, tenant, native.tokens(native.sign_in()))
        new_person(services, tenant, "bob")
        answer = native.sign_in("bob", prompt="login")
        second = claims_of(services, tenant, native.tokens(answer))
        assert second["sub"] != first["sub"]
        assert second["sid"] != first["sid"]


class TestRefusals:
    @pytest.mark.parametrize("metadata", [{}, {"first_party": True}])
    def test_other_clients(
        self,
        services: Services,
        tenant: TenantContext,
        app: Flask,
        alice: str,
        metadata: dict[str, bool],
    ) -> None:
        """Section 5: first-party alone is not enough, an administrator says which of them asks people itself."""
        party = new_client(services, tenant, **metadata)
        native = NativeApp(Http(app, tenant), party.client_id, headers=party.basic)
        refused(native.sign_in(), "unauthorized_client")
        assert reasons(services, tenant, "authorization.refused") == ["client.not_first_party"]
        assert not services.sessions.of_user(tenant, alice)

    def test_no_client_says_it_of_itself(self, services: Services, app: Flask) -> None:
        """Section 9.1: registration passes over what is an administrator's to say; nor do administrators by mistake."""
        registry = Registry.open(services, app)
        said = {"first_party": True, "authorization_challenge": True}
        made = registry.register(
            **said,
            application_type="native",
            token_endpoint_auth_method="none",
            redirect_uris=["com.example:/cb"],
        )
        native = NativeApp(registry.http, made.client_id)
        refused(native.sign_in(), "unauthorized_client")
        with services.tenancy.session(registry.tenant.id, write=True) as session:
            row = session.get_one(Client, (registry.tenant.id, made.client_id))
            row.metadata_ = {**row.metadata_, **said}
        services.versions.touch()
        refused(native.sign_in(), "unauthorized_client")
        document = registry.http.get("/.well-known/oauth-authorization-server").json
        assert "authorization_challenge_endpoint" not in document

    def test_unknown_client(self, native: NativeApp) -> None:
        refused(NativeApp(native.http, "nobody").sign_in(), "invalid_client", 401)

    def test_disabled_client(self, native: NativeApp, services: Services, tenant: TenantContext) -> None:
        native.begin()
        with services.tenancy.session(tenant.id, write=True) as session:
            session.execute(update(Client).values(disabled_at=clock.now()))
        services.versions.touch()
        refused(native.password(), "invalid_client", 401)

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"response_type": None}, "invalid_request"),
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": "code id_token"}, "unsupported_response_type"),
            ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"scope": "watchword:admin"}, "invalid_scope"),
            ({"resource": "https://unknown.example"}, "invalid_target"),
            ({"redirect_uri": "https://evil.example"}, "invalid_request"),
            ({"request_uri": "https://evil.example/object"}, "invalid_request"),
            ({"prompt": "none login"}, "invalid_request"),
            ({"max_age": "soon"}, "invalid_request"),
            ({"claims": "["}, "invalid_request"),
            ({"dpop_jkt": "short"}, "invalid_request"),
            ({"begin": "telepathy"}, "invalid_request"),
            ({"password": "x", "totp": "123456"}, "invalid_request"),
            ({"begin": "email", "totp": "123456"}, "invalid_request"),
            ({"auth_session": "A" * 43}, "invalid_session"),
            ({"auth_session": "x" * 5000}, "invalid_session"),
        ],
    )
    def test_requests_that_are_wrong(self, native: NativeApp, changes: dict[str, Any], error: str) -> None:
        refused(native.begin(**changes), error)

    def test_nothing_to_go_on_with(self, native: NativeApp) -> None:
        """A request without `response_type` goes on with one there is; after its answer there is none."""
        native.sign_in()
        refused(native.send(password=PASSWORD), "invalid_request")
        assert native.begin().status_code == 200

    def test_form_bodies_of_posts_alone(self, native: NativeApp) -> None:
        assert native.http.get(PATH).status_code == 405
        assert native.http.request("OPTIONS", PATH).status_code == 405
        assert native.http.post(PATH, json=native.asked()).status_code == 400
        assert native.http.post(PATH, query={"password": PASSWORD}, form={}).status_code == 400

    def test_clients_bound_to_a_key_prove_it_here(
        self, services: Services, tenant: TenantContext, app: Flask, alice: str
    ) -> None:
        new_app(services, tenant, "bound", dpop_bound_access_tokens=True, dpop_nonce=True)
        native = NativeApp(Http(app, tenant), "bound")
        refused(native.begin(), "invalid_dpop_proof")
        prover = Prover(tenant.issuer)
        native.headers = prover.header(PATH)
        answer = native.begin()
        refused(answer, "use_dpop_nonce")
        native.headers = prover.header(PATH, nonce=answer.headers["DPoP-Nonce"])
        more(native.begin())


class TestGuessing:
    """Section 9.3, contracts 16: what the pages give away, and how often they may be asked, holds here."""

    def test_refusals_do_not_tell_who_exists(
        self, native: NativeApp, services: Services, tenant: TenantContext, settle: Settle
    ) -> None:
        settle(authentication={"methods": ["password", "passkey", "email"]})
        confirm_mailbox(services, tenant)
        new_person(services, tenant, "closed")
        with services.tenancy.session(tenant.id, write=True) as session:
            session.execute(update(User).where(User.username == "closed").values(disabled_at=clock.now()))

        def said(step: Callable[[NativeApp], TestResponse]) -> dict[str, Any]:
            return same(step(NativeApp(native.http)))

        wrong = said(lambda one: one.sign_in("alice", "wrong"))
        assert wrong == said(lambda one: one.sign_in("nobody", "wrong"))
        assert wrong == said(lambda one: one.sign_in("closed", PASSWORD))
        sent = said(lambda one: one.begin(username="alice", begin="email"))
        assert sent == said(lambda one: one.begin(username="nobody", begin="email"))
        assert said(lambda one: one.begin(username="alice")) == said(lambda one: one.begin(username="nobody"))
        keyed = said(lambda one: one.begin(username="alice", begin="passkey"))
        other = said(lambda one: one.begin(username="nobody", begin="passkey"))
        for each in (keyed, other):
            assert each["passkey_options"].pop("challenge")
        assert keyed == other

    def test_refusals_take_the_same_time(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        """Longer than a hash on a busy machine does; the least of several."""
        from app import create_app

        floor = 0.4
        usual = dataclasses.replace(services, sign_in_floor_seconds=floor)
        http = Http(create_app(usual.settings, services=usual), tenant)

        def seconds(username: str) -> float:
            began = time.monotonic()
            more(NativeApp(http).sign_in(username, "wrong"))
            return time.monotonic() - began

        pairs = [(seconds("alice"), seconds("nobody")) for _ in range(5)]
        known, unknown = (min(times) for times in zip(*pairs, strict=True))
        assert min(known, unknown) >= floor
        assert abs(known - unknown) < floor / 4

    def test_too_many_wrong_passwords(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        """Counted with those at the pages, across auth sessions; 429 says for how long, and the turn is not lost."""
        limit = tenant.settings.authentication.lockout.failures
        owner = NativeApp(native.http)
        owner.sign_in()
        page = Person(Http(native.http.app, tenant))
        page.sign_in(page.authorize("native", redirect_uri="com.example.app:/cb"), password="wrong")
        for _ in range(limit - 1):
            more(NativeApp(native.http).sign_in(password="wrong"))
        answer = native.sign_in()
        assert answer.status_code == 429
        assert answer.json["error"] == "temporarily_unavailable"
        assert int(answer.headers["Retry-After"]) > 60
        assert answer.json["auth_session"]
        assert "account.locked" in reasons(services, tenant, "auth.login.fail")
        late = NativeApp(native.http)
        late.begin()
        assert late.password(device=owner.device).status_code == 200
        # Whoever signed in at this application before still gets in; what tells so is worth nothing elsewhere.
        again = NativeApp(native.http, device=owner.device)
        assert again.sign_in().status_code == 200
        new_app(services, tenant, "other")
        assert NativeApp(native.http, "other", device=owner.device).sign_in().status_code == 429
        thief = NativeApp(native.http, device=owner.device, prover=Prover(tenant.issuer))
        assert thief.sign_in().status_code == 429
        cookie = Http(native.http.app, tenant)
        cookie.client.set_cookie(f"ww-{tenant.id}-device", owner.device, domain="localhost")
        locked = Person(cookie)
        assert (
            locked.sign_in(locked.authorize("native", redirect_uri="com.example.app:/cb")).status_code == 429
        )

    def test_too_many_wrong_codes(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str
    ) -> None:
        """Whoever has the password does not guess the second factor: all factors and auth sessions count together."""
        app = add_totp(services, tenant, alice)
        codes = add_recovery_codes(services, tenant, alice)
        limit = tenant.settings.authentication.lockout.failures
        for number in range(limit):
            guesser = NativeApp(native.http)
            more(guesser.sign_in())
            guess = {"totp": f"{number:06}"} if number % 2 else {"recovery_code": "AAAA-AAAA-AAAA"}
            more(guesser.send(**guess))
        more(native.sign_in())
        assert native.send(totp=app.code()).status_code == 429
        assert native.send(recovery_code=codes[0]).status_code == 429
        (letter,) = mailbag.letters(services, tenant)
        assert letter.subject == "Somebody knows your password"

    def test_codes_of_an_app_are_good_once(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str
    ) -> None:
        code = add_totp(services, tenant, alice).code()
        more(native.sign_in())
        assert native.send(totp=code).status_code == 200
        other = NativeApp(native.http)
        more(other.sign_in())
        assert more(other.send(totp=code))["failed"] == "totp"

    def test_one_recovery_code_in_parallel(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str, app: Flask
    ) -> None:
        add_totp(services, tenant, alice)
        code = add_recovery_codes(services, tenant, alice)[0]
        twins = [NativeApp(Http(app, tenant)) for _ in range(6)]
        for twin in twins:
            more(twin.sign_in())
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda t=t: statuses.append(t.send(recovery_code=code).status_code))
            for t in twins
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] + [403] * 5

    def test_mail_codes(
        self, native: NativeApp, services: Services, tenant: TenantContext, settle: Settle
    ) -> None:
        """Five tries, in the one sign-in that asked; so many messages and no more."""
        confirm_mailbox(services, tenant)
        settle(authentication={"methods": ["password", "email"]})
        native.begin(username="alice", begin="email")
        (letter,) = messages(services, tenant, mail.TOPIC)
        code = code_in(letter)
        other = NativeApp(native.http)
        other.begin(username="alice", begin="email")
        more(other.send(email_code=code))
        wrong = f"{(int(code) + 1) % 10**6:06}"
        for _ in range(5):
            more(native.send(email_code=wrong))
        more(native.send(email_code=code))
        statuses = [native.send(username="alice", begin="email").status_code for _ in range(6)]
        assert statuses[-1] == 429

    def test_factors_not_asked_for_do_nothing(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str
    ) -> None:
        """Nobody begins with a second factor, and nothing tells whether it would have been right."""
        app = add_totp(services, tenant, alice)
        code = add_recovery_codes(services, tenant, alice)[0]
        native.begin(username="alice")
        right = same(native.send(username="alice", recovery_code=code))
        assert right == same(native.send(username="alice", recovery_code="AAAA-AAAA-AAAA"))
        assert right["factors"] == ["password", "passkey"]
        same(native.send(username="alice", totp=app.code()))
        with services.tenancy.session(tenant.id) as session:
            assert authenticators.recovery_codes_left(session, alice) == 10

    def test_one_network_begins_so_often(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        from app.infra.limits import AUTHORIZE, network_of

        counted = AUTHORIZE.count(tenant.id, network_of("127.0.0.1"))
        services.state.execute(dataclasses.replace(counted, amount=AUTHORIZE.most, limit=None))
        answer = native.begin()
        refused(answer, "temporarily_unavailable", 429)
        assert int(answer.headers["Retry-After"]) >= 1


class TestWeb:
    """Section 5.2.2.1.1: what only a page can do is done in a browser, with a request that was pushed."""

    def test_the_browser_goes_on(
        self, native: NativeApp, services: Services, tenant: TenantContext, alice: str, app: Flask
    ) -> None:
        """An administrator has to add a second factor. The code that comes of it is the application's to redeem."""
        with services.tenancy.session(tenant.id, write=True) as session:
            give_role(session, alice, "admin")
        said = web(native.sign_in(state="s-1"))
        assert said["request_uri"].startswith(PREFIX)
        assert said["expires_in"] > 0
        assert "auth_session" not in said
        assert not services.sessions.of_user(tenant, alice)
        person = Person(Http(app, tenant))
        query = {"client_id": "native", "request_uri": said["request_uri"]}
        page = person.follow(person.http.get("/authorize", query=query))
        assert 'value="alice"' in page.text
        page = person.save_codes(person.enrol(person.sign_in(page)))
        found = answer_of(page)
        assert found.target.startswith("com.example.app:/cb")
        assert found.parameters["state"] == "s-1"
        form = {
            "grant_type": "authorization_code",
            "client_id": "native",
            "code": found.parameters["code"],
            "code_verifier": VERIFIER,
            "redirect_uri": "com.example.app:/cb",
        }
        assert native.http.post("/token", form=form).status_code == 200

    @pytest.mark.parametrize(
        ("prepare", "asked", "reason"),
        [
            ({"must_change_password": True}, {}, "password.must_change"),
            ({"delete_at": clock.after(86400)}, {}, "account.leaving"),
            ({}, {"prompt": "consent"}, "prompt.consent"),
        ],
    )
    def test_what_an_application_cannot_do(
        self,
        native: NativeApp,
        services: Services,
        tenant: TenantContext,
        prepare: dict[str, Any],
        asked: dict[str, str],
        reason: str,
    ) -> None:
        if prepare:
            change(services, tenant, **prepare)
        assert web(native.sign_in(**asked))["request_uri"]

    def test_what_a_tenant_wants_first(
        self, native: NativeApp, services: Services, settle: Settle, alice: str, tenant: TenantContext
    ) -> None:
        settle(authentication={"require_verified_email": True})
        web(native.sign_in())
        settle(authentication={}, registration={"people": "open"})
        web(native.begin(prompt="create"))
        settle(terms={"version": "1", "url": "https://example.com/terms"})
        web(native.sign_in())
        assert not services.sessions.of_user(tenant, alice)

    def test_which_way_back(self, services: Services, tenant: TenantContext, app: Flask, alice: str) -> None:
        """Of several redirect URIs the request names one; else the application makes a request of its own."""
        uris = ["com.example.app:/cb", "com.example.app:/other"]
        new_app(services, tenant, "two", redirect_uris=uris)
        native = NativeApp(Http(app, tenant), "two")
        assert "request_uri" not in web(native.sign_in(prompt="consent"))
        assert web(native.sign_in(prompt="consent", redirect_uri=uris[1]))["request_uri"]

    def test_no_request_without_pkce(
        self, services: Services, tenant: TenantContext, app: Flask, alice: str
    ) -> None:
        """Section 5.2.2.1.1: it would be a pushed request nobody can be held to."""
        party = new_client(
            services, tenant, profile="oidc-legacy", first_party=True, authorization_challenge=True
        )
        native = NativeApp(Http(app, tenant), party.client_id, headers=party.basic)
        plain = {"code_challenge": None, "code_challenge_method": None, "prompt": "consent"}
        assert "request_uri" not in web(native.sign_in(**plain))
        assert web(native.sign_in(prompt="consent"))["request_uri"]

    def test_the_key_goes_along(
        self, native: NativeApp, services: Services, tenant: TenantContext, app: Flask
    ) -> None:
        """RFC 9449 section 10.1: the code the browser brings is bound to the key the application proved."""
        native.prover = Prover(tenant.issuer)
        change(services, tenant, must_change_password=False)
        uri = web(native.sign_in(prompt="consent"))["request_uri"]
        person = Person(Http(app, tenant))
        page = person.follow(person.http.get("/authorize", query={"client_id": "native", "request_uri": uri}))
        code = answer_of(person.allow(person.sign_in(page))).parameters["code"]
        form = {
            "grant_type": "authorization_code",
            "client_id": "native",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": "com.example.app:/cb",
        }
        refused(native.http.post("/token", form=form), "invalid_grant")
        answer = native.http.post("/token", form=form, headers=native.prover.header())
        assert answer.json["token_type"] == "DPoP"

    def test_a_session_survives_it(self, native: NativeApp) -> None:
        """Whoever is signed in at the application stays so, and may ask for something else."""
        native.sign_in()
        assert web(native.begin(prompt="consent"))["auth_session"]
        assert native.begin().status_code == 200


class TestRules:
    """Where, when and who: asked in the order of the pages, after the person showed who they are."""

    def test_network(
        self, native: NativeApp, services: Services, tenant: TenantContext, settle: Settle, alice: str
    ) -> None:
        settle(network=OFFICE)
        more(native.sign_in(password="wrong"))
        answer = native.password()
        assert answer.status_code == 403
        assert answer.json["error"] == "access_denied"
        assert "auth_session" not in answer.json
        assert reasons(services, tenant, "auth.login.fail") == ["password.wrong", "network.not_allowed"]
        assert not services.sessions.of_user(tenant, alice)
        inside = NativeApp(native.http, address="10.1.2.3")
        assert inside.sign_in().status_code == 200

    def test_hours(
        self, native: NativeApp, services: Services, tenant: TenantContext, settle: Settle
    ) -> None:
        settle(hours=closed())
        assert native.sign_in().json["error"] == "access_denied"
        assert reasons(services, tenant, "auth.login.fail") == ["hours.closed"]

    def test_groups(self, services: Services, tenant: TenantContext, app: Flask) -> None:
        new_app(services, tenant, "staff", allowed_groups=["staff"])
        new_person(services, tenant)
        new_person(services, tenant, "bob", groups=("staff",))
        assert NativeApp(Http(app, tenant), "staff").sign_in().json["error"] == "access_denied"
        assert NativeApp(Http(app, tenant), "staff").sign_in("bob").status_code == 200

    def test_strength_nobody_here_has(self, native: NativeApp) -> None:
        claims = {"id_token": {"acr": {"essential": True, "value": PHISHING_RESISTANT}}}
        answer = native.sign_in(claims=json.dumps(claims))
        assert answer.json["error"] == "unmet_authentication_requirements"

    def test_somebody_else_than_expected(
        self, native: NativeApp, services: Services, tenant: TenantContext
    ) -> None:
        hint = native.tokens(native.sign_in())["id_token"]
        new_person(services, tenant, "bob")
        other = NativeApp(native.http)
        answer = other.sign_in("bob", id_token_hint=hint)
        assert answer.status_code == 403
        assert answer.json["error"] == "login_required"
        assert NativeApp(native.http).sign_in(id_token_hint=hint).status_code == 200

    def test_most_sessions(
        self, native: NativeApp, services: Services, tenant: TenantContext, settle: Settle, alice: str
    ) -> None:
        settle(sessions={"max_active": 2})
        for _ in range(3):
            NativeApp(native.http).sign_in()
        assert len(services.sessions.of_user(tenant, alice)) == 2

    def test_bound_to_its_network(self, native: NativeApp, settle: Settle) -> None:
        settle(sessions={"bind_ip": True})
        native.sign_in()
        native.address = "10.1.2.3"
        assert more(native.begin())["reason"] == "session.missing"


class TestDiscovery:
    """Section 8, contracts 21: said where it is so, and only where nobody validates against a closed set of names."""

    def test_said_where_a_client_may(self, services: Services, tenant: TenantContext, http: Http) -> None:
        member = "authorization_challenge_endpoint"

        def documents() -> list[dict[str, Any]]:
            names = ("oauth-authorization-server", "openid-configuration")
            return [http.get(f"/.well-known/{name}").json for name in names]

        assert not any(member in document for document in documents())
        new_app(services, tenant)
        oauth, openid = documents()
        assert oauth[member] == tenant.issuer + PATH
        assert member not in openid
        other = Http(http.app, new_tenant(services))
        assert member not in other.get("/.well-known/oauth-authorization-server").json
        with services.tenancy.session(tenant.id, write=True) as session:
            session.scalars(select(Client)).one().disabled_at = clock.now()
        services.versions.touch()
        assert member not in documents()[0]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.server_close()
