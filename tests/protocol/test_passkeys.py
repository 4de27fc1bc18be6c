"""Passkeys over the wire, by an authenticator of software: what Chromium's (`tests/browser`) cannot show."""

import dataclasses
import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from werkzeug.test import Client

from app.domain import tenants
from app.domain.models import Authenticator, User
from app.domain.tenants import TenantContext
from app.infra.tenancy import SystemReason
from app.kernel.errors import Problem
from app.kernel.secrets import b64url
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.conftest import new_tenant
from tests.protocol.browserless import Person, new_person, new_public_client, token_of
from tests.protocol.test_assurance import ORIGIN, add_passkey, holder
from tests.protocol.test_factors import Settle, events, settle
from tests.protocol.test_tenant_settings import decide
from tests.soft_passkey import MAY_SYNC, SYNCED, SoftPasskey, options_of

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

__all__ = ["holder", "settle"]

RELATED = "https://shop.example.com"


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.0)


@pytest.fixture
def key(holder: Person) -> SoftPasskey:
    """One that is synced and verifies its user, added to the account of whoever is signed in."""
    return add_passkey(holder, synced=True, verifies=True)


def show(http: "Http", key: SoftPasskey, **changes: Any) -> "TestResponse":
    """Sign in with it in a browser nobody used before; `changes` are of what the browser was asked for."""
    person = Person(Browser(http.app, http.tenant))
    page = person.authorize()
    return person.step(
        page, step="sign-in", way="passkey", credential=key.get({**options_of(page.text), **changes})
    )


def outsider(holder: Person, username: str) -> Person:
    """Somebody else, in a browser of their own."""
    return Person(Browser(holder.http.app, holder.http.tenant), username)


def bare(person: Person) -> Browser:
    """A client without a cookie jar, which would take the place of the cookies that are sent."""
    found = Browser(person.http.app, person.http.tenant)
    found.client = Client(person.http.app.wsgi_app, use_cookies=False)
    return found


def reasons(services: Services, tenant: TenantContext) -> list[str]:
    """Why passkeys were refused, by the record."""
    found = services.state.read_stream([tenant.id], "audit", "passkeys", count=100)[tenant.id]
    told = [json.loads(entry.entry) for entry in found]
    return [event["reason"] for event in told if event["event"] == "auth.factor.fail"]


def settings(settle: Settle, **passkeys: Any) -> None:
    settle(
        authentication={"methods": ["password", "passkey"], "passkeys": passkeys, "mfa": {"required": "none"}}
    )


def hosted(services: Services) -> TenantContext:
    """A tenant with a host of its own."""
    slug = f"hosted-{secrets.token_hex(4)}"
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        tenants.create(session, slug=slug, name="Hosted", host=f"{slug}.example")
    services.versions.touch()
    found = services.tenants.by_host(f"{slug}.example")
    assert found is not None
    return found


def test_related_origins_are_accepted_where_the_tenant_names_them(http: "Http", services: Services) -> None:
    """WebAuthn section 5.11: the browser let another site use the passkey; whether that counts is for us to say."""
    there = hosted(services)
    new_person(services, there)
    new_public_client(services, there)
    basics = {"mfa": {"required": "none"}}
    decide(services, there, authentication=basics)
    owner = Person(Browser(http.app, there))
    page = owner.http.get("/sign-in")
    owner.at = re.findall(r'action="([^"]*/interaction/[^"?]+)"', page.text)[0]
    owner.sign_in(page)
    key = add_passkey(owner, at=there.issuer, synced=True, verifies=True)
    assert 'id="allow"' in show(owner.http, key).text
    key.origin = RELATED
    assert show(owner.http, key).status_code == 401
    assert owner.http.get("/.well-known/webauthn").status_code == 404
    decide(services, there, authentication={**basics, "passkeys": {"related_origins": [RELATED]}})
    assert 'id="allow"' in show(owner.http, key).text
    assert owner.http.get("/.well-known/webauthn").json == {"origins": [RELATED]}
    key.origin = RELATED + ".evil.example"
    assert show(owner.http, key).status_code == 401


