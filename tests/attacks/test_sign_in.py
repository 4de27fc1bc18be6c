"""Attacks on signing in: finding out who has an account, guessing, replaying, bombing, forging requests and links.

Those on sessions are in `test_sessions.py`, on redirects, forms and frames in `test_borders.py`, through branding in
`test_branding.py`; what a browser has to show is in `tests/browser`.
"""

import dataclasses
import re
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
from passlib import hash as known

from app.domain import account_access, one_time_links, users
from app.domain.tenants import TenantContext
from app.infra import mail, sms
from app.infra.limits import CODES_BY_MAIL, CODES_BY_TEXT, SIGN_IN_ALL, SIGN_IN_NETWORK
from app.infra.sms import Texter
from app.web import steps
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol import mailbag
from tests.protocol.browserless import PASSWORD, Person, answer_of, new_person, new_public_client, token_of
from tests.protocol.test_assurance import Nobody
from tests.protocol.test_factor_messages import ask, code_in, link_in, messages
from tests.protocol.test_factors import elsewhere, protected
from tests.protocol.test_tenant_settings import decide

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

ATTEMPTS = 1000
OUTSIDE = "198.51.100.7"
SECRETS = re.compile(r"[A-Za-z0-9_.-]{20,}")


@pytest.fixture
def services(services: Services) -> Services:
    """No floor, so that a thousand attempts take seconds; what needs the floor sets one."""
    return dataclasses.replace(services, sign_in_floor_seconds=0.0, sms=Texter(services.vault, Nobody()))


@pytest.fixture
def alice(services: Services, tenant: TenantContext, http: "Http") -> Person:
    """Somebody with a confirmed address, at a tenant where people may begin with mail and may register."""
    decide(
        services,
        tenant,
        registration={"people": "open"},
        authentication={"methods": ["password", "email"], "mfa": {"methods": ["totp", "sms", "email"]}},
    )
    new_public_client(services, tenant)
    confirm(services, tenant, new_person(services, tenant))
    return Person(http)


def confirm(services: Services, tenant: TenantContext, user_id: str, **values: Any) -> None:
    """The address is confirmed, and whatever else is said is so."""
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        user.email_verified = True
        for name, value in values.items():
            setattr(user, name, value)


def outsider(person: Person, username: str = "alice") -> Person:
    """The attacker: a browser nobody used before."""
    return Person(Browser(person.http.app, person.http.tenant), username)


