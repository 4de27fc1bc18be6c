"""People's passwords over the wire: imported hashes, new passwords, and what a change takes along."""

import dataclasses
import hashlib
import itertools
import time
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import time_machine
from argon2 import PasswordHasher
from passlib import hash as known
from sqlalchemy import select

from app.domain import new_passwords, users
from app.domain.models import FormerPassword, OutboxMessage, User
from app.domain.new_passwords import NewPasswords
from app.domain.tenant_settings import MfaSettings
from app.domain.tenants import TenantContext
from app.infra.breached import BreachedFile
from app.infra.passwords import is_own
from app.kernel import clock
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import (
    PASSWORD,
    Person,
    answer_of,
    new_person,
    new_public_client,
    token_of,
)
from tests.protocol.test_tenant_settings import decide

NEW = "staple-battery-horse-42"
CUSTOM = {
    "authentication": {
        "password": {
            "preset": "custom",
            "require_uppercase": False,
            "require_digit": False,
            "require_special": False,
        }
    }
}


@pytest.fixture
def services(services: Services, tmp_path: Path) -> Services:
    leaked = tmp_path / "leaked.txt"
    words = sorted(hashlib.sha1(f"leaked-password-{n}".encode()).hexdigest().upper() for n in range(50))
    leaked.write_text("".join(f"{word}:{n + 1}\r\n" for n, word in enumerate(words)))
    return dataclasses.replace(
        services,
        sign_in_floor_seconds=0.05,
        new_passwords=NewPasswords(services.passwords, BreachedFile(leaked)),
    )


