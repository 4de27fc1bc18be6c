"""Discovery tells the truth: what it offers is named here with the test that uses it, and what is off is not offered.

A new value that is not named makes `test_everything_that_is_offered_is_used` fail. The tests named by values of
algorithms, methods and places run over the very lists discovery is made of.
"""

import base64
import dataclasses
import ipaddress
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc import jwk, jwt

from app import create_app
from app.domain import claims, client_metadata, tenants
from app.domain.assurance import ACR_VALUES
from app.domain.models import AuthorizationDetailsType, Tenant
from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.signing import SigningKeyHandle
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.protocols.oauth import dpop
from app.protocols.oauth.metadata import _ALIASED as ALIASED
from app.protocols.oauth.metadata import ID_TOKEN_CLAIMS
from app.protocols.oauth.steps.authentication import DISPLAYS
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol.browserless import Person, new_person, new_public_client
from tests.protocol.certified import Authority, Certified, certified
from tests.protocol.parties import Party
from tests.protocol.token_side import TokenSide, side
from tests.protocol.trusted import Issuer
from tests.unit.test_specs_table import names_in

__all__ = ["side"]

DOCUMENTS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
HERE = "protocol/test_discovery_truth.py::"
DISCOVERY = "protocol/test_discovery.py::"
LOGOUT = "protocol/test_end_session.py::"
GRANT = "urn:ietf:params:oauth:grant-type:"


def every(values: Any, test: str) -> dict[str, str]:
    return dict.fromkeys(map(str, values), test)


METHODS = every(
    (*client_metadata.AUTH_METHODS, *client_metadata.TLS_METHODS),
    HERE + "test_every_method_at_every_endpoint",
)
ASSERTIONS = every(client_metadata.ASSERTION_ALGORITHMS, HERE + "test_every_algorithm_of_assertions")
TRUE = "True"

