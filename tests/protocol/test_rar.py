"""Authorization details (RFC 9396): typed, checked, read in words, echoed exactly, narrowed."""

import json
from typing import Any

import pytest

from app.domain.authorization_details import compiled, schema_fault, within, words_fault
from app.domain.models import AuthorizationDetailsType
from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.banks import Bank, reasons
from tests.protocol.browserless import Person, answer_of, new_person
from tests.protocol.parties import API, OTHER_API, new_client, new_resource
from tests.protocol.token_side import refused

SCHEMA: dict[str, Any] = {
    "properties": {
        "amount": {"$ref": "#/$defs/amount"},
        "payee": {"type": "string", "maxLength": 70},
        "reference": {"type": "string"},
    },
    "required": ["amount", "payee"],
    "$defs": {
        "amount": {
            "type": "object",
            "properties": {
                "value": {"type": "string", "pattern": "^[0-9]{1,9}$"},
                "currency": {"enum": ["EUR", "USD"]},
            },
            "required": ["value", "currency"],
            "additionalProperties": False,
        }
    },
}
WORDS = {
    "en": "Pay {amount.value} {amount.currency} to {payee}",
    "de": "{amount.value} {amount.currency} an {payee} zahlen",
}
PAYMENT = {"type": "payment", "amount": {"value": "100", "currency": "EUR"}, "payee": "Merchant <A>"}
ACCOUNTS = {"type": "accounts", "actions": ["read", "write"], "locations": ["https://x.example"]}


def define(services: Services, tenant: TenantContext, name: str, **members: Any) -> None:
    said = {"schema": SCHEMA, "words": WORDS, "resource": None, **members}
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(AuthorizationDetailsType(type=name, **said))
    services.versions.touch()


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_person(services, tenant)
    new_resource(services, tenant)
    define(services, tenant, "payment", resource=API)
    schema = {
        "properties": {
            "actions": {"type": "array", "items": {"enum": ["read", "write"]}},
            "locations": {"type": "array", "items": {"type": "string"}},
        },
    }
    define(services, tenant, "accounts", schema=schema, words={"en": "Use your accounts: {actions}"})
    define(services, tenant, "secret", always_ask=True, schema={}, words={"en": "Something new each time"})
    return Person(http)


@pytest.fixture
def bank(services: Services, tenant: TenantContext, http: Http, person: Person) -> Bank:
    return Bank.open(services, tenant, http, authorization_details_types=["payment", "accounts", "secret"])


def text(*details: dict[str, Any]) -> str:
    return json.dumps(details)


def tokens(bank: Bank, person: Person, *details: dict[str, Any], **asked: Any) -> dict[str, Any]:
    code = person.through(bank.client_id, authorization_details=text(*details), **asked).parameters["code"]
    answer = bank.redeem(code, proof=False)
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def test_person_reads_it_in_words(person: Person, bank: Bank) -> None:
    """Section 11.2: every element, and whatever its words leave out; escaped."""
    more = {**PAYMENT, "reference": "Invoice 7"}
    page = person.sign_in(person.authorize(bank.client_id, authorization_details=text(more, ACCOUNTS)))
    assert "Pay 100 EUR to Merchant &lt;A&gt;" in page.text
    assert '<dt dir="ltr">reference</dt><dd dir="auto">Invoice 7</dd>' in page.text
    assert "Use your accounts: read, write" in page.text
    assert ">locations</dt>" in page.text
    page = person.http.get(person.at, raw=True, headers={"Accept-Language": "de"})
    assert "100 EUR an Merchant &lt;A&gt; zahlen" in page.text


def test_echoed_exactly(person: Person, bank: Bank) -> None:
    """Sections 7, 9.1 and 9.2: token response, access token and introspection."""
    found = tokens(bank, person, PAYMENT, ACCOUNTS)
    assert found["authorization_details"] == [PAYMENT, ACCOUNTS]
    claims = bank.read(found["access_token"]).claims
    assert claims["authorization_details"] == [PAYMENT, ACCOUNTS]
    assert API in claims["aud"]
    asked = bank.http.post("/introspect", form={"token": found["access_token"], **bank.assertion()})
    assert asked.json["authorization_details"] == [PAYMENT, ACCOUNTS]
    assert "authorization_details" not in bank.read(found["id_token"]).claims


def test_without_scope(person: Person, bank: Bank) -> None:
    """Section 3: details alone are a request."""
    found = tokens(bank, person, PAYMENT, scope=None)
    assert found["scope"] == ""
    assert bank.read(found["access_token"]).claims["aud"] == API


def test_pushed_and_in_a_request_object(person: Person, bank: Bank) -> None:
    uri = bank.pushed(authorization_details=text(PAYMENT))
    first = bank.redeem(bank.through(person, uri).parameters["code"], proof=False).json
    uri = bank.pushed({"request": bank.object(authorization_details=[ACCOUNTS])})
    second = bank.redeem(bank.through(person, uri).parameters["code"], proof=False).json
    assert first["authorization_details"] == [PAYMENT]
    assert second["authorization_details"] == [ACCOUNTS]


