"""Making an account: by oneself (Initiating User Registration via OpenID Connect 1.0), and by an invitation."""

import dataclasses
import hashlib
import itertools
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
import time_machine

from app.domain import invitations, users
from app.domain.access import rbac
from app.domain.access.rbac import Access
from app.domain.bot_defence import ProofOfWork
from app.domain.models import Role, User
from app.domain.tenants import TenantContext
from app.infra import limits
from app.kernel import clock
from app.kernel.errors import Problem
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol import mailbag
from tests.protocol.browserless import (
    Person,
    answer_of,
    consent_form,
    new_person,
    new_public_client,
    token_of,
)
from tests.protocol.test_tenant_settings import decide

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

PASSWORD = "a long sentence nobody says"
NEW = "new@example.com"


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.0)


@pytest.fixture
def open_tenant(services: Services, tenant: TenantContext) -> TenantContext:
    decide(services, tenant, registration={"people": "open"})
    new_public_client(services, tenant)
    found = services.tenants.by_id(tenant.id)
    assert found is not None
    return found


def ask(http: "Http", email: str, path: str = "/register", **form: str) -> "TestResponse":
    """Enter an address on the registration page, without scripts."""
    person = Person(http)
    page = person.follow(http.get(path))
    assert page.status_code == 200, page.text
    form = {"csrf_token": token_of(page), "email": email, **form}
    return person.follow(http.post(person.at, raw=True, form=form))


def finish(http: "Http", path: str, **changes: str) -> "TestResponse":
    page = http.get(path)
    form = {"username": "newcomer", "password": PASSWORD, "csrf_token": token_of(page), **changes}
    return http.post(path, form=form)


def find(services: Services, tenant: TenantContext, login: str) -> User | None:
    with services.tenancy.session(tenant.id) as session:
        user = users.find_by_login(session, login)
        if user is not None:
            session.expunge(user)
        return user


def link_for(services: Services, tenant: TenantContext, http: "Http", email: str = NEW) -> str:
    assert "Check your e-mail" in ask(http, email).text
    return mailbag.path_of(mailbag.newest(services, tenant, email).link, tenant)


def test_an_account_is_made_once_mail_was_read_and_its_owner_goes_on_to_the_application(
    http: "Http", services: Services, open_tenant: TenantContext
) -> None:
    person = Person(http)
    page = person.authorize(prompt="create")
    assert "Create an account" in page.text
    form = {"csrf_token": token_of(page), "email": NEW}
    assert "Check your e-mail" in person.follow(http.post(person.at, raw=True, form=form)).text
    assert find(services, open_tenant, NEW) is None
    letter = mailbag.newest(services, open_tenant, NEW)
    assert "Finish creating your account" in letter.subject
    path = mailbag.path_of(letter.link, open_tenant)
    page = person.follow(finish(http, path))
    user = find(services, open_tenant, "newcomer")
    assert user is not None
    assert (user.email, user.email_verified) == (NEW, True)
    assert 'id="allow"' in page.text
    answer = answer_of(http.post(person.at, raw=True, form=consent_form(page)))
    assert "code" in answer.parameters
    assert http.get(path).status_code == 404


def test_somebody_who_is_signed_in_makes_another_account_or_takes_the_one_they_have(
    http: "Http", services: Services, open_tenant: TenantContext
) -> None:
    new_person(services, open_tenant)
    person = Person(http)
    person.through()
    page = person.authorize(prompt="create")
    assert "Create an account" in page.text
    path = re.findall(r'action="([^"]+/interaction/[^"/]+)"', page.text)[0]
    form = {"csrf_token": token_of(page), "step": "register"}
    assert "code" in answer_of(person.follow(http.post(path, raw=True, form=form))).parameters