class Guesser:
    """Sends one page's form again and again, each time from the address that is said."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.token = token_of(person.authorize())

    def __call__(self, username: str, password: str, address: str = OUTSIDE) -> "TestResponse":
        form = {"csrf_token": self.token, "step": "sign-in", "username": username, "password": password}
        where = {"REMOTE_ADDR": address}
        return self.person.http.post(self.person.at, raw=True, form=form, environ_base=where)


def everybody(services: Services, tenant: TenantContext) -> tuple[str, ...]:
    """People of every kind an attacker might tell apart, and somebody who is not there. All but nobody exist."""
    kinds: dict[str, str | None] = {
        "bcrypted": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(9)).decode(),
        "salted": known.ldap_salted_sha1.hash(PASSWORD),
        "stretched": known.django_pbkdf2_sha256.using(rounds=60_000).hash(PASSWORD),
        "portable": known.phpass.using(rounds=11).hash(PASSWORD),
        "keyed": None,
    }
    for name, stored in kinds.items():
        confirm(services, tenant, new_person(services, tenant, name), password_hash=stored)
    disabled = new_person(services, tenant, "disabled")
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, disabled)
        assert user is not None
        account_access.disable(session, user, revocations=services.revocations)
    return ("alice", *kinds, "disabled", "nobody")


# Who has an account


def test_enumeration_by_text(alice: Person, services: Services, tenant: TenantContext) -> None:
    """A wrong password, a code by mail, a forgotten password, a registration: pages read the same for everybody."""

    def told(page: "TestResponse", name: str) -> str:
        return SECRETS.sub("", page.text).replace(name, "NAME")

    shown: dict[str, set[str]] = {"password": set(), "mail": set(), "forgot": set(), "register": set()}
    for number, name in enumerate(everybody(services, tenant)):
        person = outsider(alice, name)
        shown["password"].add(told(person.sign_in(person.authorize(), password="wrong"), name))
        person = outsider(alice, name)
        shown["mail"].add(told(ask(person, name), name))
        for path, field, typed in (
            ("forgot", "login", name),
            ("register", "email", f"{name}@example.com"),
        ):
            person = outsider(alice, name)
            page = person.follow(person.http.get(f"/{path}"))
            form = {"csrf_token": token_of(page), field: typed}
            # Each from another network: few addresses may be registered from one.
            where = {"REMOTE_ADDR": f"203.0.113.{number}"}
            answer = person.http.post(person.at, raw=True, form=form, environ_base=where)
            shown[path].add(told(person.follow(answer), name))
    assert {kind: len(texts) for kind, texts in shown.items()} == dict.fromkeys(shown, 1)


def test_enumeration_by_status(alice: Person, services: Services, tenant: TenantContext) -> None:
    """Statuses, where they lead, and when there were too many attempts: the same whoever is asked about."""
    limit = tenant.settings.authentication.lockout.failures
    seen: set[tuple[tuple[int, str], ...]] = set()
    for number, name in enumerate(everybody(services, tenant)):
        guess = Guesser(outsider(alice, name))
        answers = [guess(name, "wrong", f"203.0.113.{number}") for _ in range(limit + 2)]
        answers.append(guess(name, PASSWORD, f"203.0.113.{number}"))
        seen.add(tuple((each.status_code, each.headers.get("Location", "")) for each in answers))
        assert all(("Retry-After" in each.headers) is (each.status_code == 429) for each in answers)
    assert seen == {((401, ""),) * limit + ((429, ""),) * 3}


@pytest.mark.slow
def test_enumeration_by_time(alice: Person, services: Services, tenant: TenantContext) -> None:
    """Medians of refusals, imported hashes of every cost included, differ by less than one can tell over a network."""
    patient = dataclasses.replace(services, sign_in_floor_seconds=0.4)
    from app import create_app

    app = create_app(services.settings, services=patient)
    names = everybody(services, tenant)
    guess = Guesser(Person(Browser(app, tenant)))

    def medians() -> dict[str, float]:
        took: dict[str, list[float]] = {name: [] for name in names}
        for attempt in range(5):
            # In turns, and not always in the same order, so that a busy moment is nobody's.
            for name in names[attempt:] + names[:attempt]:
                began = time.perf_counter()
                assert guess(name, "wrong").status_code == 401
                took[name].append(time.perf_counter() - began)
        return {name: statistics.median(times) for name, times in took.items()}

    # What tells people apart does so each time; what else the machine does, does not.
    told = next((m for m in (medians() for _ in range(3)) if max(m.values()) - min(m.values()) < 0.08), None)
    assert told is not None
    assert min(told.values()) >= 0.4


# A thousand attempts


@pytest.mark.slow
def test_credential_stuffing_with_1000_attempts(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Names and passwords that leaked elsewhere, from one network: a hundred are looked at, even where the last of them
    is right; and the owner, on a device they used before, gets in meanwhile, from that same network as well."""
    alice.through()
    guess = Guesser(outsider(alice))
    pairs = [(f"leaked{n}", f"password-{n}") for n in range(ATTEMPTS - 1)] + [("alice", PASSWORD)]
    statuses = Counter(guess(*pair, "127.0.0.1").status_code for pair in pairs)
    assert statuses == {401: SIGN_IN_NETWORK.most, 429: ATTEMPTS - SIGN_IN_NETWORK.most}
    refused = guess(*pairs[-1], "127.0.0.1")
    assert int(refused.headers["Retry-After"]) > 0
    assert "code" in answer_of(alice.sign_in(alice.authorize(prompt="login"))).parameters


