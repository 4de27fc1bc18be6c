"""What happens to an account after it was made: new passwords, recovery, addresses, terms, leaving."""

import dataclasses
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
import time_machine

from app import housekeeping
from app.domain import account_access, one_time_links, users
from app.domain.access import rbac
from app.domain.models import Authenticator, OutboxMessage, TrustedDevice, User
from app.domain.tenants import TenantContext
from app.infra import limits
from app.kernel import clock
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol import mailbag
from tests.protocol.browserless import PASSWORD, Person, answer_of, new_person, new_public_client, token_of
from tests.protocol.test_tenant_settings import decide

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.test import TestResponse

    from tests.conftest import Http

NEXT = "quite another long sentence"
ALICE = "alice@example.com"


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.0)


@pytest.fixture
def alice(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(http)


def row(services: Services, tenant: TenantContext, login: str = "alice") -> User:
    with services.tenancy.session(tenant.id) as session:
        user = users.find_by_login(session, login)
        assert user is not None
        session.expunge(user)
        return user


def events(services: Services, tenant: TenantContext) -> list[str]:
    with services.tenancy.session(tenant.id) as session:
        found = session.query(OutboxMessage).filter_by(topic="audit").order_by(OutboxMessage.id)
        return [message.payload["event"] for message in found]


def forget(http: "Http", login: str) -> "TestResponse":
    person = Person(http)
    page = person.follow(http.get("/forgot"))
    form = {"csrf_token": token_of(page), "login": login}
    return person.follow(http.post(person.at, raw=True, form=form))


def link_sent(services: Services, tenant: TenantContext, to: str = ALICE) -> str:
    return mailbag.path_of(mailbag.newest(services, tenant, to).link, tenant)


def send(http: "Http", path: str, **form: str) -> "TestResponse":
    """Open the page behind a link and send its form."""
    page = http.get(path)
    assert page.status_code == 200, page.text
    return http.post(path, form={"csrf_token": token_of(page), **form})


def signs_in(app: "Flask", tenant: TenantContext, password: str) -> bool:
    page = attempt(app, tenant, password)
    return "Wrong username or password" not in page.text and page.status_code == 200


def attempt(app: "Flask", tenant: TenantContext, password: str) -> "TestResponse":
    """Somebody at a browser nobody knows."""
    person = Person(Browser(app, tenant), password=password)
    page = person.http.get("/sign-in")
    person.at = re.findall(r'action="([^"]+/interaction/[^"/]+)"', page.text)[0]
    return person.sign_in(page)


# New passwords


def test_a_forgotten_password_is_set_anew_by_a_link(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    """Everything from before is over: sessions, grants, trusted devices; and the person hears of it."""
    tokens = alice.tokens(scope="openid offline_access")
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(
            TrustedDevice(user_id=row(services, tenant).id, device_id="d", expires_at=clock.after(999))
        )
    assert "on its way" in forget(Browser(app, tenant), "alice").text
    path = link_sent(services, tenant)
    stranger = Browser(app, tenant)
    refused = send(stranger, path, password="short")
    assert refused.status_code == 400
    assert re.search(r'<meter[^>]+value="0"', refused.text)
    assert send(stranger, path, password=NEXT).headers["Location"].endswith("/password-set")
    assert "Sign in" in stranger.get("/password-set").text
    assert 'id="sign-in"' in alice.follow(alice.http.get("/account")).text
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"}
    assert stranger.post("/token", form=form).json["error"] == "invalid_grant"
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert stranger.get("/userinfo", headers=bearer).status_code == 401
    with services.tenancy.session(tenant.id) as session:
        assert session.query(TrustedDevice).count() == 0
    assert not signs_in(app, tenant, PASSWORD)
    assert signs_in(app, tenant, NEXT)
    told = [letter.subject for letter in mailbag.letters(services, tenant, ALICE)]
    assert "Your password was changed" in told
    assert row(services, tenant).email_verified
    assert stranger.get(path).status_code == 404
    assert {"password.reset.requested", "password.reset"} <= set(events(services, tenant))


def test_nobody_is_signed_in_by_a_reset(alice: Person, services: Services, tenant: TenantContext) -> None:
    """So that the second factor is asked for, as ever."""
    forget(alice.http, "alice")
    send(alice.http, link_sent(services, tenant), password=NEXT)
    assert 'id="sign-in"' in alice.follow(alice.http.get("/account")).text


@pytest.mark.parametrize("login", ["nobody", "nobody@example.com", "", "\u202e", "x" * 400, "disabled"])
def test_forgetting_a_name_nobody_has_reads_the_same_and_sends_nothing(
    alice: Person, services: Services, tenant: TenantContext, login: str
) -> None:
    new_person(services, tenant, "disabled")
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "disabled")
        assert user is not None
        account_access.disable(session, user, revocations=services.revocations)
    plain = [_without_secrets(forget(alice.http, name).text) for name in ("alice", login)]
    assert plain[0] == plain[1]
    assert [letter.to for letter in mailbag.letters(services, tenant)] == [ALICE]


def _without_secrets(text: str) -> str:
    return re.sub(r"[A-Za-z0-9_.-]{20,}", "", text)


def test_a_reset_link_ends_after_an_hour_and_with_the_next_one(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    forget(alice.http, "alice")
    first = link_sent(services, tenant)
    forget(alice.http, ALICE)
    second = link_sent(services, tenant)
    assert alice.http.get(first).status_code == 404
    with time_machine.travel(clock.after(3601), tick=True):
        assert alice.http.get(second).status_code == 404
    assert alice.http.get(second).status_code == 200


def test_a_person_gets_few_reset_mails_however_often_somebody_asks(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    for _ in range(limits.MAIL_TO_ADDRESS.most + 2):
        assert "on its way" in forget(alice.http, "alice").text
    assert len(mailbag.letters(services, tenant, ALICE)) == limits.MAIL_TO_ADDRESS.most


def test_whoever_has_only_a_passkey_gets_no_password_by_mail(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        user.password_hash = None
        session.add(
            Authenticator(user_id=user.id, kind="passkey", name="Key", confirmed_at=clock.now(), data={})
        )
    forget(alice.http, "alice")
    assert mailbag.letters(services, tenant) == []


def test_a_reset_link_used_in_parallel_sets_one_password(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    forget(alice.http, "alice")
    path = link_sent(services, tenant)
    browsers = [Browser(app, tenant) for _ in range(4)]
    forms = [{"csrf_token": token_of(b.get(path)), "password": f"{NEXT} {n}"} for n, b in enumerate(browsers)]
    answers: list[int] = []

    def use(number: int) -> None:
        answers.append(browsers[number].post(path, form=forms[number]).status_code)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303, 404, 404, 404]


def test_a_form_of_one_link_does_nothing_for_another(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    new_person(services, tenant, "bob")
    forget(alice.http, "alice")
    forget(alice.http, "bob")
    mine, theirs = link_sent(services, tenant), link_sent(services, tenant, "bob@example.com")
    form = {"csrf_token": token_of(alice.http.get(mine)), "password": NEXT}
    assert alice.http.post(theirs, form=form).status_code == 403


# Recovery


def recovery(services: Services, tenant: TenantContext) -> str:
    with services.tenancy.session(tenant.id, write=True) as session:
        token = one_time_links.create(session, one_time_links.RECOVER, user_id=row(services, tenant).id)
    return f"/recover/{token}"


def test_recovery_sets_a_password_and_removes_every_factor(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        session.add(
            Authenticator(user_id=user.id, kind="totp", name="App", confirmed_at=clock.now(), data={})
        )
    path = recovery(services, tenant)
    assert "second factors" in alice.http.get(path).text
    assert send(alice.http, path, password=NEXT).status_code == 303
    with services.tenancy.session(tenant.id) as session:
        assert session.query(Authenticator).count() == 0
    assert signs_in(app, tenant, NEXT)
    assert "account.recovered" in events(services, tenant)
    assert alice.http.get(path).status_code == 404


# Addresses


def test_an_unconfirmed_address_is_confirmed_at_sign_in_where_the_tenant_asks(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    decide(services, tenant, authentication={"require_verified_email": True})
    page = alice.sign_in(alice.authorize(prompt="login"))
    assert "I have opened the link" in page.text
    silent = answer_of(Person(alice.http).authorize(prompt="none"))
    assert silent.parameters["error"] == "login_required"
    assert "I have opened the link" in alice.step(page, step="verify-email", answer="go").text
    assert "A new link" in alice.step(page, step="verify-email", answer="resend").text
    assert len(mailbag.letters(services, tenant, ALICE)) == 2
    mailbox = Browser(app, tenant)
    path = link_sent(services, tenant)
    assert "Is alice@example.com your address?" in mailbox.get(path).text
    assert not row(services, tenant).email_verified
    assert "is confirmed" in send(mailbox, path).text
    assert row(services, tenant).email_verified
    assert 'id="allow"' in alice.step(page, step="verify-email", answer="go").text
    assert mailbox.get(path).status_code == 404


def change_address(alice: Person, address: str) -> "TestResponse":
    page = alice.http.get("/account/email")
    return alice.http.post("/account/email", form={"csrf_token": token_of(page), "email": address})


def test_another_address_is_used_once_mail_was_read_there_and_the_old_one_is_told(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    alice.through()
    assert change_address(alice, "new@example.com").status_code == 303
    assert row(services, tenant).email == ALICE
    mailbox = Browser(app, tenant)
    path = link_sent(services, tenant, "new@example.com")
    assert "uses this address" in send(mailbox, path).text
    user = row(services, tenant)
    assert (user.email, user.email_verified) == ("new@example.com", True)
    letter = mailbag.newest(services, tenant, ALICE)
    assert "new@example.com" in letter.text
    undo = mailbag.path_of(letter.link, tenant)
    with time_machine.travel(clock.after(6 * 86400), tick=True):
        back = send(mailbox, undo)
        assert back.status_code == 303
        reset = back.headers["Location"].removeprefix(tenant.path)
        assert send(mailbox, reset, password=NEXT).status_code == 303
    assert row(services, tenant).email == ALICE
    assert signs_in(app, tenant, NEXT)
    assert mailbox.get(undo).status_code == 404
    assert {"email.change.requested", "email.changed", "email.change.undone"} <= set(events(services, tenant))


def test_taking_a_change_back_signs_the_thief_out(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    alice.through()
    change_address(alice, "thief@example.com")
    mailbox = Browser(app, tenant)
    send(mailbox, link_sent(services, tenant, "thief@example.com"))
    forget(alice.http, "alice")
    stolen = link_sent(services, tenant, "thief@example.com")
    send(mailbox, link_sent(services, tenant))
    assert 'id="sign-in"' in alice.follow(alice.http.get("/account")).text
    assert alice.http.get(stolen).status_code == 404


def test_an_address_of_somebody_else_reads_the_same_and_sends_nothing(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    new_person(services, tenant, "bob")
    alice.through()
    taken, free = change_address(alice, "bob@example.com"), change_address(alice, "free@example.com")
    assert (taken.status_code, taken.headers["Location"]) == (free.status_code, free.headers["Location"])
    assert [letter.to for letter in mailbag.letters(services, tenant)] == ["free@example.com"]


def test_an_address_that_was_taken_meanwhile_stays_its_owners(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    alice.through()
    change_address(alice, "bob@example.com")
    new_person(services, tenant, "bob")
    path = link_sent(services, tenant, "bob@example.com")
    assert send(alice.http, path).status_code == 404
    assert row(services, tenant).email == ALICE


# Profile


def test_people_change_what_is_theirs_and_nothing_else(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    attributes = {
        "name": {"required": True},
        "birthdate": {"type": "date"},
        "newsletter": {"type": "boolean"},
        "badge": {"type": "integer", "editable_by": "admin"},
        "secret_note": {"visible": False},
    }
    decide(services, tenant, people={"attributes": attributes})
    alice.through()
    page = alice.http.get("/account/profile")
    assert "badge" in page.text
    assert "secret_note" not in page.text

    def save(**values: str) -> "TestResponse":
        form = {"csrf_token": token_of(page), **{f"profile-{k}": v for k, v in values.items()}}
        return alice.http.post("/account/profile", form=form)

    assert save(name="", birthdate="2000-01-01").status_code == 400
    assert save(name="Alice", birthdate="yesterday").status_code == 400
    sent = save(name="Alice B", birthdate="2000-01-01", newsletter="true", badge="7", secret_note="x")
    assert sent.status_code == 303
    wanted = {"name": "Alice B", "birthdate": "2000-01-01", "newsletter": True}
    assert row(services, tenant).claims == wanted
    assert save(name="Alice B", birthdate="").status_code == 303
    assert row(services, tenant).claims == {"name": "Alice B", "newsletter": False}


# Terms


def test_new_terms_are_asked_for_once_and_noted(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    decide(services, tenant, terms={"version": "1", "url": "https://example.com/terms", "text": "Be kind."})
    page = alice.sign_in(alice.authorize())
    assert "Be kind." in page.text
    assert alice.step(page, step="terms", answer="agree", agreed="0").status_code == 409
    assert 'id="allow"' in alice.step(page, step="terms", answer="agree", agreed="1").text
    user = row(services, tenant)
    assert user.terms_version == "1"
    assert user.terms_agreed_at is not None
    assert "terms.agreed" in events(services, tenant)
    decide(services, tenant, terms={"version": "2"})
    page = alice.authorize()
    assert "have changed" in page.text
    assert answer_of(alice.authorize(prompt="none")).parameters["error"] == "interaction_required"
    page = alice.authorize()
    refused = answer_of(alice.step(page, step="terms", answer="decline", agreed="2"))
    assert refused.parameters["error"] == "access_denied"


# Leaving


def leave(alice: Person, typed: str = "alice") -> "TestResponse":
    page = alice.http.get("/account/delete")
    return alice.http.post("/account/delete", form={"csrf_token": token_of(page), "username": typed})


def test_an_account_is_deleted_after_the_grace_and_everything_is_taken_back_at_once(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    tokens = alice.tokens(scope="openid offline_access")
    user_id = row(services, tenant).id
    assert leave(alice, "bob").status_code == 400
    assert "going to be deleted" in leave(alice).text
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"}
    assert alice.http.post("/token", form=form).status_code == 400
    assert 'id="sign-in"' in alice.follow(alice.http.get("/account")).text
    housekeeping.delete_leavers(services)
    assert row(services, tenant).id == user_id
    with time_machine.travel(clock.after(14 * 86400 + 60), tick=True):
        housekeeping.delete_leavers(services)
        housekeeping.delete_leavers(services)
        subjects = [letter.subject for letter in mailbag.letters(services, tenant, ALICE)]
    with services.tenancy.session(tenant.id) as session:
        assert users.get(session, user_id) is None
    assert subjects == ["Your account is going to be deleted", "Your account was deleted"]
    assert {"account.deletion.requested", "user.deleted"} <= set(events(services, tenant))


def test_signing_in_before_the_day_keeps_the_account(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    alice.through()
    leave(alice)
    page = alice.sign_in(alice.authorize())
    assert "Keep your account?" in page.text
    assert "code" not in answer_of(Person(alice.http).authorize(prompt="none")).parameters
    assert row(services, tenant).delete_at is not None
    answer = alice.step(page, step="keep-account")
    # Whoever asked to leave took back what they allowed.
    assert 'id="allow"' in answer.text
    assert row(services, tenant).delete_at is None


def test_the_last_super_admin_stays(alice: Person, services: Services, tenant: TenantContext) -> None:
    decide(services, tenant, authentication={"mfa": {"required": "none"}})
    with services.tenancy.session(tenant.id, write=True) as session:
        rbac.give_role(session, row(services, tenant).id, rbac.SUPER_ADMIN)
    alice.through()
    assert leave(alice).status_code == 409
    assert row(services, tenant).delete_at is None


# Closing and opening


def test_a_disabled_person_is_out_at_once(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    tokens = alice.tokens(scope="openid offline_access")
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        assert account_access.disable(session, user, revocations=services.revocations) == 1
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert alice.http.get("/userinfo", headers=bearer).status_code == 401
    assert not signs_in(app, tenant, PASSWORD)
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        account_access.enable(user)
    assert 'id="sign-in"' in alice.follow(alice.http.get("/account")).text
    assert signs_in(app, tenant, PASSWORD)


def test_a_lockout_is_told_to_its_owner_once_and_can_be_ended(
    alice: Person, services: Services, tenant: TenantContext, app: "Flask"
) -> None:
    from app.protocols.login.factors import failures

    decide(services, tenant, authentication={"lockout": {"failures": 3}})
    for _ in range(5):
        signs_in(app, tenant, "wrong")
    assert [letter.subject for letter in mailbag.letters(services, tenant, ALICE)] == ["Sign-in was paused"]
    assert attempt(app, tenant, PASSWORD).status_code == 429
    failures.forget(services.state, tenant.id, row(services, tenant).id, failures.PASSWORD)
    assert signs_in(app, tenant, PASSWORD)


def test_links_name_the_issuer_whatever_the_request_says(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Host-header poisoning: neither Host nor X-Forwarded-Host chooses where a secret is sent."""
    page = alice.follow(alice.http.get("/forgot"))
    form = {"csrf_token": token_of(page), "login": "alice"}
    poisoned: dict[str, Any] = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    alice.http.post(alice.at, raw=True, form=form, headers=poisoned)
    alice.http.post(alice.at, raw=True, form=form, headers={"Host": "evil.example"})
    for letter in mailbag.letters(services, tenant):
        assert "evil.example" not in letter.text + letter.html
        assert letter.link.startswith(tenant.issuer + "/reset/")