def test_related_origins_are_for_whoever_has_the_root_of_a_host(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Section 5.11.1: browsers fetch the list from the root of the relying party's host, which tenants below it share:
    what one of them lists would get at the passkeys of all."""
    listed = {"passkeys": {"related_origins": [RELATED]}}
    with pytest.raises(Problem, match="host of their own"):
        decide(services, tenant, authentication=listed)
    with (
        services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session,
        pytest.raises(Problem, match="host of their own"),
    ):
        tenants.create(session, slug="below", name="Below", settings={"authentication": listed})
    # Of a time when that was not asked.
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        row.settings = {"authentication": listed}
    services.versions.touch()
    assert Browser(http.app, tenant).get("/.well-known/webauthn").status_code == 404


def test_another_place_is_refused(
    holder: Person, key: SoftPasskey, services: Services, tenant: TenantContext
) -> None:
    """Section 7.2: the relying party, the challenge and the user handle have to be those of this sign-in."""
    for changes in ({"rpId": "evil.example"}, {"challenge": "A" * 43}):
        assert show(holder.http, key, **changes).status_code == 401
    key.handle = b"somebody else's"
    assert show(holder.http, key).status_code == 401
    assert reasons(services, tenant) == ["passkey.invalid"] * 3


def test_a_challenge_is_answered_once(holder: Person, key: SoftPasskey) -> None:
    """The same answer in the same browser, by as many as like: one is signed in."""
    person = Person(Browser(holder.http.app, holder.http.tenant))
    page = person.authorize()
    form = {"csrf_token": token_of(page), "step": "sign-in", "way": "passkey"}
    form["credential"] = key.get(options_of(page.text))
    cookies = "; ".join(f"{c.key}={c.value}" for c in (person.http.client._cookies or {}).values())

    def send(_: int) -> int:
        http = bare(holder)
        return http.post(person.at, raw=True, form=form, headers={"Cookie": cookies}).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(send, range(6)))[:2] == [303, 401]


def test_a_counter_goes_forward(
    holder: Person, key: SoftPasskey, services: Services, tenant: TenantContext
) -> None:
    """Section 6.1.1: one that stands still, once it has counted, is a copy's."""
    key.counter = 7
    assert 'id="allow"' in show(holder.http, key).text
    assert show(holder.http, key).status_code == 401
    assert reasons(services, tenant) == ["passkey.cloned"]
    key.counter = 8
    assert 'id="allow"' in show(holder.http, key).text


def test_who_did_not_verify_is_refused_where_the_tenant_requires_it(holder: Person, settle: Settle) -> None:
    key = add_passkey(holder, synced=True, verifies=False)
    settings(settle, user_verification="required")
    page = Browser(holder.http.app, holder.http.tenant).get("/sign-in")
    assert options_of(page.text)["userVerification"] == "required"
    assert show(holder.http, key).status_code == 401


def test_only_the_listed_models_are_accepted_where_models_are_listed(
    holder: Person, settle: Settle, services: Services, tenant: TenantContext
) -> None:
    """Section 6.5.1: the AAGUID, as the authenticator attests it."""
    listed, other = UUID(int=0xE1), UUID(int=0xE2)
    settings(settle, attestation="direct", allowed_aaguids=[str(listed)])
    with pytest.raises(AssertionError, match="not accepted here"):
        add_passkey(holder, synced=False, verifies=True, model=other)
    with services.tenancy.session(tenant.id) as session:
        assert session.scalars(select(Authenticator)).all() == []
    key = add_passkey(holder, synced=False, verifies=True, model=listed)
    assert 'id="allow"' in show(holder.http, key).text


def test_a_model_that_is_not_attested_is_none_of_the_listed(
    holder: Person, settle: Settle, services: Services, tenant: TenantContext
) -> None:
    """A browser may leave the attestation out: the AAGUID beside it counts for nothing then."""
    settings(settle, attestation="direct", allowed_aaguids=[str(UUID(int=0))])
    page = holder.http.get("/account/factors/passkey")
    at = re.findall(r'action="([^"]*/interaction/[^"?]+)', page.text)[0]
    key = SoftPasskey("http://localhost:8000", synced=True, verifies=True)
    answer = key.create({**options_of(page.text), "attestation": "none"})
    form = {
        "csrf_token": token_of(page),
        "step": "enrol",
        "way": "passkey",
        "name": "x",
        "credential": answer,
    }
    assert "not accepted here" in holder.follow(holder.http.post(at, raw=True, form=form)).text
    with services.tenancy.session(tenant.id) as session:
        assert session.scalars(select(Authenticator)).all() == []


def test_a_passkey_of_one_tenant_is_none_at_another(
    holder: Person, key: SoftPasskey, services: Services
) -> None:
    """Tenants below one host share it, so the browser offers both."""
    other = new_tenant(services)
    new_public_client(services, other)
    new_person(services, other)
    assert show(Browser(holder.http.app, other), key).status_code == 401


def remove(person: Person, path: str, target: str) -> int:
    page = person.http.get("/account/passkeys")
    form = {"csrf_token": token_of(page), "step": "remove", "target": target}
    return person.http.post(path, form=form).status_code


@pytest.mark.parametrize("path", ["/account/passkeys", "/account/factors"])
@pytest.mark.parametrize("methods", [["passkey"], ["passkey", "password"]])
def test_the_only_way_in_stays(
    holder: Person,
    key: SoftPasskey,
    services: Services,
    tenant: TenantContext,
    path: str,
    methods: list[str],
) -> None:
    """Of who has no password, and of whose password the tenant asks nobody for; by whichever page."""
    if "password" in methods:
        with services.tenancy.session(tenant.id, write=True) as session:
            session.execute(update(User).values(password_hash=None, email_verified=False))
    decide(services, tenant, authentication={"methods": methods, "mfa": {"required": "none"}})
    with services.tenancy.session(tenant.id) as session:
        (target,) = session.scalars(select(Authenticator.id)).all()
    assert remove(holder, path, target) == 409
    with services.tenancy.session(tenant.id) as session:
        assert session.get(Authenticator, (tenant.id, target)) is not None
    second = add_passkey(holder, synced=True, verifies=True)
    assert remove(holder, path, target) == 303
    assert 'id="allow"' in show(holder.http, second).text
    assert len(events(services, tenant, "factor.removed")) == 1


def test_a_passkey_of_ones_own_does_not_make_a_known_device_for_somebody_else(
    holder: Person, key: SoftPasskey, services: Services, tenant: TenantContext
) -> None:
    """Mallory knows Alice's password and tries the second step with a passkey of their own, in a browser that knows
    Mallory: it counts as a stranger's try of Alice."""
    new_person(services, tenant, "mallory")
    mallory = outsider(holder, "mallory")
    page = mallory.http.get("/sign-in")
    mallory.at = re.findall(r'action="([^"]*/interaction/[^"?]+)"', page.text)[0]
    mallory.sign_in(page)
    theirs = add_passkey(mallory, synced=True, verifies=True)
    alice = Person(mallory.http, "alice")
    page = alice.sign_in(alice.authorize(prompt="login"))
    credential = theirs.get(options_of(page.text))
    page = alice.step(page, step="factor", way="passkey", credential=credential)
    assert "not one of yours" in page.text
    found = services.state.read_stream([tenant.id], "audit", "passkeys", count=100)[tenant.id]
    told = [json.loads(entry.entry) for entry in found]
    failed = [event for event in told if event["event"] == "auth.factor.fail"]
    assert [event["data"]["known_device"] for event in failed] == [False]


def test_two_removed_at_once_leave_one(
    holder: Person, key: SoftPasskey, services: Services, tenant: TenantContext
) -> None:
    add_passkey(holder, synced=True, verifies=True)
    decide(services, tenant, authentication={"methods": ["passkey"], "mfa": {"required": "none"}})
    with services.tenancy.session(tenant.id) as session:
        targets = session.scalars(select(Authenticator.id)).all()
    token = token_of(holder.http.get("/account/passkeys"))
    cookies = "; ".join(f"{c.key}={c.value}" for c in (holder.http.client._cookies or {}).values())

    def send(target: str) -> int:
        form = {"csrf_token": token, "step": "remove", "target": target}
        http = bare(holder)
        return http.post("/account/passkeys", form=form, headers={"Cookie": cookies}).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(send, targets)) == [303, 409]


