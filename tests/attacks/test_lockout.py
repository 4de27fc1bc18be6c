"""Attacks by and on what counts failed tries: keeping an owner out, and getting more guesses than one may have."""

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import time_machine

from app.domain.tenants import TenantContext
from app.infra.limits import CODES_BY_MAIL
from app.kernel import clock
from app.web.services import Services
from tests.attacks.test_sign_in import OUTSIDE, alice, confirm, outsider
from tests.conftest import Http as Browser
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client, token_of
from tests.protocol.test_assurance import add_passkey, holder
from tests.protocol.test_factor_messages import ask, code_in, messages
from tests.protocol.test_factors import Settle, protected, settle
from tests.soft_passkey import options_of

if TYPE_CHECKING:
    from tests.conftest import Http

__all__ = ["alice", "holder", "settle"]


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.0)


def test_guesses_at_mailed_codes_do_not_keep_the_owners_passkey_out(holder: Person) -> None:
    """Anybody who knows a name may have a code sent, and type wrong ones."""
    key = add_passkey(holder, synced=True, verifies=True)
    thief = outsider(holder)
    page = ask(thief)
    form = {"csrf_token": token_of(page), "step": "email", "code": "000000"}
    at = thief.at.partition("?")[0]
    answers = [
        thief.http.post(at, raw=True, form=form, environ_base={"REMOTE_ADDR": OUTSIDE}).status_code
        for _ in range(11)
    ]
    assert answers[-1] == 429
    owner = Person(Browser(holder.http.app, holder.http.tenant))
    page = owner.authorize()
    page = owner.step(page, step="sign-in", way="passkey", credential=key.get(options_of(page.text)))
    assert 'id="allow"' in page.text


def test_messages_strangers_have_sent_leave_the_owners_device_its_own(
    http: "Http", services: Services, tenant: TenantContext, settle: Settle
) -> None:
    new_public_client(services, tenant)
    confirm(services, tenant, new_person(services, tenant))
    settle(authentication={"methods": ["email"], "mfa": {"methods": ["totp"], "required": "none"}})
    owner = Person(http)
    page = ask(owner)
    owner.step(page, step="email", code=code_in(messages(services, tenant)[-1]))
    answers = [ask(outsider(owner)).status_code for _ in range(CODES_BY_MAIL.most + 1)]
    assert answers[-1] == 429
    page = owner.step(owner.authorize(prompt="login"), step="sign-in", way="email", username="alice")
    page = owner.step(page, step="email", code=code_in(messages(services, tenant)[-1]))
    assert 'id="allow"' in page.text


def test_reading_the_mailbox_gives_no_new_guesses_at_the_second_factor(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Whoever signs in by mail again and again has ten guesses in all, not ten each time."""
    protected(alice)
    statuses: Counter[int] = Counter()
    for _ in range(3):
        thief = outsider(alice)
        page = thief.step(ask(thief), step="email", code=code_in(messages(services, tenant)[-1]))
        for guess in range(6):
            statuses[thief.second(page, "totp", code=f"{guess:06}").status_code] += 1
    assert statuses == {401: 10, 429: 8}


def test_a_mailed_code_does_not_make_an_old_sign_in_recent(
    http: "Http", services: Services, tenant: TenantContext, settle: Settle
) -> None:
    """Who sits at a browser somebody left open reads the mail in it, and knows no password."""
    new_public_client(services, tenant)
    confirm(services, tenant, new_person(services, tenant))
    settle(authentication={"mfa": {"methods": ["totp", "email"], "required": "none"}})
    person = Person(http)
    person.through()
    with time_machine.travel(clock.after(400), tick=True):
        person.authorize(acr_values="urn:watchword:acr:two-factor")
        page = person.step(person.view("email"), step="factor", way="email", send="yes")
        page = person.second(page, "email", code=code_in(messages(services, tenant)[-1]))
        assert answer_of(page).parameters["code"]
        for path in ("/account/email", "/account/data"):
            assert 'name="password"' in person.follow(person.http.get(path)).text, path