def test_prompt_create_is_unknown_where_nobody_may_register(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Initiating User Registration section 4: a prompt that is not declared is refused."""
    new_public_client(services, tenant)
    declared = http.get("/.well-known/openid-configuration").json["prompt_values_supported"]
    assert "create" not in declared
    answer = answer_of(Person(http).authorize(prompt="create"))
    assert answer.parameters["error"] == "invalid_request"
    assert http.get("/register").status_code == 404
    assert "Create an account" not in Person(http).follow(http.get("/sign-in")).text


def test_prompt_create_is_declared_where_people_may_register(
    http: "Http", open_tenant: TenantContext
) -> None:
    """Initiating User Registration section 3."""
    assert "create" in http.get("/.well-known/openid-configuration").json["prompt_values_supported"]
    assert "Create an account" in Person(http).follow(http.get("/sign-in")).text


def test_the_pages_do_not_tell_whether_an_address_is_taken(
    http: "Http", services: Services, open_tenant: TenantContext
) -> None:
    """The same answer, character by character; the mail tells, to whoever reads it."""
    new_person(services, open_tenant)
    told = [re.sub(r"[A-Za-z0-9_-]{43}", "", ask(http, email).text) for email in (NEW, "alice@example.com")]
    assert re.sub(r"\bref\S+", "", told[0]).split()[:50] == re.sub(r"\bref\S+", "", told[1]).split()[:50]
    assert "already" in mailbag.newest(services, open_tenant, "alice@example.com").subject
    assert "Finish" in mailbag.newest(services, open_tenant, NEW).subject


def test_only_addresses_of_the_tenants_domains(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    decide(services, tenant, registration={"people": "domain", "domains": ["example.com"]})
    for refused in ("a@example.org", "a@sub.example.com", "a@example.com.evil.example"):
        page = ask(http, refused)
        assert page.status_code == 400
        assert "none of them" in page.text
    assert "Check your e-mail" in ask(http, "a@EXAMPLE.com").text


def test_a_link_goes_stale_when_registration_is_closed_meanwhile(
    http: "Http", services: Services, open_tenant: TenantContext
) -> None:
    path = link_for(services, open_tenant, http)
    decide(services, open_tenant, registration={"people": "invitation"})
    assert finish(http, path).status_code == 403
    assert find(services, open_tenant, NEW) is None


def test_a_registration_link_is_good_once_though_used_in_parallel(
    http: "Http", services: Services, open_tenant: TenantContext, app: Any
) -> None:
    path = link_for(services, open_tenant, http)
    pages = [http.get(path) for _ in range(4)]
    made: list[int] = []

    def send(number: int) -> None:
        browser = Browser(app, open_tenant)
        form = {"username": f"n{number}", "password": PASSWORD, "csrf_token": token_of(pages[number])}
        made.append(browser.post(path, form=form).status_code)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [303, 404, 404, 404]


def test_what_is_wrong_stands_beside_its_field_and_nothing_is_used_up(
    http: "Http", services: Services, open_tenant: TenantContext
) -> None:
    new_person(services, open_tenant)
    path = link_for(services, open_tenant, http)
    for changes, said in (
        ({"password": "short"}, "At least"),
        ({"username": "alice"}, "taken"),
        ({"username": "other@example.com"}, "your own e-mail address"),
        ({"username": "alice@example.com"}, "your own e-mail address"),
        # The same name, once it is compared.
        ({"username": "other\uff20example.com"}, "your own e-mail address"),
    ):
        page = finish(http, path, **changes)
        assert page.status_code == 400
        assert said in page.text
    assert finish(http, path).status_code == 303


def test_profile_and_terms_are_part_of_making_an_account(
    http: "Http", services: Services, open_tenant: TenantContext
) -> None:
    attributes = {
        "team": {"type": "string", "required": True, "choices": ["red", "blue"], "label": {"en": "Team"}},
        "badge": {"type": "integer", "required": True, "editable_by": "admin"},
        "nickname": {},
    }
    terms = {"version": "2026-05", "url": "https://example.com/terms"}
    decide(services, open_tenant, people={"attributes": attributes}, terms=terms)
    path = link_for(services, open_tenant, http)
    page = http.get(path)
    assert "Team" in page.text
    assert "badge" not in page.text
    assert finish(http, path, agreed="2026-05").status_code == 400
    good = {"profile-team": "blue"}
    assert finish(http, path, agreed="2026-05", **{"profile-team": "green"}).status_code == 400
    assert finish(http, path, **good).status_code == 400
    assert finish(http, path, agreed="1999", **good).status_code == 400
    assert finish(http, path, agreed="2026-05", **good, **{"profile-badge": "1"}).status_code == 303
    user = find(services, open_tenant, "newcomer")
    assert user is not None
    assert user.claims == {"team": "blue"}
    assert user.terms_version == "2026-05"


def solve(challenge: str) -> str:
    for number in itertools.count():
        digest = hashlib.sha256(f"{challenge}:{number}".encode()).digest()
        if int.from_bytes(digest) >> 240 == 0:
            return str(number)
    raise AssertionError


def test_without_proof_of_work_few_may_ask_from_one_network(
    http: "Http", services: Services, open_tenant: TenantContext
) -> None:
    for number in range(limits.REGISTRATION_UNPROVEN.most):
        assert ask(http, f"n{number}@example.com").status_code == 200
    assert ask(http, "one-more@example.com").status_code == 429
    page = Person(http).follow(http.get("/register"))
    challenge = re.findall(r'name="challenge" value="([^"]+)"', page.text)[0]
    proof = solve(challenge)
    answer = ask(http, "proven@example.com", challenge=challenge, proof=proof)
    assert "Check your e-mail" in answer.text
    assert ask(http, "again@example.com", challenge=challenge, proof=proof).status_code == 429


def test_a_proof_is_for_its_tenant_its_time_and_one_use(services: Services, tenant: TenantContext) -> None:
    work = ProofOfWork(services.state, services.deployment_secrets.pepper)
    challenge = work.challenge(tenant.id)
    answer = solve(challenge)
    assert not work.passes("another", challenge, answer)
    assert not work.passes(tenant.id, challenge, answer + "0" * 20)
    assert not work.passes(tenant.id, "x" + challenge[1:], answer)
    easier = challenge.replace(".16.", ".0.")
    assert not work.passes(tenant.id, easier, "1")
    with time_machine.travel(clock.after(1900), tick=True):
        assert not work.passes(tenant.id, challenge, answer)
    assert work.passes(tenant.id, challenge, answer)
    assert not work.passes(tenant.id, challenge, answer)


def test_one_address_gets_few_mails_however_often_it_is_entered(
    http: "Http", services: Services, open_tenant: TenantContext
) -> None:
    for _ in range(limits.REGISTRATION_UNPROVEN.most):
        assert "Check your e-mail" in ask(http, NEW).text
    assert len(mailbag.letters(services, open_tenant, NEW)) == limits.MAIL_TO_ADDRESS.most


def test_an_address_in_other_letters_is_the_same_address(
    http: "Http", services: Services, open_tenant: TenantContext
) -> None:
    """Mail programs do not tell capitals from small letters, so neither does the count of mails."""
    shapes = (NEW, "New@example.com", "NEW@EXAMPLE.COM", "nEw@example.com", "neW@Example.com")
    assert len(shapes) > limits.MAIL_TO_ADDRESS.most
    for shape in shapes:
        assert "Check your e-mail" in ask(http, shape).text
    assert len(mailbag.letters(services, open_tenant)) == limits.MAIL_TO_ADDRESS.most


def invite(services: Services, tenant: TenantContext, **options: Any) -> str:
    options = {"by": None, "by_mail": True, **options}
    with services.tenancy.session(tenant.id, write=True) as session:
        _, token = invitations.create(session, options.pop("email", NEW), **options)
    return f"/invitation/{token}"


def test_an_invitation_carries_roles_and_groups(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(Role(name="member", permissions=["documents:read"]))
    path = invite(services, tenant, roles=["member"])
    assert finish(http, path).status_code == 303
    user = find(services, tenant, "newcomer")
    assert user is not None
    assert user.email_verified
    with services.tenancy.session(tenant.id) as session:
        assert rbac.access_of(session, user.id).roles == {"member"}
    assert http.get(path).status_code == 404


def test_a_link_that_was_handed_over_confirms_no_address(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    assert finish(http, invite(services, tenant, by_mail=False)).status_code == 303
    user = find(services, tenant, "newcomer")
    assert user is not None
    assert not user.email_verified


def test_nobody_invites_with_what_they_could_not_give(services: Services, tenant: TenantContext) -> None:
    reader = Access(roles=frozenset({"reader"}), permissions=frozenset({"documents:*", "users:invite"}))
    admin = Access(roles=frozenset({"admin"}), permissions=frozenset({"*"}))
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(Role(name="reader", permissions=["documents:read"]))
        session.add(Role(name="keeper", permissions=["documents:read", "keys:rotate"]))
    assert invite(services, tenant, roles=["reader"], by=("somebody", reader))
    for access, role in ((reader, "keeper"), (reader, "admin"), (admin, "super_admin")):
        with pytest.raises(Problem, match=r"permission\.missing"):
            invite(services, tenant, roles=[role], by=("somebody", access))


def test_an_inviter_who_lost_the_right_has_no_invitation_left(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    inviter = new_person(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        rbac.give_role(session, inviter, "admin")
        access = rbac.access_of(session, inviter)
    path = invite(services, tenant, roles=["admin"], by=(inviter, access))
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, inviter)
        assert user is not None
        user.disabled_at = clock.now()
    assert finish(http, path).status_code == 404
    assert find(services, tenant, "newcomer") is None


def test_invitations_expire_are_replaced_and_taken_back(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    first, second = invite(services, tenant), invite(services, tenant)
    assert http.get(first).status_code == 404
    assert http.get(second).status_code == 200
    with time_machine.travel(clock.after(8 * 86400), tick=True):
        assert http.get(second).status_code == 404
    with services.tenancy.session(tenant.id, write=True) as session:
        (found,) = invitations.listed(session)
        invitations.revoke(session, found.id)
    assert http.get(second).status_code == 404


def test_trying_links_out_is_ended_with_429(http: "Http", tenant: TenantContext) -> None:
    wrong = ["/invitation/" + "x" * 43, "/reset/" + "x" * 43, "/register/" + "x" * 43]
    answers = [http.get(wrong[n % 3]).status_code for n in range(limits.LINK_GUESSES.most + 1)]
    assert answers == [404] * limits.LINK_GUESSES.most + [429]