def test_what_the_browser_is_told_names_nobody(
    holder: Person, key: SoftPasskey, tenant: TenantContext
) -> None:
    """Section 14.6.2: the sign-in page lists no credentials, and the user handle is not the subject identifier."""
    page = Person(Browser(holder.http.app, tenant)).authorize()
    assert options_of(page.text).get("allowCredentials", []) == []
    with holder.http.app.extensions["watchword"].tenancy.session(tenant.id) as session:
        (row,) = session.scalars(select(Authenticator)).all()
        assert row.data["user_handle"] != row.user_id


def kept(services: Services, tenant: TenantContext) -> dict[str, Any]:
    with services.tenancy.session(tenant.id) as session:
        (row,) = session.scalars(select(Authenticator)).all()
        return row.data


@pytest.mark.parametrize("synced", [True, False])
def test_whether_it_may_be_backed_up_does_not_change(
    holder: Person, services: Services, tenant: TenantContext, synced: bool
) -> None:
    """Section 7.2: a key of one device that answers as one that is synced is refused, and the other way round."""
    key = add_passkey(holder, synced=synced, verifies=True)
    registered, key.backup = key.backup, 0 if synced else MAY_SYNC | SYNCED
    assert show(holder.http, key).status_code == 401
    assert reasons(services, tenant) == ["passkey.invalid"]
    key.backup = registered
    assert 'id="allow"' in show(holder.http, key).text


