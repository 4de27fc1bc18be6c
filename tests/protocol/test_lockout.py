"""Guessing is slowed down: how long an account is paused, whom that keeps out, and who ends it."""

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest

from app.domain import users
from app.domain.tenant_settings import LockoutSettings
from app.domain.tenants import TenantContext
from app.infra.state import Append, Delete, Key
from app.protocols.login.factors import failures
from app.protocols.login.factors.failures import KINDS, PASSWORD, Counters, pause_seconds
from app.web.services import Services
from tests.protocol import mailbag, parties
from tests.protocol.browserless import Person, token_of
from tests.protocol.test_api import Api
from tests.protocol.test_factors import Settle, elsewhere, person, protected, services, settle
from tests.protocol.token_side import TokenSide

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.test import TestResponse

    from tests.conftest import Http

__all__ = ["person", "services", "settle"]

FEW = {"lockout": {"failures": 3, "window_seconds": 60}}
ALICE = "alice@example.com"


@pytest.fixture
def strict(settle: Settle) -> TenantContext:
    """A tenant where three failures are too many."""
    return settle(authentication=FEW)


def fail(services: Services, counters: Counters) -> int | None:
    """One wrong try. Gives how long to wait where it was not looked at."""
    record = Append(counters.tenant.id, "test", b"")
    counted = counters.count(services.state)
    if not counted.ok:
        return counters.blocked(services.state, counted, record)
    counters.failed(services.state, counted, record)
    return None


def fail_until_paused(services: Services, counters: Counters) -> int:
    waits = [fail(services, counters) for _ in range(4)]
    assert waits[:3] == [None] * 3
    assert waits[3] is not None
    return waits[3]


def sit_out(services: Services, counters: Counters) -> None:
    """As if the pause and the window were over: Redis counts by its own clock, which no test moves."""
    where = counters.device_id or "unknown"
    names = (f"{counters.account}:{where}", f"{counters.account}:{where}:paused")
    services.state.execute(*(Delete(Key(counters.tenant.id, counters.kind, name)) for name in names))


def test_a_pause_is_twice_as_long_as_the_one_before_it() -> None:
    lockout = LockoutSettings()
    assert [pause_seconds(lockout, n) for n in (1, 2, 3, 4, 5, 6, 99)] == [
        900,
        1800,
        3600,
        7200,
        14400,
        14400,
        14400,
    ]
    assert pause_seconds(LockoutSettings(window_seconds=3600, longest_pause_seconds=60), 7) == 3600


@pytest.mark.parametrize("device_id", [None, "known"])
@pytest.mark.parametrize("kind", KINDS)
def test_pauses_grow_until_somebody_gets_in_or_unlocks(
    services: Services, strict: TenantContext, kind: str, device_id: str | None
) -> None:
    counters = Counters(strict, kind, "somebody", device_id, "203.0.113.7")
    for longest in (60, 120, 240):
        assert longest - 5 < fail_until_paused(services, counters) <= longest
        sit_out(services, counters)
    services.state.execute(*counters.forgotten())
    assert fail_until_paused(services, counters) <= 60
    failures.forget(services.state, strict.id, "somebody", kind)
    assert fail_until_paused(services, counters) <= 60


def test_a_used_up_day_is_told_as_such(services: Services, strict: TenantContext) -> None:
    """Where a pause would end sooner than the day's tries come back, the answer is the later of the two."""
    counters = Counters(strict, PASSWORD, "somebody", None, "203.0.113.7")
    for _ in range(4):
        fail_until_paused(services, counters)
        sit_out(services, counters)
    assert fail_until_paused(services, counters) > 80000


def test_a_guesser_elsewhere_pauses_no_known_device(services: Services, strict: TenantContext) -> None:
    guesser = Counters(strict, PASSWORD, "somebody", None, "203.0.113.7")
    owner = dataclasses.replace(guesser, device_id="known")
    for _ in range(3):
        fail_until_paused(services, guesser)
        sit_out(services, guesser)
    assert owner.count(services.state).ok
    services.state.execute(*owner.forgotten())
    # The owner's success on their own device does not give the guesser new tries.
    assert fail_until_paused(services, guesser) > 240


