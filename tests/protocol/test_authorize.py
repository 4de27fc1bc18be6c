"""The authorization request, line by line (RFC 6749 section 4.1, OpenID Connect Core section 3.1.2, RFC 9207)."""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from app.domain.models import Client
from app.domain.tenants import TenantContext
from app.infra import jose
from app.kernel import clock
from app.kernel.reasons import REASONS
from app.web.services import Services
from tests.protocol.browserless import (
    CHALLENGE,
    REDIRECT_URI,
    Person,
    answer_of,
    new_person,
    new_public_client,
    request,
)
from tests.protocol.parties import API, OTHER_API, new_client, new_resource

if TYPE_CHECKING:
    from tests.conftest import Http

STATE = "".join(chr(c) for c in range(0x21, 0x7F)) + "ä€ +%41&=" + "x" * 26


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(http)


def refused(http: "Http", **changes: Any) -> dict[str, str]:
    """The parameters of an error that went to the client."""
    response = http.get("/authorize", query=request(**changes))
    answer = answer_of(response)
    assert answer.target.startswith(REDIRECT_URI + "?")
    assert set(answer.parameters) <= {"error", "error_description", "state", "iss"}
    assert re.fullmatch(r"[A-Z][\x20\x21\x23-\x5B\x5D-\x7E]+ .*\.", answer.parameters["error_description"])
    return answer.parameters


def test_a_refusal_is_logged_in_words(
    services: Services, tenant: TenantContext, http: "Http", caplog: pytest.LogCaptureFixture
) -> None:
    new_public_client(services, tenant)
    with caplog.at_level("INFO", "watchword"):
        assert refused(http, response_type="token")["error"] == "unsupported_response_type"
    (said,) = [r.getMessage() for r in caplog.records if getattr(r, "reason", "") == "request.response_type"]
    assert said == f"refused: {REASONS['request.response_type']}"