EXERCISED: dict[str, dict[str, str]] = {
    "scopes_supported": every(
        claims.OPENID_SCOPES, DISCOVERY + "test_every_advertised_scope_and_claim_is_answered"
    ),
    "claims_supported": every(
        dict.fromkeys((*ID_TOKEN_CLAIMS, *claims.STANDARD_CLAIMS)),
        DISCOVERY + "test_every_advertised_scope_and_claim_is_answered",
    ),
    "claim_types_supported": {"normal": DISCOVERY + "test_every_advertised_scope_and_claim_is_answered"},
    "claims_parameter_supported": {
        TRUE: "protocol/test_claims_parameter.py::test_essential_claim_is_released_at_userinfo"
    },
    "response_types_supported": {
        "code": "protocol/test_authorize.py::TestSuccess::test_code_state_and_issuer_come_back",
        **every(client_metadata.LEGACY_RESPONSE_TYPES, "protocol/test_legacy_response_types.py::test_answer"),
    },
    "response_modes_supported": {
        "query": "protocol/test_authorize.py::TestSuccess::test_code_state_and_issuer_come_back",
        "fragment": "protocol/test_legacy_response_types.py::test_answer",
        "form_post": "protocol/test_form_post.py::test_answer_is_a_form",
        **every(("jwt", "query.jwt", "fragment.jwt", "form_post.jwt"), "protocol/test_jarm.py::test_success"),
    },
    "grant_types_supported": {
        "authorization_code": "protocol/test_token_authorization_code.py::"
        "test_access_token_names_person_session_and_authentication",
        "refresh_token": "protocol/test_token_refresh.py::test_refresh_rotates_and_keeps_who_and_when",
        "client_credentials": "protocol/test_token_client_credentials.py::"
        "test_access_token_is_a_jwt_of_rfc_9068",
        "implicit": "protocol/test_legacy_response_types.py::test_answer",
        GRANT + "device_code": "protocol/test_device.py::test_the_whole_way_from_code_to_tokens",
        GRANT + "token-exchange": "protocol/test_token_exchange.py::"
        "test_delegation_names_the_actor_and_keeps_the_subject",
        GRANT + "jwt-bearer": "protocol/test_jwt_bearer.py::test_an_assertion_is_worth_a_token",
    },
    "code_challenge_methods_supported": {
        "S256": "protocol/test_token_authorization_code.py::"
        "test_verifier_that_is_missing_or_wrong_is_invalid_grant"
    },
    "token_endpoint_auth_methods_supported": METHODS,
    "revocation_endpoint_auth_methods_supported": METHODS,
    "introspection_endpoint_auth_methods_supported": {n: t for n, t in METHODS.items() if n != "none"},
    "token_endpoint_auth_signing_alg_values_supported": ASSERTIONS,
    "revocation_endpoint_auth_signing_alg_values_supported": ASSERTIONS,
    "introspection_endpoint_auth_signing_alg_values_supported": ASSERTIONS,
    "id_token_signing_alg_values_supported": every(
        jose.SIGNING_ALGORITHMS, "protocol/test_signed_userinfo.py::test_id_tokens_are_signed_as_registered"
    ),
    "userinfo_signing_alg_values_supported": every(
        jose.SIGNING_ALGORITHMS,
        "protocol/test_signed_userinfo.py::test_userinfo_is_a_jwt_where_the_client_asked_for_one",
    ),
    "introspection_signing_alg_values_supported": every(
        jose.SIGNING_ALGORITHMS,
        "protocol/test_signed_introspection.py::test_a_resource_server_gets_a_jwt_when_it_asks_for_one",
    ),
    "authorization_signing_alg_values_supported": every(
        jose.SIGNING_ALGORITHMS, "protocol/test_jarm.py::test_algorithm_is_the_registered_one"
    ),
    "request_object_signing_alg_values_supported": every(
        client_metadata.REQUEST_OBJECT_ALGORITHMS, "protocol/test_jar.py::test_request_object_by_value"
    ),
    "dpop_signing_alg_values_supported": every(
        dpop.ALGORITHMS, "protocol/test_dpop.py::test_a_proof_binds_the_token_with_every_algorithm"
    ),
    "acr_values_supported": every(ACR_VALUES, "protocol/test_assurance.py::test_each_row"),
    "display_values_supported": every(DISPLAYS, HERE + "test_every_display"),
    "prompt_values_supported": {
        "none": "protocol/test_prompt.py::test_prompt_none_with_a_session",
        "login": "protocol/test_prompt.py::test_prompt_login_asks_again",
        "consent": "protocol/test_prompt.py::test_prompt_consent_asks_again",
        "select_account": "protocol/test_accounts.py::test_select_account_shows_who_is_signed_in",
        "create": "protocol/test_registration.py::"
        "test_an_account_is_made_once_mail_was_read_and_its_owner_goes_on_to_the_application",
    },
    "subject_types_supported": {
        "public": "protocol/test_pairwise.py::test_sectors_are_told_apart_and_clients_of_one_are_not",
        "pairwise": "protocol/test_pairwise.py::test_one_name_in_everything_a_client_sees",
    },
    "ui_locales_supported": every(("en", "de", "ar"), HERE + "test_every_language"),
    "authorization_details_types_supported": {
        "payment": "protocol/test_rar.py::test_echoed_exactly",
    },
    "authorization_response_iss_parameter_supported": {
        TRUE: "protocol/test_authorize.py::TestSuccess::test_code_state_and_issuer_come_back"
    },
    "request_parameter_supported": {TRUE: "protocol/test_jar.py::test_request_object_by_value"},
    "request_uri_parameter_supported": {TRUE: "protocol/test_jar.py::test_request_by_reference"},
    "require_request_uri_registration": {
        TRUE: "protocol/test_jar.py::test_only_registered_addresses_are_fetched"
    },
    "require_pushed_authorization_requests": {
        TRUE: "protocol/test_par.py::test_pushing_may_be_demanded",
    },
    "require_signed_request_object": {TRUE: "profiles/test_fapi2_message_signing.py::test_of_a_tenant"},
    "tls_client_certificate_bound_access_tokens": {
        TRUE: "protocol/test_mtls.py::test_tokens_are_bound_to_the_certificate"
    },
    "backchannel_logout_supported": {
        TRUE: "profiles/test_backchannel_logout.py::test_oidcc_backchannel_rp_initiated_logout"
    },
    "backchannel_logout_session_supported": {
        TRUE: "profiles/test_backchannel_logout.py::test_oidcc_backchannel_rp_initiated_logout"
    },
    "frontchannel_logout_supported": {
        TRUE: "profiles/test_frontchannel_logout.py::test_oidcc_frontchannel_rp_initiated_logout"
    },
    "frontchannel_logout_session_supported": {
        TRUE: "profiles/test_frontchannel_logout.py::test_oidcc_frontchannel_rp_initiated_logout"
    },
    "issuer": {"": DISCOVERY + "test_every_form_of_a_path_issuers_address_gives_its_document"},
    "jwks_uri": {"": "protocol/test_jwks.py::test_what_we_sign_verifies_with_what_we_publish"},
    "authorization_endpoint": {
        "": "protocol/test_authorize.py::TestSuccess::test_code_state_and_issuer_come_back"
    },
    "token_endpoint": {"": HERE + "test_every_method_at_every_endpoint"},
    "revocation_endpoint": {"": "protocol/test_revocation.py::test_access_token_goes_alone"},
    "introspection_endpoint": {"": "protocol/test_introspection.py::test_active_token_of_a_person"},
    "userinfo_endpoint": {"": "protocol/test_userinfo.py::test_every_way_to_present_the_token"},
    "end_session_endpoint": {"": LOGOUT + "test_valid_hint_signs_out_and_redirects_with_the_state"},
    "pushed_authorization_request_endpoint": {"": "protocol/test_par.py::test_pushed_request_is_answered"},
    "device_authorization_endpoint": {
        "": "protocol/test_device.py::test_a_device_gets_its_codes_and_where_to_go"
    },
    "registration_endpoint": {"": "protocol/test_client_registration.py::test_answer"},
    "authorization_challenge_endpoint": {
        "": "protocol/test_authorization_challenge.py::TestSigningIn::test_name_and_password"
    },
    "mtls_endpoint_aliases": every(sorted(ALIASED), HERE + "test_every_alias_answers"),
}
"""Every member and value discovery may offer, and the test that makes use of it."""

