"""Request objects (RFC 9101; OpenID Connect Core section 6; FAPI 2.0 Message Signing section 5.3.1)."""

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app import create_app
from app.domain.client_metadata import REQUEST_OBJECT_ALGORITHMS
from app.domain.models import Client
from app.domain.tenants import TenantContext
from app.infra.fetch import STRANGERS, Fetcher
from app.infra.limits import REQUEST_URIS, REQUEST_URIS_ALL, REQUEST_URIS_NETWORK, taken_back
from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from app.protocols.oauth.client_keys import ClientKeys
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.banks import REDIRECT_URI, Bank, reasons
from tests.protocol.browserless import Person, answer_of, new_person
from tests.protocol.key_server import KeyServer
from tests.protocol.tarpit import Tarpit
from tests.protocol.token_side import refused

MALICE = SigningKeyHandle.generate("ES256")


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_person(services, tenant)
    return Person(http)


@pytest.fixture
def bank(services: Services, tenant: TenantContext, http: Http) -> Bank:
    return Bank.open(services, tenant, http)


def by_value(bank: Bank, person: Person, token: str, **beside: str) -> dict[str, str]:
    """What comes of a request object in the request itself."""
    query = {"client_id": bank.client_id, "request": token, **beside}
    page = person.follow(person.http.get("/authorize", query=query))
    if 'id="sign-in"' in page.text:
        page = person.sign_in(page)
    if 'id="allow"' in page.text:
        page = person.allow(page)
    return answer_of(page).parameters


def shown(bank: Bank, token: str, **beside: str) -> Any:
    """The page that tells what is wrong where there is no redirect URI to trust."""
    query = {"client_id": bank.client_id, "request": token, **beside}
    return bank.http.get("/authorize", query=query)


@pytest.mark.parametrize("alg", REQUEST_OBJECT_ALGORITHMS)
def test_request_object_by_value(services: Services, tenant: TenantContext, person: Person, alg: str) -> None:
    """RFC 9101 section 5.1: its parameters alone count, whatever stands beside it (section 6.3)."""
    bank = Bank.open(services, tenant, person.http, alg=alg)
    found = by_value(
        bank, person, bank.object(state="inner"), state="outer", redirect_uri="https://evil.example"
    )
    assert found["state"] == "inner"
    assert "code" in found


@pytest.mark.parametrize("typ", ["JWT", "oauth-authz-req+jwt", "application/oauth-authz-req+jwt", "jwt"])
def test_types_that_are_accepted(bank: Bank, typ: str) -> None:
    assert bank.push({"request": bank.object(typ=typ)}).status_code == 201


def test_object_that_is_pushed(person: Person, bank: Bank) -> None:
    """RFC 9126 section 3: what stands beside it is not used."""
    uri = bank.pushed({"request": bank.object(state="inner"), "state": "outer", "scope": "email"})
    assert bank.through(person, uri).parameters["state"] == "inner"


def test_structured_and_numeric_members(person: Person, bank: Bank) -> None:
    """RFC 9101 section 4: numbers and objects as JSON has them; what nobody reads may be anything."""
    token = bank.object(
        claims={"id_token": {"email": {"essential": True}}}, max_age=10000, extra={"a": [1]}, flag=True
    )
    code = by_value(bank, person, token)["code"]
    claims = bank.read(bank.redeem(code, proof=False).json["id_token"]).claims
    assert claims["email"] == "alice@example.com"


def test_several_audiences(bank: Bank) -> None:
    about = {"aud": ["https://other.example", bank.tenant.issuer]}
    assert bank.push({"request": bank.object(about=about)}).status_code == 201


@pytest.mark.parametrize("seconds", [-8, 8])
def test_clocks_may_differ_a_little(bank: Bank, seconds: int) -> None:
    now = clock.timestamp(clock.now()) + seconds
    assert bank.push({"request": bank.object(about={"nbf": now, "iat": now})}).status_code == 201


def at(seconds: int) -> int:
    return clock.timestamp(clock.now()) + seconds


def unsecured(bank: Bank) -> str:
    _, body, _ = bank.object().split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    return f"{none}.{body}."


def tampered(bank: Bank) -> str:
    head, _, signature = bank.object().split(".")
    body = bank.object(scope="openid email").split(".")[1]
    return f"{head}.{body}.{signature}"


def with_rs256(bank: Bank) -> str:
    return bank.object(signed_by=SigningKeyHandle.generate("RS256"))


