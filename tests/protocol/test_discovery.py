"""Metadata (RFC 8414, OpenID Connect Discovery 1.0): it is well-formed, and it tells the truth."""

from typing import Any

import pytest

from app.domain import client_metadata
from app.domain.assurance import ACR_VALUES
from app.protocols.oauth.server import GRANT_TYPES
from app.protocols.oauth.steps import authentication, response
from app.web.endpoints import ENDPOINTS
from tests.conftest import Http, new_tenant
from tests.protocol.token_side import TokenSide, side

__all__ = ["side"]

OPENID, OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"

REGISTERED = frozenset(
    """issuer authorization_endpoint token_endpoint userinfo_endpoint jwks_uri registration_endpoint scopes_supported
    response_types_supported response_modes_supported grant_types_supported acr_values_supported
    subject_types_supported id_token_signing_alg_values_supported id_token_encryption_alg_values_supported
    id_token_encryption_enc_values_supported userinfo_signing_alg_values_supported
    userinfo_encryption_alg_values_supported userinfo_encryption_enc_values_supported
    request_object_signing_alg_values_supported request_object_encryption_alg_values_supported
    request_object_encryption_enc_values_supported token_endpoint_auth_methods_supported
    token_endpoint_auth_signing_alg_values_supported display_values_supported claim_types_supported
    claims_supported service_documentation claims_locales_supported ui_locales_supported claims_parameter_supported
    request_parameter_supported request_uri_parameter_supported require_request_uri_registration op_policy_uri
    op_tos_uri revocation_endpoint revocation_endpoint_auth_methods_supported
    revocation_endpoint_auth_signing_alg_values_supported introspection_endpoint
    introspection_endpoint_auth_methods_supported introspection_endpoint_auth_signing_alg_values_supported
    code_challenge_methods_supported signed_metadata device_authorization_endpoint
    tls_client_certificate_bound_access_tokens mtls_endpoint_aliases check_session_iframe end_session_endpoint
    frontchannel_logout_supported frontchannel_logout_session_supported backchannel_logout_supported
    backchannel_logout_session_supported pushed_authorization_request_endpoint
    require_pushed_authorization_requests authorization_response_iss_parameter_supported
    dpop_signing_alg_values_supported prompt_values_supported
    introspection_signing_alg_values_supported require_signed_request_object
    authorization_signing_alg_values_supported authorization_details_types_supported""".split()
)
"""Names of the IANA registry of authorization server metadata that a provider of this kind may use."""


def documents(side: TokenSide) -> list[dict[str, Any]]:
    return [side.http.get(path).json for path in (OPENID, OAUTH)]


def test_every_form_of_a_path_issuers_address_gives_its_document(side: TokenSide) -> None:
    """RFC 8414 section 3.1 (path inserted) and Discovery section 4 (path in front)."""
    for path in (OPENID, OAUTH):
        in_front = side.http.get(path)
        inserted = side.http.get(path + side.tenant.path, raw=True)
        assert in_front.status_code == inserted.status_code == 200
        assert in_front.json == inserted.json
        assert in_front.json["issuer"] == side.tenant.issuer
        assert in_front.headers["Content-Type"] == "application/json"


def test_issuer_without_a_path(services: Any) -> None:
    from app import create_app
    from app.domain import tenants
    from app.infra.tenancy import SystemReason

    with services.tenancy.system(SystemReason.FIRST_START, write=True) as session:
        if tenants.find(session, "default") is None:
            tenants.create(session, slug="default", name="Default")
    services.versions.touch()
    http = Http(create_app(services.settings, services=services), services.tenants.default())
    for path in (OPENID, OAUTH):
        assert http.get(path).json["issuer"] == services.settings.base_url
    for path in (
        "/t/default" + OPENID,
        OPENID + "/t/default",
        OPENID + "/",
        OPENID + "/t/nobody",
        OPENID + "/x",
    ):
        assert http.get(path, raw=True).status_code == 404


def test_only_registered_names_are_used(side: TokenSide) -> None:
    """Contracts 21: certification validates against a closed schema."""
    for document in documents(side):
        assert set(document) <= REGISTERED


def test_members_have_the_types_of_their_definitions(side: TokenSide) -> None:
    for document in documents(side):
        for name, value in document.items():
            if name.endswith("_supported") and not isinstance(value, bool):
                assert isinstance(value, list), name
                assert value, f"{name}: RFC 8414 section 2 leaves out what is empty"
                assert all(isinstance(item, str) for item in value), name
                assert len(set(value)) == len(value), name
            elif name.endswith(("_endpoint", "_uri")):
                assert value.startswith(side.tenant.issuer + "/"), name