SECRET = "proxy-secret-of-more-than-32-characters"
PROXY, MTLS_URL = "192.0.2.10", "https://mtls.example.com"
DN = "CN=client,O=Example\\, Inc"


def settle(services: Services, tenant: TenantContext, **settings: Any) -> None:
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        tenants.update_settings(session.get_one(Tenant, tenant.id), settings)
    services.versions.touch()


@pytest.fixture(scope="module")
def certain(_shared_services: Services) -> TokenSide:
    """A tenant of a deployment that believes a proxy about certificates, with something of every kind."""
    from app.protocols.oauth.dpop import Dpop
    from app.protocols.oauth.sender import Sender

    shared = _shared_services
    settings = dataclasses.replace(
        shared.settings,
        trusted_proxies=(ipaddress.ip_network(f"{PROXY}/32"),),
        mtls_proxy_secret=SECRET,
        mtls_url=MTLS_URL,
    )
    sender = Sender(Dpop(shared.deployment_secrets.pepper), MTLS_URL)
    services = dataclasses.replace(shared, settings=settings, sender=sender)
    tenant = new_tenant(services)
    found = TokenSide(services, tenant, Http(create_app(settings, services=services), tenant))
    Issuer("https://ci.example").trusted_by(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(AuthorizationDetailsType(type="payment", schema={}, words={"en": "Pay"}, resource=None))
    found.client(
        first_party=True,
        authorization_challenge=True,
        application_type="native",
        token_endpoint_auth_method="none",
    )
    return found


def turn_everything_on(side: TokenSide) -> None:
    """Whatever a tenant may decide."""
    services, tenant = side.services, side.tenant
    settle(
        services,
        tenant,
        legacy_response_types=True,
        require_pushed_authorization_requests=True,
        registration={"people": "open", "clients": "open"},
        languages={"offered": ["en", "de", "ar"]},
        profile="fapi2-message-signing",
    )


def offered(http: Http) -> Iterator[tuple[str, str]]:
    """Every member with every value; of addresses the member alone, of objects the names in them."""
    for path in DOCUMENTS:
        for member, value in http.get(path).json.items():
            if isinstance(value, bool):
                yield member, str(value)
            elif isinstance(value, str):
                yield member, ""
            else:
                yield from ((member, str(item)) for item in value)


def test_everything_that_is_offered_is_used(side: TokenSide, certain: TokenSide) -> None:
    """By an ordinary tenant, and by one that has everything there is; and nothing is named that nobody offers."""
    turn_everything_on(certain)
    found = {*offered(side.http), *offered(certain.http)}
    named = {(member, value) for member, values in EXERCISED.items() for value in values}
    assert found - named == set(), "offered, and no test is named here that uses it"
    assert named - found == set(), "named, and nobody offers it"


def test_every_test_that_is_named_exists() -> None:
    tests = {test for values in EXERCISED.values() for test in values.values()}
    files = {test: test.partition("::") for test in tests}
    assert [test for test, (file, _, name) in files.items() if name not in names_in(file)] == []


def test_what_is_off_is_not_offered(services: Services, tenant: TenantContext) -> None:
    """Each setting brings what belongs to it, takes it back again, and changes no other tenant's documents."""
    http = Http(create_app(services.settings, services=services), tenant)
    other = Http(http.app, new_tenant(services))
    plain, others = set(offered(http)), set(offered(other))
    assert not any(str(False) in pair for pair in plain), "what is not so is left out"
    legacy = {("response_types_supported", kind) for kind in client_metadata.LEGACY_RESPONSE_TYPES}
    brings: list[tuple[dict[str, Any], dict[str, Any], set[tuple[str, str]]]] = [
        (
            {"legacy_response_types": True},
            {"legacy_response_types": False},
            legacy | {("grant_types_supported", "implicit")},
        ),
        (
            {"require_pushed_authorization_requests": True},
            {"require_pushed_authorization_requests": False},
            {("require_pushed_authorization_requests", TRUE)},
        ),
        (
            {"profile": "fapi2-message-signing"},
            {"profile": "oauth2.1"},
            {("require_pushed_authorization_requests", TRUE), ("require_signed_request_object", TRUE)},
        ),
        (
            {"registration": {"people": "open"}},
            {"registration": {"people": "invitation"}},
            {("prompt_values_supported", "create")},
        ),
        (
            {"registration": {"clients": "open"}},
            {"registration": {"clients": "off"}},
            {("registration_endpoint", "")},
        ),
        (
            {"languages": {"offered": ["en", "de"]}},
            {"languages": {"offered": ["en"]}},
            {("ui_locales_supported", "de")},
        ),
    ]
    settle(services, tenant, languages={"offered": ["en"]})
    plain = set(offered(http))
    for on, off, brought in brings:
        settle(services, tenant, **on)
        assert set(offered(http)) == plain | brought, on
        assert set(offered(other)) == others
        settle(services, tenant, **off)
        assert set(offered(http)) == plain, off


# What no other test uses value by value


class Known:
    """A client of a method, which can authenticate as often as it is asked to."""

    def __init__(self, side: TokenSide, method: str, alg: str = "") -> None:
        self.side, self.method = side, method
        self.alg = alg or ("HS256" if method == "client_secret_jwt" else "ES256")
        self.certificate: Certified | None = None
        self.key = None if self.alg == "HS256" else SigningKeyHandle.generate(self.alg)
        said: dict[str, Any] = {"token_endpoint_auth_method": method}
        if method == "private_key_jwt" and self.key is not None:
            said["jwks"] = {"keys": [self.key.public_jwk]}
        elif method == "tls_client_auth":
            self.certificate = Authority().issue()
            said["tls_client_auth_subject_dn"] = DN
        elif method == "self_signed_tls_client_auth":
            self.certificate = certified()
            said["jwks"] = {"keys": [self.certificate.jwk]}
        self.party: Party = side.client(**said)

    def post(self, path: str, **form: str) -> Any:
        """A request of the client's."""
        options: dict[str, Any] = {"headers": {}}
        if self.method == "client_secret_basic":
            options["headers"] = self.party.basic
        else:
            form["client_id"] = self.party.client_id
        if self.method == "client_secret_post":
            form["client_secret"] = self.party.secret
        elif self.method.endswith("_jwt"):
            form |= {"client_assertion_type": TYPE, "client_assertion": self.assertion()}
        elif self.certificate is not None:
            options = proxied(self.certificate)
        return self.side.http.post(path, form=form, **options)

    def assertion(self) -> str:
        """Good for one request."""
        now = clock.timestamp(clock.now())
        said = {
            "iss": self.party.client_id,
            "sub": self.party.client_id,
            "aud": self.side.tenant.issuer,
            "jti": secrets.token_urlsafe(8),
            "exp": now + 60,
        }
        if self.key is not None:
            return self.key.sign(said, "JWT")
        key = jwk.OctKey.import_key(self.party.secret)
        return jwt.encode({"alg": "HS256"}, said, key)

    def tokens(self) -> dict[str, Any]:
        """Of a person."""
        code = self.side.code(self.party, self.side.user())
        answer = self.post("/token", **code.form())
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found


def proxied(certificate: Certified) -> dict[str, Any]:
    """The options of a request that a trusted proxy hands on."""
    headers = {
        "X-Watchword-Proxy-Secret": SECRET,
        "X-Forwarded-For": "198.51.100.9",
        "X-SSL-Client-Cert": certificate.escaped,
        "X-SSL-Client-Verify": "SUCCESS",
    }
    return {"headers": headers, "environ_base": {"REMOTE_ADDR": PROXY}}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_at_every_endpoint(certain: TokenSide, method: str) -> None:
    """Tokens, introspection, revocation: by the method of each list, and by nothing that is not on it."""
    settle(certain.services, certain.tenant, profile="oauth2.1", require_pushed_authorization_requests=False)
    known = Known(certain, method)
    token = known.tokens()["access_token"]
    answer = known.post("/introspect", token=token)
    if method == "none":
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    else:
        assert answer.json["active"] is True
    assert known.post("/revoke", token=token).status_code == 200
    assert certain.userinfo(token).status_code == 401


@pytest.mark.parametrize("alg", client_metadata.ASSERTION_ALGORITHMS)
def test_every_algorithm_of_assertions(certain: TokenSide, alg: str) -> None:
    """At the three endpoints whose metadata lists them."""
    settle(certain.services, certain.tenant, profile="oauth2.1", require_pushed_authorization_requests=False)
    known = Known(certain, "client_secret_jwt" if alg == "HS256" else "private_key_jwt", alg)
    head = json.loads(base64.urlsafe_b64decode(known.assertion().split(".")[0] + "=="))
    assert head["alg"] == alg
    token = known.tokens()["access_token"]
    assert known.post("/introspect", token=token).json["active"] is True
    assert known.post("/revoke", token=token).status_code == 200
    assert known.post("/introspect", token=token).json == {"active": False}


def test_every_alias_answers(certain: TokenSide) -> None:
    """At the address that asks for certificates, each by its own endpoint (RFC 8705 section 5)."""
    settle(certain.services, certain.tenant, registration={"clients": "open"})
    aliases = certain.http.get(DOCUMENTS[1]).json["mtls_endpoint_aliases"]
    assert set(aliases) == set(EXERCISED["mtls_endpoint_aliases"])
    host = MTLS_URL.removeprefix("https://")
    for member, url in aliases.items():
        options = proxied(certified())
        options["headers"]["Host"] = host
        answer = certain.http.post(url.removeprefix(MTLS_URL), raw=True, form={"x": "y"}, **options)
        assert answer.status_code in (400, 401), member
        assert answer.json["error"] in (
            "invalid_client",
            "invalid_request",
            "invalid_client_metadata",
        ), member


@pytest.mark.parametrize("display", DISPLAYS)
def test_every_display(services: Services, tenant: TenantContext, http: Http, display: str) -> None:
    """The same pages serve them all: narrow ones too, and without scripts."""
    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    page = person.authorize(display=display)
    assert 'id="sign-in"' in page.text
    assert 'name="viewport"' in page.text
    assert "code" in person.through(display=display).parameters


@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_every_language(services: Services, tenant: TenantContext, http: Http, language: str) -> None:
    new_public_client(services, tenant)
    assert language in http.get(DOCUMENTS[0]).json["ui_locales_supported"]
    assert f'<html lang="{language}"' in Person(http).authorize(ui_locales=language).text
