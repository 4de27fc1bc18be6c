"""An administrator's first factor alone, which was stolen, or shown before they were one, tries our own API."""

from typing import TYPE_CHECKING, Any

import pytest

from app.domain.access import rbac
from app.domain.assurance import TWO_FACTOR
from app.domain.models import Grant, Role
from app.domain.tenants import TenantContext
from app.web.api.catalogue import ENDPOINTS, PREFIX
from app.web.services import Services
from tests.conftest import Http
from tests.protocol import parties
from tests.protocol.browserless import Person, new_person, new_public_client
from tests.protocol.test_api import CALLS, problem
from tests.protocol.test_factors import elsewhere, protected
from tests.protocol.test_tenant_settings import decide
from tests.protocol.token_side import TokenSide, side

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

__all__ = ["side"]

SCOPE = "openid offline_access watchword:read watchword:admin"
ADMINISTRATION = [call for call, row in zip(CALLS, ENDPOINTS, strict=True) if row.permission is not None]
"""Everything that takes a permission."""


def call(http: Http, token: str, path: str = "/audit", method: str = "GET", **options: Any) -> "TestResponse":
    return http.request(method, PREFIX + path, headers={"Authorization": f"Bearer {token}"}, **options)


def refused(answer: "TestResponse") -> None:
    """RFC 9470 section 3: what would do."""
    problem(answer, 401, "token.second_factor_missing")
    challenge = answer.headers["WWW-Authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert f'acr_values="{TWO_FACTOR}"' in challenge


@pytest.mark.parametrize(("method", "path"), ADMINISTRATION)
def test_a_token_from_before_the_role_administers_nothing(side: TokenSide, method: str, path: str) -> None:
    party, user_id = side.client(scope=SCOPE), side.user()
    token = side.tokens(party, user_id, SCOPE)["access_token"]
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        rbac.give_role(session, user_id, "admin")
    refused(call(side.http, token, path, method))
    assert call(side.http, token, "/me").status_code == 200, "what takes no permission takes no second factor"


def test_nor_does_what_it_is_refreshed_to(side: TokenSide) -> None:
    """`offline_access` outlives the sign-in; refreshing shows nothing more of the person."""
    party, user_id = side.client(scope=SCOPE), side.user(role="admin")
    token = side.tokens(party, user_id, SCOPE)["refresh_token"]
    refused(call(side.http, side.refresh(party, token).json["access_token"]))


def test_a_trusted_browser_goes_without_the_second_factor_and_so_does_not_administer(
    services: Services, tenant: TenantContext, http: Http
) -> None:
    """Asked again with the `acr_values` of the challenge, the trusted browser asks for it, and the API answers."""
    user_id = new_person(services, tenant)
    new_public_client(services, tenant, scope=SCOPE)
    person = Person(http)
    protected(person)
    with services.tenancy.session(tenant.id, write=True) as session:
        rbac.give_role(session, user_id, "admin")
    other = elsewhere(person)
    other.second(other.sign_in(other.authorize(scope=SCOPE)), "recovery", trust="yes")
    other.sign_in(other.authorize(scope=SCOPE, prompt="login"))
    refused(call(http, other.tokens(scope=SCOPE)["access_token"]))
    strong = other.tokens(scope=SCOPE, acr_values=TWO_FACTOR)["access_token"]
    assert call(http, strong).status_code == 200


def test_an_exchanged_token_is_no_surer_than_the_grant(side: TokenSide) -> None:
    """Also where the person came from another issuer and is of no class of ours."""
    from app.domain.client_metadata import TOKEN_EXCHANGE
    from app.protocols.oauth.presented import ACCESS_TOKEN

    grant_types = ["authorization_code", TOKEN_EXCHANGE]
    party, user_id = side.client(scope=SCOPE, grant_types=grant_types), side.user(role="admin")
    token = side.tokens(party, user_id, SCOPE)["access_token"]
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        for grant in session.query(Grant).filter_by(user_id=user_id):
            grant.acr = ""
    form = {"grant_type": TOKEN_EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
    refused(call(side.http, side.post("/token", form, party).json["access_token"]))


def test_whom_the_tenant_demands_it_of_decides(services: Services, tenant: TenantContext, http: Http) -> None:
    """`authentication.mfa`: by role, of everybody, or of nobody."""
    at = TokenSide(services, tenant, http)
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(Role(name="auditor", permissions=["audit:read"]))
    party, user_id = at.client(scope=SCOPE), at.user(role="auditor")
    token = at.tokens(party, user_id, SCOPE)["access_token"]
    assert call(http, token).status_code == 200
    decide(services, tenant, authentication={"mfa": {"required": "all"}})
    refused(call(http, token))
    decide(services, tenant, authentication={"mfa": {"required": "roles", "roles": ["auditor"]}})
    refused(call(http, token))
    strong = at.tokens(party, user_id, SCOPE, **parties.TWO_FACTORS)["access_token"]
    assert call(http, strong).status_code == 200
    decide(services, tenant, authentication={"mfa": {"required": "none"}})
    assert call(http, token).status_code == 200
