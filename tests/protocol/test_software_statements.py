"""Software statements (RFC 7591 section 2.3): somebody the tenant trusts vouches for a client."""

from typing import Any

import pytest
from flask import Flask

from app.domain.tenant_settings import TenantSettings
from app.kernel import clock
from app.web.services import Services
from tests.protocol.registrations import CALLBACK, Registry
from tests.protocol.token_side import refused
from tests.protocol.trusted import Issuer

ISSUER = "https://directory.example"
VOUCHED = "https://vouched.example/cb"


@pytest.fixture(scope="module")
def directory() -> Issuer:
    return Issuer(ISSUER)


@pytest.fixture
def registry(services: Services, app: Flask, directory: Issuer) -> Registry:
    rules = {"software_statements": "required", "statement_issuers": [ISSUER]}
    found = Registry.open(services, app, rules=rules)
    directory.trusted_by(services, found.tenant)
    return found


def statement(directory: Issuer, **claims: Any) -> str:
    """As a directory gives them out: no audience, no expiry, no `jti`."""
    said = {"software_id": "4NRB1", "client_name": "Vouched", "redirect_uris": [VOUCHED], **claims}
    return directory.token(None, **{"sub": None, "exp": None, "nbf": None, "jti": None, **said})


def test_its_claims_go_before_what_stands_beside_it(registry: Registry, directory: Issuer) -> None:
    token = statement(directory)
    made = registry.register(software_statement=token, client_name="Forged", scope="openid email")
    assert made.told["client_name"] == "Vouched"
    assert made.told["redirect_uris"] == [VOUCHED]
    assert made.told["scope"] == "openid email"
    assert made.told["software_id"] == "4NRB1"
    assert made.told["software_statement"] == token
    (record,) = registry.in_outbox("client.registered")
    assert record["data"]["statement_issuer"] == ISSUER


def test_it_says_no_more_than_a_client_may(registry: Registry, directory: Issuer) -> None:
    made = registry.register(software_statement=statement(directory, first_party=True, scope="openid admin"))
    assert made.told["scope"] == "openid"
    assert "first_party" not in made.told


def test_one_is_needed(registry: Registry) -> None:
    refused(registry.post(), "invalid_software_statement")
    assert registry.refusals() == ["statement.missing"]


def test_a_client_that_was_vouched_for_brings_one_with_every_change(
    registry: Registry, directory: Issuer
) -> None:
    made = registry.register(software_statement=statement(directory))
    registry.decide(registration={"client_rules": {"software_statements": "optional"}})
    refused(made.put(redirect_uris=["https://evil.example/cb"]), "invalid_software_statement")
    answer = made.put(redirect_uris=["https://evil.example/cb"], software_statement=statement(directory))
    assert answer.json["redirect_uris"] == [VOUCHED]


def test_optional(services: Services, app: Flask, directory: Issuer) -> None:
    rules = {"software_statements": "optional", "statement_issuers": [ISSUER]}
    registry = Registry.open(services, app, rules=rules)
    directory.trusted_by(services, registry.tenant)
    assert registry.register().told["redirect_uris"] == [CALLBACK]
    assert registry.register(software_statement=statement(directory)).told["redirect_uris"] == [VOUCHED]
    refused(registry.post(software_statement="x"), "unapproved_software_statement")


def test_off(services: Services, app: Flask, directory: Issuer) -> None:
    """Ignored, as RFC 7591 section 3.1.1 wants of servers that support none."""
    registry = Registry.open(services, app)
    found = registry.register(software_statement=statement(directory)).told
    assert found["redirect_uris"] == [CALLBACK]
    assert "software_statement" not in found


UNAPPROVED, INVALID = "unapproved_software_statement", "invalid_software_statement"


def _bad(registry: Registry, directory: Issuer, kind: str) -> Any:
    now = clock.timestamp(clock.now())
    if kind == "no text":
        return ["x"]
    if kind == "nobody trusts its issuer":
        return statement(Issuer("https://other.example"))
    if kind == "trusted for something else":
        other = Issuer("https://ci.example")
        other.trusted_by(registry.services, registry.tenant)
        return statement(other)
    if kind == "another's key":
        return statement(directory).rpartition(".")[0] + "." + statement(Issuer(ISSUER)).rpartition(".")[2]
    if kind == "unsigned":
        return directory.token(None, header={"alg": "none"}, software_id="x").rpartition(".")[0] + "."
    if kind == "of another type":
        return directory.token(None, header={"typ": "logout+jwt"}, software_id="x")
    claims: dict[str, dict[str, Any]] = {
        "expired": {"exp": now - 3600},
        "not begun": {"nbf": now + 3600},
        "times that are none": {"exp": "soon"},
        "meant for another server": {"aud": "https://other.example"},
        "no software_id": {"software_id": None},
        "software_id no text": {"software_id": 7},
    }
    return statement(directory, **claims[kind])


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("no text", INVALID),
        ("nobody trusts its issuer", UNAPPROVED),
        ("trusted for something else", UNAPPROVED),
        ("another's key", INVALID),
        ("of another type", INVALID),
        ("expired", INVALID),
        ("not begun", INVALID),
        ("times that are none", INVALID),
        ("meant for another server", INVALID),
        ("no software_id", INVALID),
        ("software_id no text", INVALID),
    ],
)
def test_what_is_no_statement(registry: Registry, directory: Issuer, kind: str, error: str) -> None:
    """Section 3.2.2; an access or ID token of the same issuer is none (RFC 8725 section 3.12)."""
    refused(registry.post(software_statement=_bad(registry, directory, kind)), error)
    assert registry.refusals() == ["statement.issuer" if error == UNAPPROVED else "statement.invalid"]


def test_statements_need_issuers() -> None:
    with pytest.raises(ValueError, match="statement_issuers"):
        TenantSettings.model_validate({"registration": {"client_rules": {"software_statements": "required"}}})