def test_whether_it_is_backed_up_is_kept_anew(
    holder: Person, key: SoftPasskey, services: Services, tenant: TenantContext
) -> None:
    """Section 7.2: the backup state of the last time it was shown."""
    assert kept(services, tenant)["backed_up"] is True
    key.backup = MAY_SYNC
    assert 'id="allow"' in show(holder.http, key).text
    assert kept(services, tenant)["backed_up"] is False
    key.backup = SYNCED
    assert show(holder.http, key).status_code == 401


def test_one_that_only_begins_a_sign_in_is_added_and_demanded_of_nobody(
    holder: Person, services: Services, tenant: TenantContext
) -> None:
    """Where passkeys sign in and are no second factor: the account offers them, the second step does not."""
    methods = {"methods": ["password", "passkey"], "mfa": {"methods": ["totp"], "required": "none"}}
    decide(services, tenant, authentication=methods)
    assert 'id="add"' in holder.http.get("/account/passkeys").text
    key = add_passkey(holder, synced=True, verifies=True)
    assert 'id="allow"' in show(holder.http, key).text
    person = outsider(holder, "alice")
    assert 'id="allow"' in person.sign_in(person.authorize()).text
    decide(services, tenant, authentication={**methods, "mfa": {"methods": ["totp"], "required": "all"}})
    person = outsider(holder, "alice")
    page = person.sign_in(person.authorize())
    assert 'name="code"' in page.text
    assert "data-passkey" not in page.text
    short = {"csrf_token": token_of(holder.http.get("/account/password")), "password": "eightchr"}
    decide(services, tenant, authentication=methods)
    answer = holder.http.post("/account/password", form={**short, "current": holder.password})
    assert "At least" in answer.text


def test_none_is_offered_where_the_tenant_has_none(
    holder: Person, services: Services, tenant: TenantContext
) -> None:
    decide(
        services,
        tenant,
        authentication={"methods": ["password"], "mfa": {"methods": ["totp"], "required": "none"}},
    )
    assert 'id="add"' not in holder.http.get("/account/passkeys").text
    assert holder.http.get("/account/factors/passkey").status_code == 404


def signals_of(page: "TestResponse") -> dict[str, Any]:
    """What a page has the browser tell whoever keeps passkeys."""
    found = re.search(r'data-passkey-signals="([^"]+)"', page.text)
    return json.loads(unescape(found[1])) if found else {}


def test_the_account_says_which_passkeys_are_good(holder: Person, key: SoftPasskey) -> None:
    """Section 5.1.10: those of the person at this place, and the person's names."""
    second = add_passkey(holder, synced=True, verifies=True)
    told = signals_of(holder.http.get("/account/passkeys"))
    whose = {"rpId": "localhost", "userId": b64url(key.handle)}
    ids = [b64url(key.id), b64url(second.id)]
    assert told["signalAllAcceptedCredentials"] == {**whose, "allAcceptedCredentialIds": ids}
    assert told["signalCurrentUserDetails"] == {**whose, "name": "alice", "displayName": "Alice"}


def test_a_passkey_nobody_has_is_told_to_the_browser(
    http: "Http", services: Services, tenant: TenantContext, holder: Person, key: SoftPasskey
) -> None:
    """Section 5.1.10; not where other tenants share the host, as it may be one of theirs."""
    there = hosted(services)
    new_public_client(services, there)
    new_person(services, there)
    stranger = SoftPasskey(there.issuer, synced=True, verifies=True)
    page = show(Browser(http.app, there), stranger)
    told = {"rpId": there.host, "credentialId": b64url(stranger.id)}
    assert (page.status_code, signals_of(page)) == (401, {"signalUnknownCredential": told})
    assert signals_of(show(holder.http, SoftPasskey(ORIGIN, synced=True, verifies=True))) == {}
    # What is known and not accepted stays where it is.
    key.handle = b"somebody else's"
    assert signals_of(show(holder.http, key)) == {}