@pytest.fixture
def alice(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_public_client(services, tenant)
    new_person(services, tenant)
    return Person(http)


def change(services: Services, tenant: TenantContext, **values: Any) -> None:
    """Set columns of alice's."""
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        for name, value in values.items():
            setattr(user, name, value)


def row(services: Services, tenant: TenantContext) -> User:
    with services.tenancy.session(tenant.id) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        session.expunge(user)
        return user


def set_password(alice: Person, password: str, current: str = PASSWORD) -> Any:
    """Fill in the page of the console."""
    page = alice.follow(alice.http.get("/account/password"))
    form = {"csrf_token": token_of(page), "current": current, "password": password}
    return alice.http.post("/account/password", data=form)


LONG = "a sentence of somebody who likes passwords that go on until nobody reads them any more, ünd on"
FIREBASE = (
    "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,"
    "sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$"
    "42xEC+ixf3L2lw==$"
    "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
)
"""The user of the published example of its scrypt tool."""
IMPORTED: dict[str, tuple[str, str]] = {
    "argon2": (PASSWORD, PasswordHasher(1, 8192, 2).hash(PASSWORD)),
    "bcrypt": (PASSWORD, bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()),
    "bcrypt, truncated": (LONG, bcrypt.hashpw(LONG.encode()[:72], bcrypt.gensalt(4)).decode()),
    "scrypt": (PASSWORD, known.scrypt.using(rounds=8).hash(PASSWORD)),
    "Firebase scrypt": (
        "user1password",
        FIREBASE,
    ),
    "PBKDF2": (PASSWORD, known.django_pbkdf2_sha256.using(rounds=500).hash(PASSWORD)),
    "SSHA": (PASSWORD, known.ldap_salted_sha1.hash(PASSWORD)),
    "phpass": (PASSWORD, known.phpass.using(rounds=8).hash(PASSWORD)),
}


@pytest.mark.parametrize(("password", "stored"), IMPORTED.values(), ids=IMPORTED.keys())
def test_imported_hash_signs_in_and_is_made_anew_once(
    alice: Person, services: Services, tenant: TenantContext, password: str, stored: str
) -> None:
    """A wrong password leaves it as it was; the right one replaces it for good, whole."""
    change(services, tenant, password_hash=stored)
    assert row(services, tenant).password_cost_ms > 0
    assert alice.sign_in(alice.authorize(), password="x" + password).status_code == 401
    assert row(services, tenant).password_hash == stored
    alice.password = password
    alice.through()
    once = row(services, tenant)
    assert is_own(once.password_hash or "")
    assert once.password_cost_ms == 0
    alice.sign_in(alice.authorize(prompt="login"))
    assert row(services, tenant).password_hash == once.password_hash
    # Nothing is cut off any more: what bcrypt did not look at counts now.
    assert alice.sign_in(alice.authorize(prompt="login"), password=password[:-1]).status_code == 401


def test_floor_of_refusals_rises_to_the_dearest_hash(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Contracts 16: whoever has a dear hash is not told from anybody else, known or not, by the time it takes."""
    change(services, tenant, password_hash="$2b$11$" + bcrypt.gensalt(4).decode()[7:] + "x" * 31)
    least = row(services, tenant).password_cost_ms / 1000
    assert least > services.sign_in_floor_seconds
    for name in ("alice", "nobody"):
        page = alice.authorize()
        started = time.perf_counter()
        assert alice.sign_in(page, username=name, password="wrong").status_code == 401
        assert time.perf_counter() - started >= least


def test_change_ends_other_sessions_and_tells(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    alice.through()
    elsewhere = Person(Http(alice.http.app, tenant))
    elsewhere.through()
    assert set_password(alice, NEW).status_code == 303
    assert alice.http.get("/account").status_code == 200
    assert 'id="sign-in"' in elsewhere.http.get("/account").text
    assert alice.sign_in(alice.authorize(prompt="login"), password=PASSWORD).status_code == 401
    assert "code" in answer_of(alice.sign_in(alice.authorize(prompt="login"), password=NEW)).parameters
    with services.tenancy.session(tenant.id) as session:
        topics = [message.topic for message in session.scalars(select(OutboxMessage))]
    assert "mail" in topics


def test_change_wants_the_present_password(alice: Person, services: Services, tenant: TenantContext) -> None:
    alice.through()
    answer = set_password(alice, NEW, current="not it")
    assert answer.status_code == 400
    assert "not your current password" in answer.text
    assert services.passwords.verify(PASSWORD, row(services, tenant).password_hash or "").ok


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "At least 15"),
        (PASSWORD, "last passwords"),
        ("alice@example.com", "own name"),
        ("leaked-password-7", "leaked"),
        ("leaked-password-0", "leaked"),
        ("leaked-password-49", "leaked"),
        ("a\x07" + NEW, "control"),
    ],
)
def test_every_new_password_is_checked(alice: Person, password: str, said: str) -> None:
    alice.through()
    answer = set_password(alice, password)
    assert answer.status_code == 400
    assert said in answer.text
    assert "<meter" in answer.text
    assert password not in answer.text or password == "alice@example.com"


def test_former_passwords_are_remembered_as_the_tenant_says(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    settings = {"authentication": {"password": {**CUSTOM["authentication"]["password"], "prevent_reuse": 3}}}
    decide(services, tenant, **settings)
    alice.through()
    used = [PASSWORD, *(f"another-password-{n}" for n in range(4))]
    for before, after in itertools.pairwise(used):
        assert set_password(alice, after, current=before).status_code == 303
    for former in used[-3:]:
        assert "last passwords" in set_password(alice, former, current=used[-1]).text
    with services.tenancy.session(tenant.id) as session:
        assert len(session.scalars(select(FormerPassword)).all()) == 2
    assert set_password(alice, used[1], current=used[-1]).status_code == 303


def test_old_password_is_asked_for_anew(alice: Person, services: Services, tenant: TenantContext) -> None:
    """`max_age_days`: the sign-in goes on once there is a new one, and makes no session before."""
    decide(services, tenant, **CUSTOM)
    change(services, tenant, password_changed_at=clock.after(-91 * 86400))
    page = alice.follow(alice.sign_in(alice.authorize()))
    assert "so old" in page.text
    assert not any(c.key == f"ww-{tenant.id}" for c in alice.http.client._cookies.values())
    refused = send(alice, page, PASSWORD)
    assert refused.status_code == 400
    assert "last passwords" in refused.text
    done = alice.follow(send(alice, refused, NEW))
    assert 'id="allow"' in done.text
    assert not new_passwords.is_too_old(row(services, tenant), tenant.settings.authentication.password)


def test_administrator_may_demand_a_new_one(alice: Person, services: Services, tenant: TenantContext) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        new_passwords.demand(session.scalars(select(User)).one())
    page = alice.follow(alice.sign_in(alice.authorize()))
    assert "administrator asks" in page.text
    assert 'id="allow"' in alice.follow(send(alice, page, NEW)).text
    assert not row(services, tenant).must_change_password


def test_demand_in_a_session_wants_the_present_one_too(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Somebody who sits down at an open browser does not take the account over by it."""
    alice.through()
    change(services, tenant, must_change_password=True)
    page = alice.follow(alice.authorize())
    assert 'id="current"' in page.text
    assert send(alice, page, NEW).status_code == 400
    assert 'id="allow"' not in send(alice, page, NEW, current="not it").text
    send(alice, page, NEW, current=PASSWORD)
    assert not row(services, tenant).must_change_password


def test_nist_wants_less_beside_a_second_factor(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    from app.domain.models import Authenticator

    user = row(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(
            Authenticator(
                user_id=user.id, kind="phone", name="x", data={"number": "+1"}, confirmed_at=clock.now()
            )
        )
    with services.tenancy.session(tenant.id) as session:
        assert new_passwords.has_second_factor(session, user.id, MfaSettings())
    assert services.new_passwords.hash(tenant, "eightchr", second_factor=True)


def test_age_counts_from_the_last_change(services: Services, tenant: TenantContext) -> None:
    settings = tenant.settings.authentication.password.model_copy(
        update={"preset": "custom", "max_age_days": 90}
    )
    user = User(password_hash="x", password_changed_at=clock.now())
    assert not new_passwords.is_too_old(user, settings)
    with time_machine.travel(clock.after(91 * 86400)):
        assert new_passwords.is_too_old(user, settings)
        assert not new_passwords.is_too_old(user, settings.model_copy(update={"max_age_days": 0}))
        assert not new_passwords.is_too_old(user, settings.model_copy(update={"preset": "nist"}))


def send(alice: Person, page: Any, password: str, current: str = "") -> Any:
    """Send the page of the sign-in family."""
    form = {"csrf_token": token_of(page), "step": "new-password", "password": password, "current": current}
    return alice.http.post(page.request.path.removeprefix(alice.http.tenant.path), data=form)


def test_password_managers_find_the_page(alice: Person, tenant: TenantContext) -> None:
    """A Well-Known URL for Changing Passwords section 2, in the tenant's own place."""
    answer = alice.http.get("/.well-known/change-password")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{tenant.path}/account/password"