def test_required_members_are_there(side: TokenSide) -> None:
    """Discovery section 3, RFC 8414 section 2, and what clients of machine-only servers insist on."""
    openid, oauth = documents(side)
    common = {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "response_types_supported"}
    common |= {"code_challenge_methods_supported", "scopes_supported", "grant_types_supported"}
    assert common <= set(oauth)
    assert common | {
        "userinfo_endpoint",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
        "claims_supported",
        "end_session_endpoint",
    } <= set(openid)
    assert "userinfo_endpoint" not in oauth


def test_every_advertised_endpoint_exists(side: TokenSide) -> None:
    openid, _ = documents(side)
    advertised = {name: url for name, url in openid.items() if name.endswith(("_endpoint", "jwks_uri"))}
    # Off for this tenant; where they are not, `test_client_registration` and `test_authorization_challenge` look.
    off = {"registration_endpoint", "authorization_challenge_endpoint"}
    assert set(advertised) == {e.member for e in ENDPOINTS if e.member} - off
    for name, url in advertised.items():
        path = url.removeprefix(side.services.settings.base_url)
        assert side.http.get(path, raw=True).status_code != 404, name


def test_values_are_those_the_code_goes_by(side: TokenSide) -> None:
    openid, oauth = documents(side)
    for document in (openid, oauth):
        # The tenant trusts no issuer elsewhere, so that assertions of one are nothing to offer.
        assert document["grant_types_supported"] == [g for g in GRANT_TYPES if not g.endswith("jwt-bearer")]
        assert document["token_endpoint_auth_methods_supported"] == list(client_metadata.AUTH_METHODS)
        assert document["response_modes_supported"] == list(response.RESPONSE_MODES)
        assert document["response_types_supported"] == ["code"]
        assert document["code_challenge_methods_supported"] == ["S256"]
        assert document["authorization_response_iss_parameter_supported"] is True
        assert "none" not in document["introspection_endpoint_auth_methods_supported"]
    assert set(openid["prompt_values_supported"]) == authentication.PROMPTS
    assert openid["acr_values_supported"] == list(ACR_VALUES)
    assert openid["ui_locales_supported"] == ["en", "ar", "de"]


def test_what_is_not_offered_is_not_said(side: TokenSide) -> None:
    """Off for this tenant: legacy response types, pushing of everybody's requests, authorization details."""
    for document in documents(side):
        assert "implicit" not in document["grant_types_supported"]
        for name in (
            "require_pushed_authorization_requests",
            "require_signed_request_object",
            "authorization_details_types_supported",
        ):
            assert name not in document
        assert not [value for value in document.values() if isinstance(value, list) and "none" in value[1:]]


def test_requests_may_be_signed_and_lie_elsewhere(side: TokenSide) -> None:
    """What is said of request objects is shown in `test_jar.py`; those of other algorithms are refused there."""
    openid, oauth = documents(side)
    assert openid["request_parameter_supported"] is True
    assert openid["request_uri_parameter_supported"] is True
    assert openid["require_request_uri_registration"] is True
    assert openid["claims_parameter_supported"] is True
    for document in (openid, oauth):
        found = document["request_object_signing_alg_values_supported"]
        assert found == list(client_metadata.REQUEST_OBJECT_ALGORITHMS)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_every_advertised_id_token_algorithm_is_used_when_asked_for(side: TokenSide, alg: str) -> None:
    openid, _ = documents(side)
    assert alg in openid["id_token_signing_alg_values_supported"]
    client = side.client(id_token_signed_response_alg=alg)
    assert side.read(side.tokens(client, side.user())["id_token"]).header["alg"] == alg


def test_every_advertised_scope_and_claim_is_answered(side: TokenSide) -> None:
    openid, _ = documents(side)
    scopes = " ".join(openid["scopes_supported"])
    found = side.tokens(side.client(), side.user(groups=("all-of-them",)), scopes)
    assert set(found["scope"].split()) == set(openid["scopes_supported"])
    told = set(side.userinfo(found["access_token"]).json) | set(side.read(found["id_token"]).claims)
    assert set(openid["claims_supported"]) == told


def test_documents_are_cached_by_tag(side: TokenSide) -> None:
    """RFC 9110 section 13.1.2."""
    for path in (OPENID, OAUTH, "/jwks"):
        first = side.http.get(path)
        tag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "public, max-age=300"
        for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = side.http.get(path, headers={"If-None-Match": given})
            assert again.status_code == 304
            assert again.data == b""
            assert again.headers["ETag"] == tag
        assert side.http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_tenants_have_documents_of_their_own(side: TokenSide) -> None:
    other = new_tenant(side.services)
    answer = Http(side.http.app, other).get(OPENID)
    assert answer.json["issuer"] == other.issuer != side.tenant.issuer
    assert answer.headers["ETag"] != side.http.get(OPENID).headers["ETag"]