WRONG: dict[str, tuple[Callable[[Bank], str], str]] = {
    "no JWT": (lambda b: "x", "request_object.invalid"),
    "five parts": (lambda b: "a.b.c.d.e", "request_object.invalid"),
    "type": (lambda b: b.object(typ="at+jwt"), "request_object.type"),
    "type of a proof": (lambda b: b.object(typ="dpop+jwt"), "request_object.type"),
    "alg none": (unsecured, "request_object.algorithm"),
    "key": (lambda b: b.object(signed_by=MALICE), "request_object.signature"),
    "key of another type": (with_rs256, "request_object.signature"),
    "tampered": (tampered, "request_object.signature"),
    "audience": (lambda b: b.object(about={"aud": "https://other.example"}), "request_object.audience"),
    "audience with a slash": (
        lambda b: b.object(about={"aud": b.tenant.issuer + "/"}),
        "request_object.audience",
    ),
    "no audience": (lambda b: b.object(about={"aud": None}), "request_object.invalid"),
    "issuer": (lambda b: b.object(about={"iss": "somebody"}), "request_object.issuer"),
    "no issuer": (lambda b: b.object(about={"iss": None}), "request_object.invalid"),
    "owner": (lambda b: b.object(about={"client_id": "somebody"}), "request_object.client"),
    "no owner": (lambda b: b.object(about={"client_id": None}), "request_object.invalid"),
    "subject": (lambda b: b.object(about={"sub": b.client_id}), "request_object.invalid"),
    "expired": (lambda b: b.object(about={"nbf": None, "exp": at(-300)}), "request_object.times"),
    "no exp": (lambda b: b.object(about={"exp": None}), "request_object.invalid"),
    "long life": (lambda b: b.object(about={"exp": at(4200)}), "request_object.times"),
    "long between": (lambda b: b.object(about={"nbf": at(-3000), "exp": at(3000)}), "request_object.times"),
    "not yet": (lambda b: b.object(about={"nbf": at(90)}), "request_object.times"),
    "old": (lambda b: b.object(about={"nbf": at(-4000), "exp": at(60)}), "request_object.times"),
    "issued later": (lambda b: b.object(about={"iat": at(300)}), "request_object.times"),
    "exp no number": (lambda b: b.object(about={"exp": "tomorrow"}), "request_object.times"),
    "jti no text": (lambda b: b.object(about={"jti": 7}), "request_object.invalid"),
    "request inside": (lambda b: b.object(request="x.y.z"), "request_object.invalid"),
    "request_uri inside": (lambda b: b.object(request_uri="https://app.example/r"), "request_object.invalid"),
    "scope no text": (lambda b: b.object(scope=["openid"]), "request_object.invalid"),
    "resource no text": (lambda b: b.object(resource=[7]), "request_object.invalid"),
    "control character": (lambda b: b.object(state="a\nb"), "request_object.invalid"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_believed(bank: Bank, services: Services, tenant: TenantContext, name: str) -> None:
    """One answer whatever is wrong, at both endpoints; the record says what it was."""
    make, reason = WRONG[name]
    pushed = bank.push({"request": make(bank)})
    refused(pushed, "invalid_request_object")
    assert pushed.json["error_description"] == "The request object is not valid."
    page = shown(bank, make(bank))
    assert page.status_code == 400
    assert "Location" not in page.headers
    told = shown(bank, make(bank), redirect_uri=REDIRECT_URI, state="s")
    assert answer_of(told).parameters["error"] == "invalid_request_object"
    assert reasons(services, tenant, "authorization.refused") == [reason] * 3


def test_object_is_pushed_once(bank: Bank, services: Services, tenant: TenantContext) -> None:
    """A page may be loaded again with its object; a push is the client's own and never needs the same one twice."""
    token = bank.object()
    for _ in range(2):
        assert shown(bank, token).status_code == 303
    assert bank.push({"request": token}).status_code == 201
    refused(bank.push({"request": token}), "invalid_request_object")
    assert reasons(services, tenant, "authorization.refused") == ["request_object.replayed"]


def test_two_sources(bank: Bank, http: Http) -> None:
    query = {"client_id": bank.client_id, "request": bank.object(), "request_uri": "https://app.example/r"}
    assert http.get("/authorize", query=query).status_code == 400
    twice = f"client_id={bank.client_id}&request={bank.object()}&request={bank.object()}"
    assert http.get("/authorize", query=twice).status_code == 400


def test_redirect_uri_inside_decides(bank: Bank, person: Person) -> None:
    """A good one outside does not help a bad one inside."""
    page = shown(bank, bank.object(redirect_uri="https://evil.example/cb"), redirect_uri=REDIRECT_URI)
    assert page.status_code == 400
    assert "Location" not in page.headers
    assert "code" in by_value(bank, person, bank.object(), redirect_uri="https://evil.example/cb")


def test_signing_may_be_demanded(services: Services, tenant: TenantContext, http: Http) -> None:
    """Section 10.5, at both endpoints."""
    bank = Bank.open(services, tenant, http, require_signed_request_object=True)
    refused(bank.push(), "invalid_request")
    plain = answer_of(http.get("/authorize", query=bank.asked()))
    assert plain.parameters["error"] == "invalid_request"
    assert reasons(services, tenant, "authorization.refused") == ["request.signing_required"] * 2
    assert bank.push({"request": bank.object()}).status_code == 201


def test_registered_algorithm_is_the_only_one(services: Services, tenant: TenantContext, http: Http) -> None:
    bank = Bank.open(services, tenant, http, request_object_signing_alg="PS256")
    refused(bank.push({"request": bank.object()}), "invalid_request_object")
    assert reasons(services, tenant, "authorization.refused") == ["request_object.algorithm"]


# By reference


@pytest.fixture
def near(services: Services, tenant: TenantContext) -> tuple[Services, Http]:
    """The same tenant, served by an application that may fetch from this machine."""
    fetcher = Fetcher(("127.0.0.1/32",))
    parts = dataclasses.replace(services, fetcher=fetcher, client_keys=ClientKeys(fetcher))
    return parts, Http(create_app(parts.settings, services=parts), tenant)


@pytest.fixture
def shelf() -> Iterator[KeyServer]:
    with KeyServer({}) as server:
        yield server


def test_request_by_reference(near: tuple[Services, Http], tenant: TenantContext, shelf: KeyServer) -> None:
    """RFC 9101 section 5.2, OIDC Core section 6.2: fetched each time; the fragment counts for nothing."""
    services, http = near
    new_person(services, tenant)
    person = Person(http)
    bank = Bank.open(services, tenant, http, request_uris=[shelf.url + "#old-hash"])
    shelf.text = bank.object(state="fetched")
    query = {"client_id": bank.client_id, "request_uri": shelf.url + "#new-hash"}
    page = person.sign_in(person.follow(http.get("/authorize", query=query)))
    assert answer_of(person.allow(page)).parameters["state"] == "fetched"
    assert shelf.asked == 1
    shelf.text = "nonsense"
    assert http.get("/authorize", query=query).status_code == 400
    assert shelf.asked == 2


def test_only_registered_addresses_are_fetched(
    near: tuple[Services, Http], tenant: TenantContext, shelf: KeyServer
) -> None:
    services, http = near
    bank = Bank.open(services, tenant, http, request_uris=["https://app.example/r"])
    for address in (shelf.url, "http://169.254.169.254/", "https://app.example/r?x=1", "file:///etc/passwd"):
        told = http.get("/authorize", query=bank.asked(request_uri=address))
        assert answer_of(told).parameters["error"] == "invalid_request_uri"
    assert shelf.asked == 0
    assert reasons(services, tenant, "authorization.refused") == ["request_uri.unregistered"] * 4


def test_address_that_does_not_answer(services: Services, tenant: TenantContext, http: Http) -> None:
    """Also one that must not be reached (contracts 19)."""
    bank = Bank.open(services, tenant, http, request_uris=["http://127.0.0.1:9/r"])
    told = http.get("/authorize", query=bank.asked(request_uri="http://127.0.0.1:9/r"))
    assert answer_of(told).parameters["error"] == "invalid_request_uri"
    assert reasons(services, tenant, "authorization.refused") == ["request_uri.fetch"]


def test_knocking_is_limited(near: tuple[Services, Http], tenant: TenantContext, shelf: KeyServer) -> None:
    services, http = near
    bank = Bank.open(services, tenant, http, request_uris=[shelf.url])
    query = bank.asked(request_uri=shelf.url)
    services.state.execute(
        *[REQUEST_URIS.count(tenant.id, bank.client_id, "127.0.0.1") for _ in range(REQUEST_URIS.most)]
    )
    told = answer_of(http.get("/authorize", query=query))
    assert told.parameters["error"] == "temporarily_unavailable"
    assert shelf.asked == 0


def test_knocking_is_limited_over_all_clients(
    near: tuple[Services, Http], tenant: TenantContext, shelf: KeyServer
) -> None:
    """Who registers clients has as many as they want: the network and the tenant count as well."""
    services, http = near
    bank = Bank.open(services, tenant, http, request_uris=[shelf.url])
    for limit, subject in ((REQUEST_URIS_NETWORK, ("127.0.0.1",)), (REQUEST_URIS_ALL, ())):
        used_up = dataclasses.replace(limit.count(tenant.id, *subject), amount=limit.most, limit=None)
        services.state.execute(used_up)
        told = answer_of(http.get("/authorize", query=bank.asked(request_uri=shelf.url)))
        assert told.parameters["error"] == "temporarily_unavailable"
        services.state.execute(taken_back(used_up))
    assert shelf.asked == 0
    assert set(reasons(services, tenant, "authorization.refused")) == {"request_uri.busy"}


def test_servers_that_never_answer_hold_few_threads(
    near: tuple[Services, Http], tenant: TenantContext
) -> None:
    """Two wait for them; whoever comes then is told at once, and nobody else waits at all."""
    services, http = near
    with Tarpit() as tarpit, ThreadPoolExecutor() as pool:
        bank = Bank.open(services, tenant, http, request_uris=[tarpit.url])
        query = bank.asked(request_uri=tarpit.url)
        waiting = [
            pool.submit(Http(http.app, tenant).get, "/authorize", query=query) for _ in range(STRANGERS)
        ]
        tarpit.wait_for(STRANGERS)
        told = answer_of(http.get("/authorize", query=query)).parameters["error"]
        were_waiting = [not each.done() for each in waiting]
        tarpit.release()
        after = {answer_of(each.result()).parameters["error"] for each in waiting}
    assert (told, were_waiting) == ("temporarily_unavailable", [True] * STRANGERS)
    assert after == {"invalid_request_uri"}
    told = answer_of(http.get("/authorize", query=query)).parameters["error"]
    assert told == "invalid_request_uri"


# OpenID Connect of 2014


@pytest.fixture
def old(services: Services, tenant: TenantContext, http: Http) -> Bank:
    return Bank.open(services, tenant, http, profile="oidc-legacy")


def test_legacy_object_goes_before_what_stands_beside_it(person: Person, old: Bank) -> None:
    """OIDC Core section 6.1: parameters are assembled from both, those inside win."""
    token = old.object(
        state="inner", scope=None, redirect_uri=None, about={"aud": None, "exp": None, "nbf": None}
    )
    found = by_value(
        old, person, token, state="outer", scope="openid", redirect_uri=REDIRECT_URI, response_type="code"
    )
    assert found["state"] == "inner"
    tokens = old.redeem(found["code"], proof=False).json
    assert tokens["scope"] == "openid"


UNSIGNED = {"scope": "openid", "nonce": "evil", "state": "evil", "response_mode": "fragment"}
"""What an attacker would write beside an object of somebody else's."""


def test_where_signing_is_demanded_nothing_beside_the_object_counts(
    services: Services, tenant: TenantContext, person: Person
) -> None:
    """RFC 9101 sections 5 and 10.5: under `oidc-legacy` too a request that has to be signed is signed as a whole."""
    bank = Bank.open(services, tenant, person.http, profile="oidc-legacy", require_signed_request_object=True)
    whole = by_value(bank, person, bank.object(state="signed", scope="openid"), **UNSIGNED)
    assert whole["state"] == "signed"
    tokens = bank.redeem(whole["code"], proof=False).json
    assert bank.read(tokens["id_token"]).claims["nonce"] == "nonce-1"
    for name in ("state", "nonce"):
        found = by_value(bank, person, bank.object(**{name: None, "scope": "openid"}), **UNSIGNED)
        assert "evil" not in found.values()
        if "code" in found:
            tokens = bank.redeem(found["code"], proof=False).json
            assert bank.read(tokens["id_token"]).claims.get("nonce") != "evil"
    beside = {**UNSIGNED, "response_type": "code", "redirect_uri": REDIRECT_URI}
    assert by_value(bank, person, bank.object(response_type=None), **beside)["error"] == "invalid_request"


def test_pushed_and_partly_signed_is_not_signed(
    services: Services, tenant: TenantContext, old: Bank, person: Person
) -> None:
    """What was pushed while signing was not demanded is no signed request once it is, unless all of it was signed."""
    plain = {"response_type": "code"}
    partly = old.pushed({"request": old.object(state=None), "state": "evil", **plain})
    whole = old.pushed({"request": old.object(), **plain})
    with services.tenancy.session(tenant.id, write=True) as session:
        row = session.query(Client).filter_by(client_id=old.client_id).one()
        row.metadata_ = {**row.metadata_, "require_signed_request_object": True}
    services.versions.touch()
    assert answer_of(old.go(person, partly)).parameters["error"] == "invalid_request"
    assert reasons(services, tenant, "authorization.refused") == ["request.signing_required"]
    assert "code" in old.through(person, whole).parameters


def test_legacy_response_type_has_to_agree(old: Bank) -> None:
    page = shown(old, old.object(), response_type="id_token")
    assert page.status_code == 400


def test_legacy_claims_that_are_there_are_checked(
    old: Bank, services: Services, tenant: TenantContext
) -> None:
    for about in ({"aud": "https://other.example"}, {"iss": "somebody"}, {"exp": at(-300), "nbf": None}):
        assert shown(old, old.object(about=about)).status_code == 400
    assert [r.partition(".")[2] for r in reasons(services, tenant, "authorization.refused")] == [
        "audience",
        "issuer",
        "times",
    ]
