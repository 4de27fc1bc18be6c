"""Second factors over the wire: who is asked, what is taken once, what is given away, what stands on record."""

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyotp
import pytest
import time_machine
from sqlalchemy import select, update

from app.domain import authenticators, users
from app.domain.access.rbac import give_role
from app.domain.models import Authenticator, RecoveryCode, TrustedDevice
from app.domain.tenants import TenantContext
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.web.services import Services
from tests import outbox_rows
from tests.conftest import Http as Browser
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client, token_of

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

Settle = Callable[..., TenantContext]


@pytest.fixture
def services(services: Services) -> Services:
    """A shorter floor, as these tests fail on purpose all the time."""
    return dataclasses.replace(services, sign_in_floor_seconds=0.05)


@pytest.fixture
def settle(services: Services, tenant: TenantContext) -> Settle:
    """Change the tenant's settings."""
    from app.domain import tenants
    from app.domain.models import Tenant

    def change(**settings: Any) -> TenantContext:
        with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
            row = session.scalars(select(Tenant).where(Tenant.id == tenant.id)).one()
            tenants.update_settings(row, settings)
        services.versions.touch()
        found = services.tenants.by_id(tenant.id)
        assert found is not None
        return found

    return change


@pytest.fixture
def admin(services: Services, tenant: TenantContext, http: "Http") -> Person:
    """An administrator, of whom the tenant demands a second factor by default."""
    user_id = new_person(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        give_role(session, user_id, "admin")
    new_public_client(services, tenant)
    return Person(http)


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    """Somebody of whom none is demanded."""
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(http)


def protected(person: Person) -> Person:
    """The same person, with an authenticator app added from their account."""
    page = person.follow(person.http.get("/sign-in"))
    person.at = _action(page)
    person.sign_in(page)
    page = person.http.get("/account/factors/totp")
    person.at = _action(page)
    person.save_codes(person.enrol(page))
    assert person.recovery_codes
    return person


def elsewhere(person: Person) -> Person:
    """The same person in a browser nobody used before, half a minute later as far as their app is concerned."""
    services: Services = person.http.app.extensions["watchword"]
    with services.tenancy.session(person.http.tenant.id, write=True) as session:
        session.execute(update(Authenticator).values(counter=0).execution_options(synchronize_session=False))
    person.app.rest()
    found = Person(Browser(person.http.app, person.http.tenant), person.username)
    found.app, found.recovery_codes = person.app, person.recovery_codes
    return found


def _action(page: "TestResponse") -> str:
    import re

    found = re.search(r'action="([^"]*/interaction/[^"?]+)"', page.text)
    assert found, page.text
    return found[1]


def events(services: Services, tenant: TenantContext, name: str) -> list[dict[str, Any]]:
    """What is on record under a name, from the outbox and the stream."""

    with services.tenancy.session(tenant.id) as session:
        return outbox_rows.events(session, name)


def claims_of(tokens: dict[str, Any]) -> dict[str, Any]:
    """What an ID token says."""
    import json

    from app.kernel.secrets import unb64url

    found: dict[str, Any] = json.loads(unb64url(tokens["id_token"].split(".")[1]))
    return found


class TestEnrolment:
    def test_administrator_enrols_at_the_first_sign_in(self, admin: Person) -> None:
        """Before that there is no session: not here, and not for another page."""
        page = admin.sign_in(admin.authorize())
        assert "Your organization asks for a second step" in page.text
        assert 'id="sign-in"' in admin.http.get("/account").text
        codes = admin.enrol(page)
        assert "recovery codes" in codes.text
        assert 'id="sign-in"' in admin.http.get("/account").text
        page = admin.save_codes(codes)
        assert 'id="allow"' in page.text
        claims = answer_of(admin.allow(page)).parameters
        assert "code" in claims

    def test_wrong_code_adds_nothing(self, admin: Person, services: Services, tenant: TenantContext) -> None:
        page = admin.sign_in(admin.authorize())
        again = admin.enrol(page, code="000000")
        assert again.status_code == 400
        assert "That code is not right" in again.text
        with services.tenancy.session(tenant.id) as session:
            assert session.scalars(select(Authenticator)).all() == []

    def test_the_key_stays_the_same_until_it_is_confirmed_and_is_sealed(
        self, admin: Person, services: Services, tenant: TenantContext
    ) -> None:
        page = admin.sign_in(admin.authorize())
        if 'id="way-totp"' in page.text:
            page = admin.view("totp")
        admin.app.scan(page.text)
        first = admin.app.secret
        admin.app.scan(admin.view("totp").text)
        assert admin.app.secret == first
        assert len(first) == 32
        assert "<svg" in page.text
        assert "style=" not in page.text
        admin.enrol(page)
        with services.tenancy.session(tenant.id) as session:
            row = session.scalars(select(Authenticator)).one()
            assert first.encode() not in (row.secret_sealed or b"")
            assert authenticators.totp_secret(services.vault, tenant.id, row) == first

    def test_codes_as_a_file_and_only_until_they_are_saved(self, admin: Person) -> None:
        page = admin.enrol(admin.sign_in(admin.authorize()))
        file = admin.http.post(
            admin.at,
            raw=True,
            form={"csrf_token": token_of(page), "step": "recovery-codes", "answer": "download"},
        )
        assert file.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "attachment" in file.headers["Content-Disposition"]
        assert file.text.count("-") >= 20
        reloaded = admin.http.get(admin.at, raw=True)
        admin.save_codes(reloaded)
        assert all(code in file.text for code in admin.recovery_codes)
        assert admin.recovery_codes[0] not in admin.http.get(admin.at, raw=True).text

    @pytest.mark.parametrize("required", ["all", "roles", "none"])
    def test_of_whom_it_is_demanded(
        self, admin: Person, services: Services, settle: Settle, required: str
    ) -> None:
        tenant = settle(authentication={"mfa": {"required": required}})
        new_person(services, tenant, "bob")
        bob = Person(Browser(admin.http.app, tenant), "bob")
        asked = ["second step" in p.sign_in(p.authorize()).text for p in (admin, bob)]
        assert asked == {"all": [True, True], "roles": [True, False], "none": [False, False]}[required]

    def test_a_client_demands_it_of_everybody(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        new_public_client(services, tenant, "vault", require_mfa=True)
        assert 'id="allow"' in person.sign_in(person.authorize()).text
        page = person.authorize("vault")
        assert "The application asks everybody for a second step" in page.text
        assert claims_of(person.tokens("vault"))["amr"] == ["pwd", "otp", "mfa"]


class TestAuthenticatorApp:
    def test_whoever_has_one_is_asked(self, person: Person) -> None:
        other = elsewhere(protected(person))
        page = other.sign_in(other.authorize())
        assert 'value="factor"' in page.text
        assert 'id="sign-in"' in other.http.get("/account").text
        assert 'id="allow"' in other.second(page).text

    def test_a_code_is_good_once(self, person: Person) -> None:
        protected(person)
        first, second = elsewhere(person), elsewhere(person)
        code = person.app.code()
        page = second.sign_in(second.authorize())
        assert 'id="allow"' in first.second(first.sign_in(first.authorize()), code=code).text
        again = second.second(page, code=code)
        assert again.status_code == 401
        assert "used already" in again.text

    def test_codes_before_the_last_one_are_worth_nothing(self, person: Person) -> None:
        protected(person)
        third, other = elsewhere(person), elsewhere(person)
        page = other.sign_in(other.authorize())
        earlier, later = person.app.code(), person.app.code()
        assert 'id="allow"' in other.second(page, code=later).text
        assert third.second(third.sign_in(third.authorize()), code=earlier).status_code == 401

    @pytest.mark.parametrize(("steps", "taken"), [(-3, False), (0, True), (1, True), (3, False)])
    def test_drift_is_one_step(self, person: Person, steps: int, taken: bool) -> None:
        other = elsewhere(protected(person))
        page = other.sign_in(other.authorize())
        code = pyotp.TOTP(person.app.secret).at(int(time.time()) + 30 * steps)
        assert (other.second(page, code=code).status_code == 200) is taken

    @pytest.mark.parametrize("code", ["", "12345", "abcdef", "1234567", "٠٠٠٠٠٠", "x" * 5000, "\x00"])
    def test_what_is_no_code(self, person: Person, code: str) -> None:
        other = elsewhere(protected(person))
        page = other.second(other.sign_in(other.authorize()), code=code)
        assert page.status_code == 401
        assert "That code is not right" in page.text

    def test_parallel_use_lets_one_in(self, person: Person) -> None:
        protected(person)
        code = person.app.code()
        browsers = [elsewhere(person) for _ in range(6)]
        shown = [(browser, browser.sign_in(browser.authorize())) for browser in browsers]
        statuses: list[int] = []

        def use(browser: Person, page: "TestResponse") -> None:
            statuses.append(browser.second(page, code=code).status_code)

        threads = [threading.Thread(target=use, args=each) for each in shown]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] + [401] * 5

    def test_guessing_ends(self, person: Person, services: Services, tenant: TenantContext) -> None:
        """Ten tries from unknown devices in a window, whatever the factor; then a right code is not even looked at."""
        protected(person)
        other = elsewhere(person)
        page = other.sign_in(other.authorize())
        for n in range(10):
            way = "recovery" if n % 2 else "totp"
            assert other.second(page, way, code="000000").status_code == 401
        blocked = other.second(page)
        assert blocked.status_code == 429
        assert int(blocked.headers["Retry-After"]) > 0
        assert "Too many attempts" in blocked.text
        # The owner, on a device they used before, still gets in.
        page = person.authorize(prompt="login")
        assert 'id="allow"' in person.second(person.sign_in(page)).text

    def test_a_page_is_not_jumped_over(self, person: Person) -> None:
        """No later step is taken in place of the one that is due, and no factor before the password."""
        other = elsewhere(protected(person))
        page = other.authorize()
        assert 'id="sign-in"' in other.second(page).text
        page = other.sign_in(page)
        for step in ("consent", "enrol", "recovery-codes"):
            assert (
                'value="factor"' in other.step(page, step=step, answer="allow", session="", way="totp").text
            )
        assert 'id="sign-in"' in other.http.get("/account").text


class TestRecoveryCodes:
    def test_each_is_good_once_however_it_is_typed(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        protected(person)
        code = person.recovery_codes[0]
        first, second = elsewhere(person), elsewhere(person)
        page = first.sign_in(first.authorize())
        typed = code.lower().replace("-", " ")
        assert 'id="allow"' in first.second(page, "recovery", code=typed).text
        page = second.sign_in(second.authorize())
        assert second.second(page, "recovery", code=code).status_code == 401
        assert "you have 9 left" in second.view("recovery").text
        (event,) = events(services, tenant, "recovery.used")
        assert event["data"]["left"] == 9

    def test_only_hashes_are_kept(self, person: Person, services: Services, tenant: TenantContext) -> None:
        protected(person)
        with services.tenancy.session(tenant.id) as session:
            kept = [row.code_hash for row in session.scalars(select(RecoveryCode))]
        assert len(kept) == 10
        assert not any(code in kept or code.replace("-", "") in kept for code in person.recovery_codes)

    def test_new_ones_end_the_old(self, person: Person) -> None:
        protected(person)
        old = person.recovery_codes
        page = person.http.get("/account/factors/recovery-codes")
        assert "10 recovery codes left" in page.text
        person.at = _action(page)
        person.save_codes(person.step(page, step="enrol", way="recovery-codes"))
        assert not set(old) & set(person.recovery_codes)
        other = elsewhere(person)
        page = other.sign_in(other.authorize())
        assert other.second(page, "recovery", code=old[0]).status_code == 401
        assert 'id="allow"' in other.second(page, "recovery", code=person.recovery_codes[0]).text


class TestTrustedBrowsers:
    def test_goes_without_until_forgotten(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        other = elsewhere(protected(person))
        other.second(other.sign_in(other.authorize()), trust="yes")
        assert 'id="allow"' in other.sign_in(other.authorize(prompt="login")).text
        # The session says what was shown, not what was let pass.
        assert claims_of(other.tokens())["amr"] == ["pwd"]
        page = other.http.get("/account/factors/trusted-devices")
        assert "This browser" in page.text
        form = {"csrf_token": token_of(page), "step": "forget-all"}
        assert other.http.post("/account/factors/trusted-devices", form=form).status_code == 303
        assert 'value="factor"' in other.sign_in(other.authorize(prompt="login")).text
        assert len(events(services, tenant, "device.trusted")) == 1
        assert len(events(services, tenant, "device.forgotten")) == 1

    @pytest.mark.parametrize(("demanded", "is_asked"), [(True, False), ("always", True)])
    def test_a_client_may_let_none_through(
        self, person: Person, services: Services, tenant: TenantContext, demanded: Any, is_asked: bool
    ) -> None:
        new_public_client(services, tenant, "vault", require_mfa=demanded)
        other = with_one_factor(protected(person))
        page = other.authorize("vault")
        assert ('value="factor"' in page.text) is is_asked
        if is_asked:
            page = other.second(page, "recovery")
        assert 'id="allow"' in page.text
        assert ("mfa" in claims_of(_redeem(other, page, "vault"))["amr"]) is is_asked

    def test_for_one_person_in_one_browser(self, person: Person) -> None:
        other = elsewhere(protected(person))
        other.second(other.sign_in(other.authorize()), trust="yes")
        third = elsewhere(person)
        assert 'value="factor"' in third.sign_in(third.authorize()).text

    def test_a_new_password_ends_it(self, person: Person, services: Services, tenant: TenantContext) -> None:
        other = elsewhere(protected(person))
        other.second(other.sign_in(other.authorize()), trust="yes")
        with services.tenancy.session(tenant.id, write=True) as session:
            user = users.find_by_login(session, "alice")
            assert user is not None
            user.password_changed_at = clock.after(2)
        with time_machine.travel(clock.after(3), tick=True):
            assert 'value="factor"' in other.sign_in(other.authorize(prompt="login")).text

    def test_not_for_a_request_that_asks_for_two_factors(self, person: Person) -> None:
        other = elsewhere(protected(person))
        other.second(other.sign_in(other.authorize()), trust="yes")
        page = other.sign_in(other.authorize(prompt="login", acr_values="urn:watchword:acr:two-factor"))
        assert "The application asks for more" in page.text
        assert 'name="trust"' not in page.text

    def test_not_offered_where_the_tenant_says_so(self, person: Person, settle: Settle) -> None:
        other = elsewhere(protected(person))
        settle(authentication={"mfa": {"trusted_device_days": 0}})
        page = other.sign_in(other.authorize())
        assert 'name="trust"' not in page.text
        other.second(page, trust="yes")
        with other.http.app.extensions["watchword"].tenancy.session(other.http.tenant.id) as session:
            assert session.scalars(select(TrustedDevice)).all() == []


class TestStepUp:
    TWO = "urn:watchword:acr:two-factor"

    def test_asks_for_what_is_missing_alone_and_keeps_the_session(self, person: Person) -> None:
        """RFC 9470: the person signed in with a password; the second factor is all that is asked for."""
        protected(person)
        other = elsewhere(person)
        other.http.client.delete_cookie(f"ww-{other.http.tenant.id}", path="/")
        first = claims_of(person.tokens())
        assert first["acr"] == self.TWO
        plain = with_one_factor(person)
        before = claims_of(plain.tokens())
        page = plain.authorize(acr_values=self.TWO)
        assert "The application asks for more than you showed so far" in page.text
        assert 'id="password"' not in page.text
        page = plain.second(page)
        after = claims_of(_redeem(plain, page))
        assert (before["amr"], before["acr"]) == (["pwd"], "urn:watchword:acr:one-factor")
        assert (after["amr"], after["acr"]) == (["pwd", "otp", "mfa"], self.TWO)
        assert after["sid"] == before["sid"]
        assert after["auth_time"] >= before["auth_time"]

    def test_silently_it_is_login_required(self, person: Person) -> None:
        plain = with_one_factor(protected(person))
        plain.through()
        answer = answer_of(plain.authorize(prompt="none", acr_values=self.TWO))
        assert answer.parameters["error"] == "login_required"

    def test_what_nobody_has_is_a_wish_or_a_refusal(self, person: Person) -> None:
        """`phr` without a passkey: `acr_values` is a wish, an essential claim is not (OIDC Core section 5.5.1.1)."""
        person.through()
        assert claims_of(person.tokens(acr_values="phr"))["acr"] == "urn:watchword:acr:one-factor"
        claims = '{"id_token":{"acr":{"essential":true,"value":"phr"}}}'
        answer = answer_of(person.authorize(claims=claims))
        assert answer.parameters["error"] == "unmet_authentication_requirements"

    def test_default_acr_values_of_the_client(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        new_public_client(services, tenant, "careful", default_acr_values=[self.TWO])
        assert claims_of(person.tokens("careful"))["acr"] == self.TWO

    def test_discovery_tells_the_truth(self, http: "Http") -> None:
        document = http.get("/.well-known/openid-configuration").json
        assert document["acr_values_supported"] == ["urn:watchword:acr:one-factor", self.TWO, "phr"]

    def test_a_session_that_ended_is_not_brought_back(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        plain = with_one_factor(protected(person))
        plain.through()
        page = plain.authorize(acr_values=self.TWO)
        with services.tenancy.session(tenant.id, write=True) as session:
            user = users.find_by_login(session, "alice")
            assert user is not None
            services.sessions.end_all(session, tenant, user.id)
        assert 'id="sign-in"' in plain.second(page).text


class TestConsole:
    def test_needs_the_second_factor_of_whoever_has_one(self, person: Person) -> None:
        """In a browser that goes without it, too."""
        plain = with_one_factor(protected(person))
        plain.through()
        page = plain.http.get("/account/factors/totp")
        assert 'value="factor"' in page.text

    def test_removing_the_last_takes_codes_and_trust_along(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        protected(person)
        page = person.http.get("/account/factors")
        assert "Authenticator app" in page.text
        with services.tenancy.session(tenant.id) as session:
            target = session.scalars(select(Authenticator.id)).one()
        form = {"csrf_token": token_of(page), "step": "remove", "target": target}
        assert person.http.post("/account/factors", form=form).status_code == 303
        with services.tenancy.session(tenant.id) as session:
            assert session.scalars(select(RecoveryCode)).all() == []
        other = elsewhere(person)
        assert 'id="allow"' in other.sign_in(other.authorize()).text
        assert len(events(services, tenant, "factor.removed")) == 1

    def test_the_last_stays_where_one_is_demanded(
        self, admin: Person, services: Services, tenant: TenantContext
    ) -> None:
        admin.through()
        page = admin.http.get("/account/factors")
        with services.tenancy.session(tenant.id) as session:
            target = session.scalars(select(Authenticator.id)).one()
        form = {"csrf_token": token_of(page), "step": "remove", "target": target}
        refused = admin.http.post("/account/factors", form=form)
        assert refused.status_code == 409
        assert "Add another one" in refused.text
        with services.tenancy.session(tenant.id) as session:
            assert session.scalars(select(Authenticator.id)).one() == target

    def test_not_somebody_elses(self, person: Person, services: Services, tenant: TenantContext) -> None:
        protected(person)
        with services.tenancy.session(tenant.id) as session:
            target = session.scalars(select(Authenticator.id)).one()
        new_person(services, tenant, "bob")
        bob = Person(Browser(person.http.app, tenant), "bob")
        bob.through()
        form = {"csrf_token": token_of(bob.http.get("/account/factors")), "step": "remove", "target": target}
        assert bob.http.post("/account/factors", form=form).status_code == 404

    def test_everything_is_on_record(self, person: Person, services: Services, tenant: TenantContext) -> None:
        protected(person)
        for name in ("factor.added", "recovery.generated"):
            assert len(events(services, tenant, name)) == 1, name
        assert [e for e in events(services, tenant, "auth.step_up") if e["mfa_used"]]


def with_one_factor(person: Person) -> Person:
    """The same person in a browser whose session stands on the password alone: they trusted it."""
    other = elsewhere(person)
    other.second(other.sign_in(other.authorize()), "recovery", trust="yes")
    other.sign_in(other.authorize(prompt="login"))
    return other


def _redeem(person: Person, page: "TestResponse", client_id: str = "app") -> dict[str, Any]:
    from tests.protocol.browserless import REDIRECT_URI, VERIFIER

    if 'id="allow"' in page.text:
        page = person.allow(page)
    form = {
        "grant_type": "authorization_code",
        "code": answer_of(page).parameters["code"],
        "client_id": client_id,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }
    found: dict[str, Any] = person.http.post("/token", form=form).json
    return found


def test_no_grant_under_a_session_that_ended_a_moment_ago(
    person: Person, services: Services, tenant: TenantContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed out between the look at the session and the transaction that writes the grant."""
    from app.domain import grants
    from app.web import granting

    person.through()
    original = granting.complete

    def late(where: Any, asked: Any, client: Any, session: Any, **options: Any) -> Any:
        with services.tenancy.session(tenant.id, write=True) as db:
            services.sessions.end(db, tenant, session)
        return original(where, asked, client, session, **options)

    monkeypatch.setattr(granting, "complete", late)
    made: list[Any] = []
    create = grants.create
    monkeypatch.setattr(grants, "create", lambda *args, **kw: made.append(kw) or create(*args, **kw))
    page = person.authorize()
    assert made == []
    assert 'id="sign-in"' in page.text
