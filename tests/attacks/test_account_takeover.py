"""Attacks of somebody who got into an account for a moment: everything they leave behind, and what the owner's way back
does to it."""

import dataclasses
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import time_machine

from app.domain import account_access, one_time_links, users
from app.domain.models import Authenticator, RecoveryCode
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol import mailbag
from tests.protocol.browserless import (
    PASSWORD,
    Person,
    answer_of,
    new_person,
    new_public_client,
    request,
    token_of,
)
from tests.protocol.test_factors import Settle, settle, with_one_factor
from tests.protocol.test_lifecycle import (
    ALICE,
    NEXT,
    attempt,
    change_address,
    events,
    forget,
    leave,
    link_sent,
    recovery,
    row,
    send,
    signs_in,
)
from tests.unit.commands.conftest import Watchword, watchword

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.test import TestResponse

    from tests.conftest import Http

__all__ = ["settle", "watchword"]

THIEF = "thief@example.com"
ACCOMPLICE = "accomplice@example.com"
THIEVES_PASSWORD = "what a thief would think of"


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.0)


@pytest.fixture
def alice(services: Services, tenant: TenantContext, http: "Http") -> Person:
    """Signed in, in a browser somebody else has in hand for a moment."""
    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    person.through()
    return person


Way = Callable[[Person, Services, TenantContext, "Flask"], None]


def _resets(_: Person, services: Services, tenant: TenantContext, app: "Flask") -> None:
    owner = Browser(app, tenant)
    forget(owner, "alice")
    send(owner, link_sent(services, tenant), password=NEXT)


def _is_recovered(_: Person, services: Services, tenant: TenantContext, app: "Flask") -> None:
    send(Browser(app, tenant), recovery(services, tenant), password=NEXT)


def _changes_the_password(alice: Person, *_: Any) -> None:
    assert _set_password(alice).status_code == 303


def _is_closed_and_opened(_: Person, services: Services, tenant: TenantContext, app: "Flask") -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        account_access.disable(session, user, revocations=services.revocations)
        account_access.enable(user)


def _ends_the_other_sessions(_: Person, services: Services, tenant: TenantContext, app: "Flask") -> None:
    owner = Person(Browser(app, tenant))
    owner.through()
    page = owner.http.get("/account/sessions")
    owner.http.post("/account/sessions", form={"csrf_token": token_of(page), "step": "end-others"})


def _is_signed_out(_: Person, services: Services, tenant: TenantContext, app: "Flask") -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        services.revocations.revoke_user(session, tenant.id, row(services, tenant).id)


def _is_given_an_address(_: Person, services: Services, tenant: TenantContext, app: "Flask") -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        users.set_email(user, "given@example.com", verified=True)


def _set_password(alice: Person, password: str = NEXT) -> "TestResponse":
    page = alice.follow(alice.http.get("/account/password"))
    form = {"csrf_token": token_of(page), "current": PASSWORD, "password": password}
    return alice.http.post("/account/password", form=form)


def _change(alice: Person, services: Services, tenant: TenantContext, address: str) -> str:
    """Change the address for good. Gives the way back that was mailed to the one before."""
    before = row(services, tenant).email
    assert before is not None
    assert change_address(alice, address).status_code == 303
    mailbox = Browser(alice.http.app, tenant)
    assert "uses this address" in send(mailbox, link_sent(services, tenant, address)).text
    return link_sent(services, tenant, before)


@pytest.mark.parametrize(
    "way",
    [
        _resets,
        _is_recovered,
        _changes_the_password,
        _is_closed_and_opened,
        _ends_the_other_sessions,
        _is_signed_out,
        _is_given_an_address,
    ],
)
def test_a_change_of_address_asked_for_before_does_not_outlive_the_owners_return(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask", way: Way
) -> None:
    """The link is in the thief's mailbox, and good for a day; opened afterwards it would make the mailbox the account's
    own, and the next forgotten password the thief's."""
    assert change_address(alice, THIEF).status_code == 303
    stolen = link_sent(services, tenant, THIEF)
    thief = Browser(app, tenant)
    form = {"csrf_token": token_of(thief.get(stolen))}
    way(alice, services, tenant, app)
    address = row(services, tenant).email
    assert thief.get(stolen).status_code == 404
    assert thief.post(stolen, form=form).status_code == 404
    assert row(services, tenant).email == address != THIEF