@pytest.mark.slow
def test_password_spraying_with_1000_attempts(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """One likely password for a thousand names, each from another address of one IPv6 network: throttled as one."""
    alice.through()
    weak = services.passwords.hash("Summer2026!")
    with services.tenancy.session(tenant.id, write=True) as session:
        for number in range(SIGN_IN_NETWORK.most, SIGN_IN_NETWORK.most + 20):
            users.create(session, username=f"person{number}", password_hash=weak)
    guess = Guesser(outsider(alice))
    answers = [
        guess(f"person{number}", "Summer2026!", f"2001:db8:5:5::{number:x}") for number in range(ATTEMPTS)
    ]
    assert Counter(each.status_code for each in answers) == {
        401: SIGN_IN_NETWORK.most,
        429: ATTEMPTS - SIGN_IN_NETWORK.most,
    }
    assert "code" in answer_of(alice.sign_in(alice.authorize(prompt="login"))).parameters


def test_spraying_from_many_networks(alice: Person, services: Services, tenant: TenantContext) -> None:
    """One likely password for many names, few tries from each network: beyond a thousand failures of the tenant each
    network gets five in five minutes. That keeps nobody out: a newcomer from any other network gets in, and so does the
    owner, on a device they used before, from a network that was used up."""
    alice.through()
    guess = Guesser(outsider(alice))
    failure = SIGN_IN_ALL.count(tenant.id)
    before = [guess(f"early{n}", "Summer2026!", "203.0.113.5").status_code for n in range(8)]
    services.state.execute(*[failure] * SIGN_IN_ALL.most)
    after = [
        [guess(f"person{place}x{n}", "Summer2026!", f"203.0.113.{place}") for n in range(8)]
        for place in (5, 6, 127)
    ]
    assert before == [401] * 8
    assert [Counter(each.status_code for each in answers) for answers in after] == [
        {429: 8},
        {401: 5, 429: 3},
        {401: 5, 429: 3},
    ]
    assert 0 < int(after[0][0].headers["Retry-After"]) <= SIGN_IN_NETWORK.window_seconds
    used_up = [guess(f"near{n}", "Summer2026!", "127.0.0.1").status_code for n in range(6)]
    assert used_up == [401] * 5 + [429]
    assert "code" in answer_of(alice.sign_in(alice.authorize(prompt="login"))).parameters
    for place in range(3):
        assert Guesser(outsider(alice))("alice", PASSWORD, f"198.51.100.{place}").status_code == 200


@pytest.mark.slow
def test_1000_networks_guess_one_password(alice: Person, services: Services, tenant: TenantContext) -> None:
    """One person's password, from a thousand addresses: the person's own counter stops it, and the owner gets in."""
    alice.through()
    guess = Guesser(outsider(alice))
    answers = [guess("alice", f"guess {n}", f"2001:db8:{n:x}::1").status_code for n in range(ATTEMPTS)]
    limit = tenant.settings.authentication.lockout.failures
    assert Counter(answers) == {401: limit, 429: ATTEMPTS - limit}
    assert guess("alice", PASSWORD, "203.0.113.77").status_code == 429
    assert "code" in answer_of(alice.sign_in(alice.authorize(prompt="login"))).parameters


# Guessing and replaying what comes after the password


def brute_force(alice: Person, way: str) -> "TestResponse":
    """Guess from several browsers in turn, each of which knows the password; gives the answer to the right code."""
    protected(alice)
    statuses = []
    for _ in range(4):
        thief = elsewhere(alice)
        page = thief.sign_in(thief.authorize())
        wrong = "000000" if way == "totp" else "AAAA-AAAA-AAAA"
        statuses += [thief.second(page, way, code=wrong).status_code for _ in range(5)]
    assert Counter(statuses) == {401: 10, 429: 10}
    return thief.second(page, way)


def test_brute_force_of_totp(alice: Person) -> None:
    """Ten guesses however many browsers share them; then a right one is not looked at. The owner's device is apart."""
    assert brute_force(alice, "totp").status_code == 429
    alice.app.rest()
    page = alice.sign_in(alice.authorize(prompt="login"))
    assert 'id="allow"' in alice.second(page).text


def test_brute_force_of_recovery_codes(alice: Person) -> None:
    assert brute_force(alice, "recovery").status_code == 429


def test_brute_force_of_codes_by_email(alice: Person, services: Services, tenant: TenantContext) -> None:
    """Five tries at one code, and no more by asking for another: ten for the person in all."""
    statuses = []
    for _ in range(4):
        thief = outsider(alice)
        page = ask(thief)
        code = code_in(messages(services, tenant)[-1])
        wrong = "000000" if code != "000000" else "111111"
        statuses += [thief.step(page, step="email", code=wrong).status_code for _ in range(5)]
        last = thief.step(page, step="email", code=code)
        assert last.status_code in (401, 429), "the code was used up by the guesses"
    assert Counter(statuses)[401] <= 10
    assert last.status_code == 429


def test_brute_force_of_magic_links(alice: Person, services: Services, tenant: TenantContext) -> None:
    """256 bits; and whoever tries is stopped as by any other code. Opening a guess shows what opening none shows."""
    thief = outsider(alice)
    page = ask(thief)
    link = link_in(messages(services, tenant)[-1], tenant)
    place, _, secret = link.rpartition("/")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", secret)
    strange = Browser(alice.http.app, tenant)
    texts = {SECRETS.sub("", strange.get(f"{place}/{guess}", raw=True).text) for guess in (secret, "x" * 43)}
    assert len(texts) == 1
    statuses = [thief.step(page, step="email", link=f"{n:043}").status_code for n in range(12)]
    assert Counter(statuses) == {401: 10, 429: 2}
    assert thief.step(page, step="email", link=secret).status_code == 429


def used_twice(alice: Person, way: str) -> tuple["TestResponse", "TestResponse"]:
    """The same code in two browsers, one after the other."""
    protected(alice)
    code = alice.recovery_codes[0] if way == "recovery" else None
    first, second = elsewhere(alice), elsewhere(alice)
    code = code or alice.app.code()
    page = second.sign_in(second.authorize())
    return first.second(first.sign_in(first.authorize()), way, code=code), second.second(page, way, code=code)


def test_replay_of_totp(alice: Person) -> None:
    """RFC 6238 section 5.2: a code is good once, within its half minute as well."""
    taken, again = used_twice(alice, "totp")
    assert 'id="allow"' in taken.text
    assert again.status_code == 401
    assert "used already" in again.text


def test_replay_of_recovery_codes(alice: Person) -> None:
    taken, again = used_twice(alice, "recovery")
    assert 'id="allow"' in taken.text
    assert again.status_code == 401


def test_replay_of_codes_by_email(alice: Person, services: Services, tenant: TenantContext) -> None:
    """In the browser that used it and in another that asked as well."""
    page = ask(alice)
    code = code_in(messages(services, tenant)[-1])
    other = outsider(alice)
    waiting = ask(other)
    here = alice.at
    assert 'id="allow"' in alice.step(page, step="email", code=code).text
    assert other.step(waiting, step="email", code=code).status_code == 401
    alice.http.client.delete_cookie(f"ww-{tenant.id}", path="/")
    form = {"csrf_token": token_of(page), "step": "email", "code": code}
    again = alice.follow(alice.http.post(here, raw=True, form=form))
    assert 'id="sign-in"' in alice.http.get("/account").text
    assert "code=" not in again.text


def test_replay_of_magic_links(alice: Person, services: Services, tenant: TenantContext) -> None:
    """Used once where it was asked for, it is worth nothing there; and never was elsewhere."""
    ask(alice)
    link = link_in(messages(services, tenant)[-1], tenant)
    secret = link.rpartition("/")[2]
    alice.at = alice.at.partition("?")[0]
    page = alice.http.get(link, raw=True)
    thief = outsider(alice)
    assert "You began in another browser" in thief.http.get(link, raw=True).text
    assert 'id="allow"' in alice.step(page, step="email", link=secret).text
    assert 'id="sign-in"' in thief.http.get("/account").text
    waiting = ask(thief)
    assert thief.step(waiting, step="email", link=secret).status_code == 401


def test_parallel_use_of_one_recovery_code(alice: Person) -> None:
    """Six browsers at once: one gets in."""
    protected(alice)
    code = alice.recovery_codes[0]
    shown = [(browser, browser.sign_in(browser.authorize())) for browser in map(elsewhere, [alice] * 6)]
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda each: each[0].second(each[1], "recovery", code=code), shown)
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5


