"""What a token, or an answer in the browser, carries beyond the client it was meant for, and without its key."""

from typing import Any

import pytest

from app.domain.client_metadata import LEGACY_RESPONSE_TYPES, TOKEN_EXCHANGE, validate
from app.domain.models import Client
from app.domain.tenants import TenantContext
from app.kernel.errors import Problem
from app.protocols.oauth.presented import ACCESS_TOKEN, ID_TOKEN
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.banks import reasons
from tests.protocol.browserless import Person, new_person
from tests.protocol.parties import API, REDIRECT_URI, Party, new_client
from tests.protocol.prover import Prover
from tests.protocol.test_legacy_response_types import ALL, GRANTS, allow
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

WITH_TOKEN = [kind for kind in LEGACY_RESPONSE_TYPES if "token" in kind.split()]
BOUND = ["dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens"]


def exchanged(side: TokenSide, party: Party, token: str, kind: str = ACCESS_TOKEN, **options: Any) -> Any:
    form = {"grant_type": TOKEN_EXCHANGE, "subject_token": token, "subject_token_type": kind}
    return side.post("/token", form, party, **options)


def test_claims_one_client_asked_for_are_not_told_to_the_next(side: TokenSide) -> None:
    """OIDC Core section 5.5: `claims` is a request of the client that made it, and the person allowed that one."""
    asked = {"userinfo": {"email": None, "phone_number": None, "address": None}}
    own = side.client(scope="openid read", grant_types=["authorization_code", TOKEN_EXCHANGE])
    token = side.tokens(own, side.user(), "openid", claims_request=asked)["access_token"]
    assert {"email", "phone_number", "address"} <= side.userinfo(token).json.keys()
    other = side.client(
        grant_types=["client_credentials", TOKEN_EXCHANGE],
        redirect_uris=[],
        scope="openid",
        token_exchange={"impersonation": True, "subject_clients": ["*"]},
    )
    handed_on = exchanged(side, other, token).json["access_token"]
    assert side.userinfo(handed_on).json.keys() == {"sub"}
    assert "email" in side.userinfo(exchanged(side, own, token).json["access_token"]).json


def exchanging(side: TokenSide, **metadata: Any) -> Party:
    return side.client(
        scope="openid read offline_access",
        grant_types=["authorization_code", "refresh_token", TOKEN_EXCHANGE],
        **metadata,
    )


def test_an_id_token_does_not_rid_its_grant_of_the_key(side: TokenSide) -> None:
    """Whoever has the client's secret and an ID token, and not its key, gets no more than from the refresh token."""
    party, prover = exchanging(side), Prover(side.tenant.issuer)
    form = side.code(party, side.user(), "openid read", resources=(API, side.tenant.issuer)).form()
    found = side.post("/token", form, party, headers=prover.header()).json
    assert found["token_type"] == "DPoP"
    refused(exchanged(side, party, found["id_token"], ID_TOKEN), "invalid_request")
    assert reasons(side.services, side.tenant, "token.refused")[-1] == "exchange.unbound"
    bound = exchanged(side, party, found["id_token"], ID_TOKEN, headers=prover.header())
    assert bound.status_code == 200, bound.text
    assert side.read(bound.json["access_token"]).claims["cnf"] == {"jkt": prover.jkt}


def test_an_id_token_of_a_bearer_grant_is_exchanged_as_before(side: TokenSide) -> None:
    party = exchanging(side)
    found = side.tokens(party, side.user(), "openid read", resources=(API, side.tenant.issuer))
    assert exchanged(side, party, found["id_token"], ID_TOKEN).json["token_type"] == "Bearer"


@pytest.mark.parametrize("binding", BOUND)
@pytest.mark.parametrize("kind", WITH_TOKEN)
def test_no_registration_for_tokens_by_the_browser_that_are_bound(kind: str, binding: str) -> None:
    """RFC 9449 section 5, RFC 8705 section 3: there is no key to bind them to. An ID token is bound to none anyway."""
    said = {"redirect_uris": [REDIRECT_URI], "grant_types": GRANTS, binding: True}
    with pytest.raises(Problem, match="is bound to no key"):
        validate({**said, "response_types": ["code", kind]})
    validate({**said, "response_types": ["code", "code id_token", "id_token"]})


@pytest.mark.parametrize("binding", BOUND)
def test_nor_does_an_earlier_registration_get_them(
    services: Services, tenant: TenantContext, http: Http, binding: str
) -> None:
    new_person(services, tenant)
    allow(services, tenant)
    party = new_client(services, tenant, client_id="bound", response_types=ALL, grant_types=GRANTS)
    with services.tenancy.session(tenant.id, write=True) as session:
        row = session.query(Client).filter_by(client_id=party.client_id).one()
        row.metadata_ = {**row.metadata_, binding: True}
    services.versions.touch()
    person = Person(http)
    for kind in WITH_TOKEN:
        answer = person.through("bound", response_type=kind).parameters
        assert answer["error"] == "unauthorized_client", answer
        assert "access_token" not in answer
    assert set(reasons(services, tenant, "authorization.refused")) == {"client.response_type"}
    assert "id_token" in person.through("bound", response_type="code id_token").parameters
