"""Attacks through the authorization challenge endpoint: everything that works, or does not, without a browser."""

import dataclasses
import io
import json
import logging
from collections import Counter
from collections.abc import Iterator

import pytest
from flask import Flask

from app.domain.tenants import TenantContext
from app.infra import logs, mail
from app.infra.limits import CODES_BY_MAIL, SIGN_IN_NETWORK
from app.protocols.oauth.auth_sessions import MAX_REQUESTS
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import PASSWORD, VERIFIER, new_person
from tests.protocol.native_app import NativeApp, confirm_mailbox, more, new_app
from tests.protocol.prover import Prover
from tests.protocol.test_authorization_challenge import add_recovery_codes, add_totp
from tests.protocol.test_factor_messages import code_in, messages
from tests.protocol.test_tenant_settings import decide
from tests.protocol.token_side import refused

ATTEMPTS = 1000
OUTSIDE = "198.51.100.7"


@pytest.fixture
def services(services: Services) -> Services:
    """No floor, so that a thousand attempts take seconds."""
    return dataclasses.replace(services, sign_in_floor_seconds=0.0)


@pytest.fixture
def owner(services: Services, tenant: TenantContext, app: Flask) -> NativeApp:
    """Alice's telephone, where she signed in before."""
    new_person(services, tenant)
    new_app(services, tenant)
    native = NativeApp(Http(app, tenant))
    assert native.sign_in().status_code == 200
    return native


def stranger(owner: NativeApp, address: str = OUTSIDE, **members: str) -> NativeApp:
    """Somebody else with the same application."""
    return NativeApp(owner.http, address=address, **members)


def test_stuffing_one_account(owner: NativeApp, tenant: TenantContext) -> None:
    """A thousand passwords from a thousand networks, each in an auth session of its own. The owner still gets in."""
    statuses = Counter(
        stranger(owner, f"203.0.{n // 250}.{n % 250}").sign_in(password=f"guess {n}").status_code
        for n in range(ATTEMPTS)
    )
    assert statuses[403] <= tenant.settings.authentication.lockout.failures
    assert statuses[403] + statuses[429] == ATTEMPTS
    assert stranger(owner).sign_in().status_code == 429
    assert stranger(owner, device=owner.device or "").sign_in().status_code == 200


def test_spraying_many_accounts(owner: NativeApp) -> None:
    """One password at a thousand names from one network, with as few auth sessions as will do; then at the owner's."""
    statuses: Counter[int] = Counter()
    for n in range(ATTEMPTS):
        if n % (MAX_REQUESTS - 1) == 0:
            sprayer = stranger(owner)
            more(sprayer.begin())
        statuses[sprayer.password(f"nobody-{n}", "Summer2026!").status_code] += 1
    assert statuses[403] <= SIGN_IN_NETWORK.most
    assert statuses[403] + statuses[429] == ATTEMPTS
    assert stranger(owner).sign_in().status_code == 429
    assert stranger(owner, device=owner.device or "").sign_in().status_code == 200
    assert stranger(owner, "203.0.113.1").sign_in().status_code == 200


def test_one_auth_session_is_no_way_around_the_count(owner: NativeApp, tenant: TenantContext) -> None:
    guesser = stranger(owner)
    guesser.begin()
    statuses = Counter(guesser.password(password=f"guess {n}").status_code for n in range(60))
    assert statuses[403] <= tenant.settings.authentication.lockout.failures
    assert statuses[400] > 0  # fifty requests, and it is over


def test_bombing_a_mailbox(owner: NativeApp, services: Services, tenant: TenantContext) -> None:
    """Codes asked for again and again, from many networks and auth sessions: five a quarter of an hour."""
    confirm_mailbox(services, tenant)
    decide(services, tenant, authentication={"methods": ["password", "email"]})
    for n in range(40):
        stranger(owner, f"203.0.113.{n}").begin(username="alice", begin="email")
    assert len(messages(services, tenant, mail.TOPIC)) == CODES_BY_MAIL.most


def test_a_code_sent_for_one_sign_in_is_none_for_another(
    owner: NativeApp, services: Services, tenant: TenantContext
) -> None:
    """Nor at the pages: whoever talks somebody out of their code has to have asked for it."""
    confirm_mailbox(services, tenant)
    decide(services, tenant, authentication={"methods": ["password", "email"]})
    victim, thief = stranger(owner), stranger(owner)
    victim.begin(username="alice", begin="email")
    thief.begin(username="alice", begin="email")
    theirs, _ = messages(services, tenant, mail.TOPIC)
    assert more(thief.send(email_code=code_in(theirs)))["failed"] == "email_code"
    assert victim.send(email_code=code_in(theirs)).status_code == 200