# Messages


def test_prompt_bombing_by_mail(alice: Person, services: Services, tenant: TenantContext) -> None:
    """A mailbox gets few messages from however many browsers and networks somebody has, and then says nothing."""
    statuses = []
    for number in range(CODES_BY_MAIL.most + 10):
        guess = Guesser(outsider(alice))
        form = {"csrf_token": guess.token, "step": "sign-in", "way": "email", "username": "alice"}
        where = {"REMOTE_ADDR": f"203.0.113.{number}"}
        statuses.append(guess.person.http.post(guess.person.at, raw=True, form=form, environ_base=where))
    assert Counter(each.status_code for each in statuses) == {303: CODES_BY_MAIL.most, 429: 10}
    assert len(messages(services, tenant, mail.TOPIC)) == CODES_BY_MAIL.most


def test_prompt_bombing_by_text_message(alice: Person, services: Services, tenant: TenantContext) -> None:
    """Whoever knows the password and has no telephone cannot make it ring all night."""
    from app.domain import authenticators

    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        authenticators.add_phone(session, user.id, number="+491701234567")
    statuses = []
    for _ in range(CODES_BY_TEXT.most + 5):
        thief = outsider(alice)
        page = thief.sign_in(thief.authorize())
        statuses.append(thief.step(page, step="factor", way="sms", send="yes").status_code)
    assert Counter(statuses) == {200: CODES_BY_TEXT.most, 429: 5}
    assert len(messages(services, tenant, sms.TOPIC)) == CODES_BY_TEXT.most