@pytest.fixture
def desk(services: Services, strict: TenantContext, http: "Http") -> Api:
    """An administrator's program."""
    parties.new_resource(services, strict, parties.API)
    return Api(TokenSide(services, strict, http))


def unlock(desk: Api) -> None:
    with desk.services.tenancy.session(desk.tenant.id) as session:
        alice = users.find_by_login(session, "alice")
        assert alice is not None
        user_id = alice.id
    assert desk.call(f"/users/{user_id}/unlock", method="POST").status_code == 200


def guess_second(person: Person, page: "TestResponse") -> list[int]:
    return [person.second(page, code="000000").status_code for _ in range(4)]


def test_an_administrator_unlocks_second_factors(person: Person, desk: Api) -> None:
    other = elsewhere(protected(person))
    page = other.sign_in(other.authorize())
    assert guess_second(other, page) == [401, 401, 401, 429]
    assert other.second(page).status_code == 429
    unlock(desk)
    assert 'id="allow"' in other.second(page).text


def test_an_administrator_unlocks_known_devices(person: Person, desk: Api) -> None:
    protected(person)
    page = person.authorize(prompt="login")
    assert [person.sign_in(page, password="wrong").status_code for _ in range(4)] == [401] * 3 + [429]
    assert person.sign_in(page).status_code == 429
    unlock(desk)
    page = person.sign_in(person.authorize(prompt="login"))
    elsewhere(person)  # for the time that passes for their app
    assert guess_second(person, page)[-1] == 429
    unlock(desk)
    assert 'id="allow"' in person.second(page).text


def test_a_reset_by_mail_gives_no_new_guesses_at_the_second_factor(
    person: Person, services: Services, strict: TenantContext, app: "Flask"
) -> None:
    """Whoever reads somebody's mail has one factor, not two."""
    thief = elsewhere(protected(person))
    page = thief.sign_in(thief.authorize())
    assert guess_second(thief, page)[-1] == 429
    page = thief.follow(thief.http.get("/forgot"))
    thief.http.post(thief.at, raw=True, form={"csrf_token": token_of(page), "login": "alice"})
    path = mailbag.path_of(mailbag.newest(services, strict, ALICE).link, strict)
    page, thief.password = thief.http.get(path), "another long sentence"
    answer = thief.http.post(path, form={"csrf_token": token_of(page), "password": thief.password})
    assert answer.status_code == 303
    page = thief.sign_in(thief.authorize())
    assert 'value="factor"' in page.text
    assert thief.second(page).status_code == 429


def subjects(services: Services, tenant: TenantContext) -> list[str]:
    return [letter.subject for letter in mailbag.letters(services, tenant, ALICE)]


def test_whose_second_step_was_guessed_at_hears_once_that_the_password_is_known(
    person: Person, services: Services, strict: TenantContext
) -> None:
    other = elsewhere(protected(person))
    page = other.sign_in(other.authorize())
    assert guess_second(other, page)[-1] == 429
    assert other.second(page).status_code == 429
    assert subjects(services, strict).count("Somebody knows your password") == 1
    assert "set a new password" in mailbag.letters(services, strict, ALICE)[-1].text


def test_recovery_codes_used_and_made_are_told(
    person: Person, services: Services, strict: TenantContext
) -> None:
    """The first ones come with a factor, of which a mail tells already."""
    other = elsewhere(protected(person))
    told = ["A recovery code was used", "New recovery codes were made"]
    assert not set(told) & set(subjects(services, strict))
    page = other.sign_in(other.authorize())
    assert 'id="allow"' in other.second(page, "recovery").text
    assert subjects(services, strict)[-1:] == told[:1]
    assert "left: 9" in mailbag.letters(services, strict, ALICE)[-1].text
    page = person.http.get("/account/factors/recovery-codes")
    found = re.search(r'action="([^"]*/interaction/[^"?]+)"', page.text)
    assert found
    person.at = found[1]
    person.save_codes(person.step(page, step="enrol", way="recovery-codes"))
    assert subjects(services, strict)[-1:] == told[1:]