def test_what_an_application_holds_opens_no_page(owner: NativeApp, tenant: TenantContext) -> None:
    """An auth session is no interaction, no session's cookie and no token."""
    name = more(stranger(owner).begin())["auth_session"]
    held = owner.auth_session or ""
    for value in (name, held):
        browser = Http(owner.http.app, tenant)
        for suffix in ("", "-others", "-device"):
            browser.client.set_cookie(f"ww-{tenant.id}{suffix}", value, domain="localhost")
        assert browser.get(f"/interaction/{value}").status_code == 400
        assert "alice" not in browser.get("/account").text
        assert browser.get("/userinfo", headers={"Authorization": f"Bearer {value}"}).status_code == 401


def test_a_code_is_its_applications(owner: NativeApp, services: Services, tenant: TenantContext) -> None:
    """Neither its verifier guessed nor another client: nothing is burnt by it."""
    new_app(services, tenant, "other")
    answer = owner.begin()
    refused(owner.redeem(answer, code_verifier="w" * 43), "invalid_grant")
    refused(owner.redeem(answer, code_verifier=None or ""), "invalid_grant")
    refused(owner.redeem(answer, client_id="other"), "invalid_grant")
    assert owner.redeem(answer).status_code == 200
    refused(owner.redeem(answer), "invalid_grant")


def test_signing_in_for_somebody_else(owner: NativeApp, services: Services, tenant: TenantContext) -> None:
    """Fixation: an auth session the attacker began and slipped to a telephone is of no use to them afterwards."""
    attacker = stranger(owner)
    more(attacker.begin())
    slipped = attacker.auth_session
    victim = NativeApp(owner.http, auth_session=slipped)
    assert victim.password().status_code == 200
    attacker.auth_session = slipped
    refused(attacker.begin(), "invalid_session")


def test_second_factors_do_not_leak_before_the_first(
    owner: NativeApp, services: Services, tenant: TenantContext
) -> None:
    """Whoever does not know the password learns nothing of what else the account has."""
    said = {json.dumps(_public(stranger(owner).sign_in(password="wrong")))}
    with services.tenancy.session(tenant.id) as session:
        from app.domain import users

        user = users.find_by_login(session, "alice")
        assert user is not None
        user_id = user.id
    add_totp(services, tenant, user_id)
    add_recovery_codes(services, tenant, user_id)
    said.add(json.dumps(_public(stranger(owner).sign_in(password="wrong"))))
    said.add(json.dumps(_public(stranger(owner).sign_in("nobody", "wrong"))))
    assert len(said) == 1


def _public(answer: object) -> dict[str, object]:
    found = dict(answer.json)  # type: ignore[attr-defined]
    found.pop("auth_session")
    return found


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """Everything every logger says at DEBUG."""
    root = logging.getLogger()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    level, handlers = root.level, root.handlers[:]
    quiet = {name: logging.getLogger(name).level for name in logs.QUIET_LOGGERS}
    logs.setup("DEBUG")
    root.addHandler(handler)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for name, old in quiet.items():
        logging.getLogger(name).setLevel(old)


def test_nothing_secret_is_logged(
    owner: NativeApp,
    services: Services,
    tenant: TenantContext,
    said: io.StringIO,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with services.tenancy.session(tenant.id) as session:
        from app.domain import users

        user = users.find_by_login(session, "alice")
        assert user is not None
        user_id = user.id
    app = add_totp(services, tenant, user_id)
    native = stranger(owner, device=owner.device or "")
    native.prover = Prover(tenant.issuer)
    code, wrong = app.code(), "a canary that is wrong"
    secrets = [PASSWORD, VERIFIER, wrong, code, owner.device]
    for answer in (native.sign_in(password=wrong), native.password(), native.send(totp=code)):
        secrets += [
            answer.json[name]
            for name in ("auth_session", "authorization_code", "device")
            if name in answer.json
        ]
    native.tokens(answer)
    out, err = capfd.readouterr()
    everything = said.getvalue() + out + err
    assert "refused" in everything
    for secret in secrets:
        assert secret
        assert secret not in everything
