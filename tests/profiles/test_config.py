"""The Config plan of the certification programme: what discovery says, line by line."""

import re
import warnings
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from werkzeug.test import TestResponse

from tests.profiles.conftest import Provider
from tests.profiles.registered_names import BOOLEANS, GRANT_TYPES, REGISTERED, SIGNING_ALGORITHMS, TEXTS
from tests.profiles.relying_party import RelyingParty

BCP47 = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?(-[a-z0-9]{5,8})*")
"""Language tags in the case of RFC 5646 section 2.1.1, as far as locales need them."""
SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
DOCUMENTS = ("openid-configuration", "oauth-authorization-server")


@pytest.fixture(params=DOCUMENTS)
def answer(request: pytest.FixtureRequest, first_client: RelyingParty) -> TestResponse:
    """Each of the two documents."""
    return first_client.wire.get(f"{first_client.issuer}/.well-known/{request.param}")


@pytest.fixture
def metadata(first_client: RelyingParty) -> dict[str, Any]:
    """The document of OpenID Connect."""
    return first_client.metadata


def test_oidcc_discovery_endpoint_verification(answer: TestResponse) -> None:
    """200 and application/json."""
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert isinstance(answer.json, dict)


def test_issuer_is_the_prefix_of_the_discovery_url(first_client: RelyingParty, answer: TestResponse) -> None:
    """issuer is an https URL without query and fragment, exactly what comes before the well-known path."""
    issuer = answer.json["issuer"]
    assert issuer == first_client.issuer
    parts = urlsplit(issuer)
    assert parts.scheme == "https"
    assert parts.netloc
    assert parts.query == parts.fragment == ""


def test_issuer_form_of_rfc_8414(first_client: RelyingParty) -> None:
    """RFC 8414 section 3.1: the well-known path before the issuer's own gives the same document."""
    parts = urlsplit(first_client.issuer)
    for name in DOCUMENTS:
        inserted = f"{parts.scheme}://{parts.netloc}/.well-known/{name}{parts.path}"
        suffixed = f"{first_client.issuer}/.well-known/{name}"
        assert first_client.wire.get(inserted).json == first_client.wire.get(suffixed).json


def test_metadata_has_registered_names_only(answer: TestResponse) -> None:
    """The schema is closed."""
    assert set(answer.json) <= REGISTERED


def test_metadata_types(answer: TestResponse) -> None:
    """A boolean, a text or a list of texts, as each name is registered; no list is empty or repeats itself."""
    for name, value in answer.json.items():
        if name in BOOLEANS:
            assert isinstance(value, bool), name
        elif name in TEXTS or name.endswith("_endpoint"):
            assert isinstance(value, str), name
            assert value, name
        elif name == "mtls_endpoint_aliases":
            assert value, name
            assert set(value) <= set(answer.json) | {"userinfo_endpoint"}
            assert all(isinstance(url, str) and url.startswith("https://") for url in value.values())
        else:
            assert isinstance(value, list), name
            assert value, name
            assert all(isinstance(item, str) and item for item in value), name
            assert len(set(value)) == len(value), name


def test_endpoints_are_https(first_client: RelyingParty, answer: TestResponse) -> None:
    """Every one of them, and the keys; without query and fragment, below the issuer."""
    urls = [v for n, v in answer.json.items() if n.endswith("_endpoint") or n == "jwks_uri"]
    assert len(urls) >= 5
    for url in urls:
        parts = urlsplit(url)
        assert parts.scheme == "https"
        assert parts.query == parts.fragment == ""
        assert url.startswith(first_client.issuer + "/")


def test_endpoints_are_there(first_client: RelyingParty, metadata: dict[str, Any]) -> None:
    """None of the published addresses leads nowhere."""
    for name, url in metadata.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            assert first_client.wire.get(url).status_code != 404, name


def test_subject_types_supported(metadata: dict[str, Any]) -> None:
    """public or pairwise."""
    assert set(metadata["subject_types_supported"]) <= {"public", "pairwise"}


def test_id_token_signing_alg_values_supported(metadata: dict[str, Any]) -> None:
    """Contains RS256; no `none`."""
    offered = metadata["id_token_signing_alg_values_supported"]
    assert "RS256" in offered
    assert set(offered) <= SIGNING_ALGORITHMS


def test_every_advertised_id_token_algorithm_has_a_key(provider: Provider, metadata: dict[str, Any]) -> None:
    """What is offered can be had: a client that asks for it gets it, under a published key of that algorithm."""
    for alg in metadata["id_token_signing_alg_values_supported"]:
        party = provider.client(f"client-{alg}", id_token_signed_response_alg=alg)
        callback = party.authorize(provider.browser())
        token = party.redeem(callback).json["id_token"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # RFC 9864 would have EdDSA called Ed25519
            decoded = jwt.decode(token, party.keys(), algorithms=[alg])
        assert decoded.header["alg"] == alg
        published = party.wire.get(metadata["jwks_uri"]).json["keys"]
        assert {"kid": decoded.header["kid"], "alg": alg} in [
            {"kid": key["kid"], "alg": key["alg"]} for key in published
        ]


def test_userinfo_signing_alg_values_supported(metadata: dict[str, Any]) -> None:
    """Valid where published."""
    assert set(metadata.get("userinfo_signing_alg_values_supported", [])) <= SIGNING_ALGORITHMS


def test_scopes_supported(answer: TestResponse) -> None:
    """Contains openid; each is a scope token."""
    assert "openid" in answer.json["scopes_supported"]
    assert all(SCOPE.fullmatch(scope) for scope in answer.json["scopes_supported"])


@pytest.mark.parametrize("name", ["ui_locales_supported", "claims_locales_supported"])
def test_locales_are_bcp_47(answer: TestResponse, name: str) -> None:
    """In canonical case."""
    assert all(BCP47.fullmatch(tag) for tag in answer.json.get(name, []))


def test_claims_supported(metadata: dict[str, Any]) -> None:
    """Published, `sub` and the standard claims among them."""
    assert {"sub", "name", "email", "email_verified", "address", "phone_number"} <= set(
        metadata["claims_supported"]
    )


def test_request_object_signing_alg_values_supported(metadata: dict[str, Any]) -> None:
    """Contains RS256 where request objects are taken at all."""
    takes_them = metadata["request_parameter_supported"] or metadata["request_uri_parameter_supported"]
    assert ("request_object_signing_alg_values_supported" in metadata) == takes_them
    if takes_them:
        assert "RS256" in metadata["request_object_signing_alg_values_supported"]


def test_grant_and_response_types_are_known(answer: TestResponse) -> None:
    """Registered grant types; response types of known words."""
    assert set(answer.json["grant_types_supported"]) <= GRANT_TYPES
    words = {word for kind in answer.json["response_types_supported"] for word in kind.split(" ")}
    assert words <= {"code", "token", "id_token", "none"}
    assert "code" in answer.json["response_types_supported"]


def test_code_challenge_methods_supported(answer: TestResponse) -> None:
    """An array, S256 in it, `plain` not."""
    assert answer.json["code_challenge_methods_supported"] == ["S256"]


def test_response_modes_supported(answer: TestResponse) -> None:
    """The Form Post plan needs form_post."""
    assert {"query", "form_post"} <= set(answer.json["response_modes_supported"])