class TestSuccess:
    def test_code_state_and_issuer_come_back(self, person: Person, tenant: TenantContext) -> None:
        """RFC 6749 section 4.1.2, RFC 9207 section 2: nothing but code, state and iss."""
        answer = person.through(state=STATE)
        assert set(answer.parameters) == {"code", "state", "iss"}
        assert answer.parameters["state"] == STATE
        assert answer.parameters["iss"] == tenant.issuer
        assert len(answer.parameters["code"]) >= 43

    def test_state_is_absent_when_none_was_sent(self, person: Person) -> None:
        """RFC 6749 section 4.1.2: state is returned if it was present."""
        assert set(person.through(state=None).parameters) == {"code", "iss"}

    def test_query_of_the_redirect_uri_is_kept(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        """RFC 6749 section 3.1.2: the query component MUST be retained."""
        uri = "https://app.example/cb?a=1&b=%2F"
        new_public_client(services, tenant, "q", redirect_uris=[uri])
        answer = person.through("q", redirect_uri=uri)
        assert answer.target.startswith(uri + "&code=")

    def test_id_token_says_what_was_asked(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        """OIDC Core section 3.1.3.7: nonce, aud, auth_time; no profile claims for a scope alone."""
        token = person.tokens()["id_token"]
        claims = jose.verify(
            token, services.keyring.verification_keys(tenant.id), algorithms=("RS256",)
        ).claims
        assert claims["nonce"] == "nonce-1"
        assert claims["aud"] == "app"
        assert {"auth_time", "acr", "amr", "sid"} <= set(claims)
        assert "name" not in claims

    def test_unknown_parameters_are_ignored(self, person: Person) -> None:
        """OIDC Core section 3.1.2.1."""
        assert (
            "code"
            in person.through(
                extra="foobar", display="popup", ui_locales="se", claims_locales="se"
            ).parameters
        )

    def test_scope_order_does_not_matter(self, person: Person) -> None:
        """OIDC Core section 3.1.2.1: scope is a set."""
        assert "code" in person.through(scope="email profile openid").parameters

    def test_without_nonce(self, person: Person, services: Services, tenant: TenantContext) -> None:
        """OIDC Core section 3.1.2.1: nonce is optional in the code flow; none comes back."""
        token = person.tokens(nonce=None)["id_token"]
        claims = jose.verify(
            token, services.keyring.verification_keys(tenant.id), algorithms=("RS256",)
        ).claims
        assert "nonce" not in claims

    def test_login_hint_fills_in_the_name(self, person: Person) -> None:
        """OIDC Core section 3.1.2.1."""
        assert 'value="buffy@localhost"' in person.authorize(login_hint="buffy@localhost").text

    def test_empty_parameters_count_as_absent(self, person: Person) -> None:
        """RFC 6749 section 3.1."""
        assert "code" in person.through(state="", prompt="", max_age="").parameters

    def test_post_is_accepted_without_a_cookie(self, person: Person) -> None:
        """OIDC Core section 3.1.2.1: POST; it arrives from another site, without our cookies."""
        person.through()
        response = person.http.post("/authorize", form=request(scope="openid profile"))
        assert response.status_code == 303
        assert "/interaction/" in response.headers["Location"]
        assert "code" in answer_of(person.follow(response)).parameters

    def test_post_with_prompt_none_shows_no_page(self, person: Person) -> None:
        """OIDC Core section 3.1.2.1."""
        response = person.follow(person.http.post("/authorize", form=request(prompt="none")))
        assert answer_of(response).parameters["error"] == "login_required"

    def test_redirect_uri_may_be_left_out_where_there_is_one(
        self, person: Person, services: Services
    ) -> None:
        """RFC 6749 section 3.1.2.3, but not with openid (OIDC Core section 3.1.2.1)."""
        assert person.http.get("/authorize", query=request(redirect_uri=None)).status_code == 400
        response = person.authorize(redirect_uri=None, scope="profile")
        assert 'id="sign-in"' in response.text

    def test_loopback_port_is_free(self, person: Person, services: Services, tenant: TenantContext) -> None:
        """RFC 8252 section 7.3."""
        new_public_client(
            services, tenant, "cli", redirect_uris=["http://127.0.0.1/cb"], application_type="native"
        )
        answer = person.through("cli", redirect_uri="http://127.0.0.1:51004/cb")
        assert answer.target.startswith("http://127.0.0.1:51004/cb?code=")


class TestShownHere:
    """What may not be redirected is told on a page (RFC 6749 section 4.1.2.1)."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"client_id": None},
            {"client_id": "nobody"},
            {"client_id": "x" * 5000},
            {"redirect_uri": "https://evil.example/cb"},
            {"redirect_uri": REDIRECT_URI + "/"},
            {"redirect_uri": REDIRECT_URI + "?a=1"},
            {"redirect_uri": REDIRECT_URI + "#f"},
            {"redirect_uri": REDIRECT_URI.upper()},
            {"redirect_uri": "https://app.example/%63b"},
            {"redirect_uri": 'https://app.example/cb"ä'},
            {"redirect_uri": ["https://app.example/cb", "https://app.example/cb"]},
            {"client_id": ["app", "app"]},
            {"redirect_uri": "javascript:alert(1)"},
        ],
    )
    def test_bad_client_or_redirect_uri(self, person: Person, changes: dict[str, Any]) -> None:
        parameters = request()
        for name, value in changes.items():
            if value is None:
                del parameters[name]
            else:
                parameters[name] = value
        pairs = [(n, v) for n, vs in parameters.items() for v in (vs if isinstance(vs, list) else [vs])]
        response = person.http.get("/authorize", query=urlencode(pairs))
        assert response.status_code == 400
        assert "Location" not in response.headers
        assert "Reference" in response.text
        for value in changes.values():
            if isinstance(value, str):
                assert value not in response.text

    @pytest.mark.parametrize(
        ("change", "lead", "detail", "reason"),
        [
            (
                {"redirect_uri": "https://evil.example/cb"},
                "with a wrong return address",
                "This redirect_uri is not registered for the client.",
                "request.redirect_uri_unregistered",
            ),
            (
                {"client_id": "nobody"},
                "is not known here",
                "This client is not registered here.",
                "client.unknown",
            ),
            (
                {"request": "x", "request_uri": "urn:x"},
                "with a request that does not work",
                "A request has either request or request_uri, once.",
                "request.two_sources",
            ),
        ],
    )
    def test_people_read_what_they_understand(
        self, person: Person, change: dict[str, str], lead: str, detail: str, reason: str
    ) -> None:
        """The protocol's words and the reason code are for developers, behind a summary; there is a way on."""
        page = person.http.get("/authorize", query={**request(), **change})
        shown, _, closed = page.text.partition("<details")
        assert lead in shown
        assert detail not in shown
        assert detail in closed
        assert reason in closed
        assert f'href="{person.http.tenant.path}/"' in closed

    def test_disabled_client(self, person: Person, services: Services, tenant: TenantContext) -> None:
        with services.tenancy.session(tenant.id, write=True) as session:
            session.scalars(select(Client).where(Client.client_id == "app")).one().disabled_at = clock.now()
        services.versions.touch()
        assert person.http.get("/authorize", query=request()).status_code == 400

    def test_unreadable_queries(self, person: Person) -> None:
        for query in ("client_id=%ff", "a=1&" * 200, "client_id=app%00", "client_id=" + "x" * 40000):
            assert person.http.get("/authorize", query=query).status_code == 400

    def test_two_sources_of_parameters(self, person: Person) -> None:
        """Contracts 17: a POST brings its parameters in the body alone."""
        response = person.http.post("/authorize", form=request(), query="client_id=app")
        assert response.status_code == 400
        response = person.http.post(
            "/authorize", data=b'{"client_id": "app"}', content_type="application/json"
        )
        assert response.status_code == 400


class TestSentToTheClient:
    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"response_type": None}, "invalid_request"),
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": "code id_token"}, "unsupported_response_type"),
            ({"response_mode": "pigeon"}, "invalid_request"),
            ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
            ({"code_challenge": None}, "invalid_request"),
            ({"code_challenge_method": None}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"code_challenge": "short"}, "invalid_request"),
            ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
            ({"scope": 'open"id'}, "invalid_scope"),
            ({"scope": "openid  profile"}, "invalid_scope"),
            ({"scope": "openid phone"}, "invalid_scope"),
            ({"scope": "unheard-of"}, "invalid_scope"),
            ({"resource": "https://nobody.example"}, "invalid_target"),
            ({"resource": "not a uri"}, "invalid_target"),
            ({"resource": "https://api.example.com#f"}, "invalid_target"),
            ({"max_age": "soon"}, "invalid_request"),
            ({"max_age": "-1"}, "invalid_request"),
            ({"max_age": "١"}, "invalid_request"),
            ({"prompt": "none login"}, "invalid_request"),
            ({"prompt": "create"}, "invalid_request"),
            ({"display": "hologram"}, "invalid_request"),
            ({"id_token_hint": "x.y.z"}, "invalid_request"),
            ({"request": "x.y.z"}, "invalid_request_object"),
            ({"request_uri": "https://app.example/r"}, "invalid_request_uri"),
            ({"registration": "{}"}, "registration_not_supported"),
            ({"state": "x" * 3000}, "invalid_request"),
        ],
    )
    def test_refusals(
        self, person: Person, tenant: TenantContext, changes: dict[str, Any], error: str
    ) -> None:
        """RFC 6749 section 4.1.2.1 and the registries of OIDC Core sections 3.1.2.6 and RFC 8707 section 2."""
        found = refused(person.http, **changes)
        assert found["error"] == error
        assert found["iss"] == tenant.issuer
        assert found["state"] == changes.get("state", "state-1")

    @pytest.mark.parametrize(
        "name", ["state", "scope", "nonce", "code_challenge", "prompt", "extra", "response_type"]
    )
    def test_repeated_parameters(self, person: Person, name: str) -> None:
        """RFC 6749 section 3.1: parameters MUST NOT be included more than once."""
        query = urlencode(request(extra="1")) + f"&{name}=again"
        answer = answer_of(person.http.get("/authorize", query=query))
        assert answer.parameters["error"] == "invalid_request"
        assert ("state" in answer.parameters) == (name != "state")

    def test_client_without_the_grant(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        """RFC 6749 section 4.1.2.1, unauthorized_client."""
        new_client(
            services,
            tenant,
            client_id="machine",
            grant_types=["client_credentials"],
            redirect_uris=[REDIRECT_URI],
        )
        assert refused(person.http, client_id="machine")["error"] == "unauthorized_client"

    def test_legacy_profile_lets_confidential_clients_go_without_pkce(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        """RFC 9700 section 2.1.1: public clients MUST use PKCE; plain is for nobody."""
        new_client(services, tenant, client_id="old", profile="oidc-legacy", scope="openid profile")
        bare = {"code_challenge": None, "code_challenge_method": None}
        assert "code" in person.through("old", **bare).parameters
        assert (
            refused(person.http, client_id="old", code_challenge_method="plain")["error"] == "invalid_request"
        )
        new_public_client(services, tenant, "old-public", profile="oidc-legacy")
        assert refused(person.http, client_id="old-public", **bare)["error"] == "invalid_request"
        new_client(services, tenant, client_id="new", scope="openid profile")
        assert refused(person.http, client_id="new", **bare)["error"] == "invalid_request"


class TestAudience:
    """Contracts "Claims"; RFC 8707 section 2."""

    @pytest.fixture(autouse=True)
    def _apis(self, services: Services, tenant: TenantContext) -> None:
        new_resource(services, tenant)
        new_resource(services, tenant, OTHER_API, "pay")

    def audience(
        self, person: Person, services: Services, tenant: TenantContext, **changes: Any
    ) -> list[str]:
        token = person.tokens(**changes)["access_token"]
        found = jose.verify(
            token, services.keyring.verification_keys(tenant.id), algorithms=("ES256",)
        ).claims["aud"]
        return [found] if isinstance(found, str) else sorted(found)

    def test_owner_of_the_scopes_and_the_issuer(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        assert self.audience(person, services, tenant, scope="openid read") == sorted([API, tenant.issuer])
        assert self.audience(person, services, tenant, scope="read") == [API]
        assert self.audience(person, services, tenant, scope="openid") == [tenant.issuer]

    def test_resource_names_it_exactly(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        assert self.audience(person, services, tenant, scope="openid read", resource=API + "/") == [API]

    def test_scopes_of_two_resources(self, person: Person, services: Services, tenant: TenantContext) -> None:
        assert refused(person.http, scope="openid read pay")["error"] == "invalid_target"
        new_public_client(services, tenant, "both", default_resources=[API, OTHER_API])
        assert "code" in person.through("both", scope="read pay").parameters

    def test_scope_of_another_resource(self, person: Person) -> None:
        assert refused(person.http, scope="openid pay", resource=API)["error"] == "invalid_scope"