POISON = (
    {"Host": "evil.example"},
    {"Host": "localhost:8000@evil.example"},
    {"X-Forwarded-Host": "evil.example"},
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil.example"},
    {"Forwarded": "host=evil.example;proto=https"},
    {"X-Original-URL": "https://evil.example/", "X-Host": "evil.example"},
)


def test_host_header_poisoning_of_links(alice: Person, services: Services, tenant: TenantContext) -> None:
    """No header chooses where the secret of a link is sent: forgotten passwords, registrations, magic links."""
    for number, headers in enumerate(POISON):
        for path, typed in (
            ("/forgot", {"login": "alice"}),
            ("/register", {"email": f"new{number}@example.com"}),
            ("/sign-in", {"step": "sign-in", "way": "email", "username": "alice"}),
        ):
            person = outsider(alice)
            page = person.follow(person.http.get(path))
            action = re.search(r'method="post" action="([^"]+/interaction/[^"]+)"', page.text)
            assert action
            form = {"csrf_token": token_of(page), **typed}
            answer = person.http.post(action[1], raw=True, form=form, headers=headers)
            assert "evil.example" not in answer.text + str(answer.headers)
    sent = mailbag.letters(services, tenant)
    assert len(sent) >= 6
    for letter in sent:
        assert "evil.example" not in letter.text + letter.html
        links = re.findall(r"https?://\S+", letter.text)
        assert links
        assert all(link.startswith(tenant.issuer) for link in links)


# Requests somebody else makes the browser send


def test_csrf_on_every_form(alice: Person, services: Services, tenant: TenantContext) -> None:
    """Whatever page takes a form: without the token that is this browser's, and from another site with it, nothing
    happens."""
    alice.through()
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        tokens = {
            purpose: one_time_links.create(session, purpose, user_id=user.id, data={"email": user.email})
            for purpose in (one_time_links.RESET_PASSWORD, one_time_links.RECOVER)
        }
    token = token_of(alice.http.get("/account/sessions"))
    alice.authorize(prompt="login")
    interaction = alice.at.rpartition("/")[2]
    filled = {
        "<interaction_id>": interaction,
        "/reset/<token>": f"/reset/{tokens[one_time_links.RESET_PASSWORD]}",
        "/recover/<token>": f"/recover/{tokens[one_time_links.RECOVER]}",
    }
    paths = []
    for rule in alice.http.app.url_map.iter_rules():
        path = str(rule)
        if "POST" not in (rule.methods or ()) or path.startswith(("/t/<", "/api/", "/authorize")):
            continue
        for name, value in filled.items():
            path = path.replace(name, value)
        if "<" not in path:
            paths.append(path)
    assert len(paths) > 15
    requests: list[tuple[str, dict[str, str]]] = [(path, {}) for path in paths]
    requests += [(f"/interaction/{interaction}", {"step": page.name}) for page in steps.PAGES]
    for path, said in requests:
        if path.endswith(interaction) and not said:
            continue
        # Without a token it is an application's request to sign out, which leads to a page that asks.
        bare = [] if path == "/logout" else [said]
        for form in (*bare, {**said, "csrf_token": "x.y"}, {**said, "csrf_token": token}):
            headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
            for sent in ({}, headers) if form.get("csrf_token") != token else (headers,):
                answer = alice.http.post(path, form=form, headers=sent)
                assert answer.status_code == 403, (path, form, answer.status_code)
    assert "Alice" in alice.http.get("/account").text