def test_consent_is_remembered_for_these_alone(person: Person, bank: Bank) -> None:
    """One payment is not another; what is always asked is never remembered."""
    tokens(bank, person, PAYMENT)
    silent = {"prompt": "none", "authorization_details": text(PAYMENT)}
    assert "code" in answer_of(person.authorize(bank.client_id, **silent)).parameters
    other = {**PAYMENT, "amount": {"value": "101", "currency": "EUR"}}
    for details in (text(other), text(PAYMENT, ACCOUNTS), text(PAYMENT, other)):
        answer = answer_of(person.authorize(bank.client_id, **{**silent, "authorization_details": details}))
        assert answer.parameters["error"] == "consent_required"
    tokens(bank, person, {"type": "secret"})
    answer = answer_of(
        person.authorize(bank.client_id, prompt="none", authorization_details=text({"type": "secret"}))
    )
    assert answer.parameters["error"] == "consent_required"


def test_withdrawing_ends_it(person: Person, bank: Bank, services: Services, tenant: TenantContext) -> None:
    from app.domain import consents
    from app.domain.models import Consent

    found = tokens(bank, person, PAYMENT)
    with services.tenancy.session(tenant.id, write=True) as session:
        row = session.query(Consent).filter_by(resource=consents.DETAILS).one()
        consents.withdraw(session, row.id, user_id=row.user_id, log=services.revocations)
    asked = bank.http.post("/introspect", form={"token": found["access_token"], **bank.assertion()})
    assert asked.json == {"active": False}


def test_narrowed_at_the_token_endpoint(person: Person, bank: Bank) -> None:
    """Section 6: fewer of them, less of a list; the grant keeps what it had."""
    code = person.through(bank.client_id, authorization_details=text(PAYMENT, ACCOUNTS)).parameters["code"]
    less = {**ACCOUNTS, "actions": ["read"]}
    first = bank.redeem(code, proof=False, authorization_details=text(less)).json
    assert first["authorization_details"] == [less]
    again = bank.http.post(
        "/token",
        form={"grant_type": "refresh_token", "refresh_token": first["refresh_token"], **bank.assertion()},
    ).json
    assert again["authorization_details"] == [PAYMENT, ACCOUNTS]
    only = bank.http.post(
        "/token",
        form={
            "grant_type": "refresh_token",
            "refresh_token": again["refresh_token"],
            "authorization_details": text(PAYMENT),
            **bank.assertion(),
        },
    ).json
    assert only["authorization_details"] == [PAYMENT]
    assert bank.read(only["access_token"]).claims["authorization_details"] == [PAYMENT]


@pytest.mark.parametrize(
    "more",
    [
        {**PAYMENT, "amount": {"value": "900", "currency": "EUR"}},
        {**PAYMENT, "payee": "Somebody"},
        {**PAYMENT, "reference": "new"},
        {"type": "secret"},
    ],
)
def test_more_than_was_granted(
    person: Person, bank: Bank, services: Services, tenant: TenantContext, more: dict[str, Any]
) -> None:
    code = person.through(bank.client_id, authorization_details=text(PAYMENT)).parameters["code"]
    refused(bank.redeem(code, proof=False, authorization_details=text(more)), "invalid_authorization_details")
    assert reasons(services, tenant, "token.refused") == ["details.exceeded"]
    assert bank.redeem(code, proof=False).status_code == 200


def test_an_empty_list_is_not_less_of_one(
    person: Person, bank: Bank, services: Services, tenant: TenantContext
) -> None:
    """Section 6: a resource may take no locations for all of them. Neither a token nor a silent consent gets there."""
    one = {**ACCOUNTS, "actions": ["read"]}
    everywhere = {**one, "locations": []}
    code = person.through(bank.client_id, authorization_details=text(one)).parameters["code"]
    found = bank.redeem(code, proof=False, authorization_details=text(everywhere))
    refused(found, "invalid_authorization_details")
    assert reasons(services, tenant, "token.refused") == ["details.exceeded"]
    silent = answer_of(
        person.authorize(bank.client_id, prompt="none", authorization_details=text(everywhere))
    )
    assert silent.parameters["error"] == "consent_required"


def test_client_credentials(services: Services, tenant: TenantContext, http: Http, person: Person) -> None:
    """Section 5: a client for itself, of the types it is registered for."""
    client = new_client(services, tenant, authorization_details_types=["payment", "accounts"], scope="read")
    form = {"grant_type": "client_credentials", "authorization_details": text(PAYMENT)}
    found = http.post("/token", form=form, headers=client.basic).json
    assert found["authorization_details"] == [PAYMENT]
    form["authorization_details"] = text({"type": "secret"})
    refused(http.post("/token", form=form, headers=client.basic), "invalid_authorization_details")