@pytest.mark.parametrize("way", [_resets, _changes_the_password, _is_given_an_address])
@pytest.mark.parametrize("purpose", [one_time_links.RESET_PASSWORD, one_time_links.RECOVER])
def test_links_that_set_a_password_do_not_outlive_what_they_were_made_for(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask", way: Way, purpose: str
) -> None:
    """A reset link of an hour ago, after the owner chose another password, or when the address it went to is not theirs
    any more."""
    with services.tenancy.session(tenant.id, write=True) as session:
        token = one_time_links.create(session, purpose, user_id=row(services, tenant).id)
    path = f"/{'reset' if purpose == one_time_links.RESET_PASSWORD else 'recover'}/{token}"
    thief = Browser(app, tenant)
    form = {"csrf_token": token_of(thief.get(path)), "password": THIEVES_PASSWORD}
    way(alice, services, tenant, app)
    assert thief.get(path).status_code == 404
    assert thief.post(path, form=form).status_code == 404
    assert not signs_in(app, tenant, THIEVES_PASSWORD)


def test_signing_somebody_out_everywhere_leaves_their_recovery_link(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    path = recovery(services, tenant)
    forget(Browser(app, tenant), "alice")
    _is_signed_out(alice, services, tenant, app)
    assert Browser(app, tenant).get(link_sent(services, tenant)).status_code == 404
    assert send(Browser(app, tenant), path, password=NEXT).status_code == 303


def test_a_file_that_changes_an_address_leaves_no_link_to_the_old_one(
    alice: Person,
    services: Services,
    tenant: TenantContext,
    app: "Flask",
    watchword: Watchword,
    tmp_path: Path,
) -> None:
    forget(Browser(app, tenant), "alice")
    old = link_sent(services, tenant)
    file = tmp_path / "apply.json"
    people = [{"username": "alice", "email": "given@example.com"}]
    file.write_text(json.dumps({"tenants": [{"slug": tenant.slug, "users": people}]}))
    assert watchword("apply", str(file)).status == 0
    assert row(services, tenant).email == "given@example.com"
    assert Browser(app, tenant).get(old).status_code == 404


def _may_be_taken_back(services: Services, tenant: TenantContext, address: str) -> bool:
    """Whether the newest mail to an address has a way back."""
    return "/email/undo/" in mailbag.newest(services, tenant, address).text


def test_the_way_back_outlives_the_next_change_and_is_the_only_one(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    """A thief who changes the address twice hears of it, and gets no way back of their own."""
    mine = _change(alice, services, tenant, THIEF)
    assert _may_be_taken_back(services, tenant, ALICE)
    assert change_address(alice, ACCOMPLICE).status_code == 303
    send(Browser(app, tenant), link_sent(services, tenant, ACCOMPLICE))
    assert row(services, tenant).email == ACCOMPLICE
    told = mailbag.newest(services, tenant, THIEF)
    assert "earlier address" in told.text
    assert not _may_be_taken_back(services, tenant, THIEF)
    back = send(Browser(app, tenant), mine)
    assert back.status_code == 303
    assert row(services, tenant).email == ALICE
    send(Browser(app, tenant), back.headers["Location"].removeprefix(tenant.path), password=NEXT)
    assert signs_in(app, tenant, NEXT)


def test_an_owner_who_changes_the_address_back_leaves_the_thief_no_way_back(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    """In the console, not by the link: what happens is the same, they are told before, and the link is used up."""
    mine = _change(alice, services, tenant, THIEF)
    assert change_address(alice, ALICE).status_code == 303
    asked = link_sent(services, tenant, ALICE)
    owner = Browser(app, tenant)
    assert "set a new password" in owner.get(asked).text
    back = send(owner, asked)
    assert back.status_code == 303
    user = row(services, tenant)
    assert (user.email, user.email_verified) == (ALICE, True)
    assert not any("/email/undo/" in letter.text for letter in mailbag.letters(services, tenant, THIEF))
    with services.tenancy.session(tenant.id) as session:
        assert one_time_links.undoing(session, user.id) == []
    assert Browser(app, tenant).get(mine).status_code == 404
    assert not signs_in(app, tenant, PASSWORD)
    send(owner, back.headers["Location"].removeprefix(tenant.path), password=NEXT)
    assert signs_in(app, tenant, NEXT)
    assert "email.change.undone" in events(services, tenant)


def test_an_administrators_recovery_ends_the_way_back_to_a_former_mailbox(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    """Somebody else reads the former mailbox by now; the administrator knows whose account it is."""
    theirs = _change(alice, services, tenant, "new@example.com")
    thief = Browser(app, tenant)
    form = {"csrf_token": token_of(thief.get(theirs))}
    send(Browser(app, tenant), recovery(services, tenant), password=NEXT)
    assert thief.post(theirs, form=form).status_code == 404
    assert row(services, tenant).email == "new@example.com"
    assert signs_in(app, tenant, NEXT)


def test_asking_to_be_deleted_does_not_end_the_way_back(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    mine = _change(alice, services, tenant, THIEF)
    assert leave(alice).status_code == 200
    assert row(services, tenant).delete_at is not None
    assert send(Browser(app, tenant), mine).status_code == 303
    user = row(services, tenant)
    assert (user.email, user.delete_at) == (ALICE, None)
    assert "account.deletion.withdrawn" in events(services, tenant)


def test_a_closed_account_does_not_use_the_way_back_up(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    """An administrator closes it while they find out; the owner still has the way back afterwards."""
    mine = _change(alice, services, tenant, THIEF)
    owner = Browser(app, tenant)
    form = {"csrf_token": token_of(owner.get(mine))}
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        account_access.disable(session, user, revocations=services.revocations)
    assert owner.post(mine, form=form).status_code == 404
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        account_access.enable(user)
    assert owner.post(mine, form=form).status_code == 303
    assert row(services, tenant).email == ALICE


def test_the_way_back_removes_what_the_thief_added_to_sign_in_with(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    """An authenticator app shortly before the change, a passkey after it, and recovery codes. What the owner had before
    stays, and they hear of what went."""
    user_id, long_ago = row(services, tenant).id, clock.now() - timedelta(days=5)
    alice.save_codes(alice.enrol(_opened(alice, "/account/factors/totp")))
    mine = _change(alice, services, tenant, THIEF)
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add_all(
            [
                _passkey(user_id, "Theirs", clock.now()),
                _passkey(user_id, "Mine", long_ago),
                RecoveryCode(user_id=user_id, code_hash="mine", created_at=long_ago),
            ]
        )
    owner = Browser(app, tenant)
    assert "since the day before" in owner.get(mine).text
    assert send(owner, mine).status_code == 303
    with services.tenancy.session(tenant.id) as session:
        assert [kept.name for kept in session.query(Authenticator)] == ["Mine"]
        assert [kept.code_hash for kept in session.query(RecoveryCode)] == ["mine"]
    told = [letter.text for letter in mailbag.letters(services, tenant, ALICE)]
    assert any("Theirs" in text for text in told)
    assert events(services, tenant).count("factor.removed") == 2


def test_after_the_way_back_the_owner_signs_in_with_a_new_password_alone(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    """Not stopped by an authenticator app of the thief's, who does not get in either: the password they know opens
    nothing from the moment the owner came back."""
    alice.save_codes(alice.enrol(_opened(alice, "/account/factors/totp")))
    back = send(Browser(app, tenant), _change(alice, services, tenant, THIEF))
    assert not signs_in(app, tenant, PASSWORD)
    send(Browser(app, tenant), back.headers["Location"].removeprefix(tenant.path), password=NEXT)
    page = attempt(app, tenant, NEXT)
    assert 'value="factor"' not in page.text
    assert signs_in(app, tenant, NEXT)


@pytest.mark.parametrize("page", ["/account/email", "/account/delete", "/account/data", "/account/password"])
def test_one_factor_of_a_trusted_browser_changes_and_takes_nothing(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask", page: str
) -> None:
    """Whoever has a second factor shows it for what an account is lost by, however recent the sign-in is."""
    alice.save_codes(alice.enrol(_opened(alice, "/account/factors/totp")))
    plain = with_one_factor(alice)
    asked = _opened(plain, page)
    assert 'value="factor"' in asked.text
    form = {
        "csrf_token": token_of(plain.http.get("/account/sessions")),
        "email": THIEF,
        "username": "alice",
        "current": PASSWORD,
        "password": THIEVES_PASSWORD,
    }
    refused = plain.http.post(page, form=form)
    assert refused.status_code == 303
    assert refused.headers["Location"].endswith(page)
    user = row(services, tenant)
    assert (user.email, user.delete_at) == (ALICE, None)
    assert not {"email.change.requested", "user.exported", "password.changed"} & set(events(services, tenant))
    plain.at = plain.at.partition("?")[0]
    shown = plain.second(asked, "recovery")
    assert shown.status_code == 200
    assert plain.at.endswith(page)
    assert 'value="factor"' not in shown.text


def test_whoever_cannot_show_more_than_they_did_is_not_sent_in_circles(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """A telephone where no messages are sent any more: another factor is added first, and then the page is there."""
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(
            Authenticator(
                user_id=row(services, tenant).id,
                kind="phone",
                name="Old",
                data={"number": "+15005550006"},
                confirmed_at=clock.now(),
            )
        )
    page = alice.follow(alice.http.get("/account/email"))
    assert page.status_code == 200


def _opened(person: Person, path: str) -> "TestResponse":
    """A page of the console, or the page that stands before it."""
    page = person.follow(person.http.get(path))
    found = re.findall(r'action="([^"]+/interaction/[^"/?]+)"', page.text)
    if found:
        person.at = found[0]
    return page


def _passkey(user_id: str, name: str, created_at: datetime) -> Authenticator:
    return Authenticator(
        user_id=user_id,
        kind="passkey",
        name=name,
        lookup=name,
        data={},
        created_at=created_at,
        confirmed_at=created_at,
    )


@pytest.mark.parametrize("way", [_resets, _is_recovered, _is_closed_and_opened])
def test_what_a_thief_consented_to_is_asked_of_the_owner(
    alice: Person, services: Services, tenant: TenantContext, way: Way
) -> None:
    """Otherwise a link the owner opens gives the thief's application a code, and offline access, without a word."""
    new_public_client(services, tenant, "theirs", client_name="Theirs")
    assert alice.tokens("theirs", scope="openid offline_access")["refresh_token"]
    way(alice, services, tenant, alice.http.app)
    owner = Person(
        Browser(alice.http.app, tenant), password=PASSWORD if way is _is_closed_and_opened else NEXT
    )
    page = owner.authorize("theirs", scope="openid offline_access")
    page = owner.sign_in(page)
    assert 'id="allow"' in page.text
    answer = owner.http.get("/authorize", query=request("theirs", prompt="none"))
    assert answer_of(answer).parameters["error"] == "consent_required"


def test_a_sign_in_begun_with_the_former_password_goes_nowhere(
    alice: Person, services: Services, tenant: TenantContext, settle: Settle
) -> None:
    settle(terms={"version": "1", "url": "https://example.com/terms"})
    thief = Person(Browser(alice.http.app, tenant))
    waiting = thief.sign_in(thief.authorize())
    assert 'name="step" value="terms"' in waiting.text
    settle(terms=None)
    with time_machine.travel(clock.after(2), tick=True):
        _changes_the_password(alice)
        settle(terms={"version": "1", "url": "https://example.com/terms"})
        page = thief.step(waiting, step="terms", answer="agree", agreed="1", version="1")
        assert 'id="sign-in"' in page.text
        assert 'id="sign-in"' in thief.http.get("/account").text


def test_a_new_password_signs_applications_out_that_stay_signed_in(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Whoever has an offline grant had the account: the owner who sets another password wants them out."""
    thief = Person(Browser(alice.http.app, tenant))
    stolen = thief.tokens(scope="openid offline_access")["refresh_token"]
    _changes_the_password(alice)
    form = {"grant_type": "refresh_token", "refresh_token": stolen, "client_id": "app"}
    answer = thief.http.post("/token", form=form)
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"] == "invalid_grant"