NOT_ACCEPTED: dict[str, tuple[str, str]] = {
    "no JSON": ("[", "details.malformed"),
    "no array": ('{"type": "payment"}', "details.malformed"),
    "empty": ("[]", "details.malformed"),
    "no objects": ('["payment"]', "details.malformed"),
    "too many": (text(*[ACCOUNTS] * 21), "details.malformed"),
    "twice": ('[{"type": "payment", "type": "accounts"}]', "details.malformed"),
    "NaN": ('[{"type": "accounts", "actions": [NaN]}]', "details.malformed"),
    "NUL": ('[{"type": "payment", "payee": "\\u0000"}]', "details.malformed"),
    "surrogate": ('[{"type": "payment", "payee": "\\ud800"}]', "details.malformed"),
    "deep": ("[" + '{"a":' * 40 + "1" + "}" * 40 + "]", "details.malformed"),
    "no type": ('[{"payee": "x"}]', "details.type"),
    "type no text": ('[{"type": 7}]', "details.type"),
    "type unknown": ('[{"type": "unheard-of"}]', "details.type"),
    "type not the client's": ('[{"type": "other"}]', "details.type"),
    "member missing": ('[{"type": "payment", "payee": "x"}]', "details.invalid"),
    "member unknown": (text({**PAYMENT, "colour": "red"}), "details.invalid"),
    "member wrong": (text({**PAYMENT, "amount": {"value": "1.5", "currency": "EUR"}}), "details.invalid"),
    "member inside unknown": (
        text({**PAYMENT, "amount": {"value": "1", "currency": "EUR", "x": 1}}),
        "details.invalid",
    ),
}


@pytest.mark.parametrize("name", NOT_ACCEPTED)
def test_what_is_not_accepted(bank: Bank, services: Services, tenant: TenantContext, name: str) -> None:
    """Section 5, at both endpoints."""
    define(services, tenant, "other", schema={})
    details, reason = NOT_ACCEPTED[name]
    refused(bank.push(authorization_details=details), "invalid_authorization_details")
    told = answer_of(bank.http.get("/authorize", query=bank.asked(authorization_details=details)))
    assert told.parameters["error"] == "invalid_authorization_details"
    assert reasons(services, tenant, "authorization.refused") == [reason] * 2


def test_resource_has_to_fit(bank: Bank, services: Services, tenant: TenantContext) -> None:
    new_resource(services, tenant, OTHER_API, "pay")
    answer = bank.push(authorization_details=text(PAYMENT), resource=OTHER_API, scope=None)
    refused(answer, "invalid_authorization_details")
    assert reasons(services, tenant, "authorization.refused") == ["details.other_resource"]


def test_advertised_where_there_are_any(http: Http, bank: Bank, services: Services) -> None:
    """Section 10."""
    from tests.conftest import new_tenant

    found = http.get("/.well-known/oauth-authorization-server").json
    assert found["authorization_details_types_supported"] == ["accounts", "payment", "secret"]
    other = Http(http.app, new_tenant(services)).get("/.well-known/oauth-authorization-server").json
    assert "authorization_details_types_supported" not in other


# What operators write


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "https://evil.example/schema"}}},
        {"properties": {"a": {"$ref": "#"}}},
        {"$id": "https://evil.example/"},
        {"$dynamicRef": "#x"},
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$defs": {"a": {"properties": {"x": {"$ref": "#/$defs/a"}}}}},
        {"properties": {"a": {"pattern": "(a+)+$"}}},
        {"properties": {"a": {"pattern": "a*b*c*d"}}},
        {"properties": {"a": {"pattern": "["}}},
        {"patternProperties": {".*": {}}},
        {"type": "no-such-type"},
        {"description": "x" * 20_000},
        {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {}}}}}}}}}}}}}},
    ],
)
def test_schemas_that_are_refused(schema: dict[str, Any]) -> None:
    """Nothing is fetched, nothing recurses, nothing can be made to run for long."""
    assert schema_fault(schema) is not None


def test_schemas_that_are_accepted() -> None:
    assert schema_fault(SCHEMA) is None
    assert compiled(SCHEMA, "payment").is_valid(PAYMENT)
    open_ended = compiled({"additionalProperties": True}, "x")
    assert open_ended.is_valid({"type": "x", "anything": 1})
    assert not open_ended.is_valid({"type": "y"})


@pytest.mark.parametrize("words", [{}, {"no tag!": "x"}, {"en": "Pay {"}, {"en": "Pay {amount[0]}"}])
def test_words_that_are_refused(words: dict[str, str]) -> None:
    assert words_fault(words) is not None
    assert words_fault(WORDS) is None


@pytest.mark.parametrize(
    ("asked", "granted", "is_within"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": ["x"]}, {"a": ["x", "y"]}, True),
        ({"a": ["x", "z"]}, {"a": ["x", "y"]}, False),
        ({"a": "x"}, {"a": ["x"]}, False),
        ({"a": {"b": [1]}}, {"a": {"b": [1, 2]}}, True),
        # To many an API an empty list says "all".
        ({"a": []}, {"a": ["x"]}, False),
        ({"a": []}, {"a": []}, True),
        ({"a": ["x"]}, {"a": []}, False),
        ({"a": [{"b": []}]}, {"a": [{"b": [1]}]}, False),
    ],
)
def test_less_of_what_was_granted(asked: Any, granted: Any, is_within: bool) -> None:
    assert within(asked, granted) is is_within
