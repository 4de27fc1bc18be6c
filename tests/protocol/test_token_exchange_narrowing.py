"""Token exchange: authorization details at each hop, and the key the result is bound to (RFC 8693 section 5; TX-04)."""

import json
import secrets
from typing import Any

import pytest

from app.domain.client_metadata import TOKEN_EXCHANGE
from app.domain.models import AuthorizationDetailsType
from app.protocols.oauth.presented import ACCESS_TOKEN
from tests.protocol.banks import reasons
from tests.protocol.parties import API, OTHER_API, Party
from tests.protocol.prover import Prover
from tests.protocol.test_rar import PAYMENT, SCHEMA, WORDS
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

OTHER = {**PAYMENT, "payee": "Somebody else"}


@pytest.fixture(scope="module")
def typed(side: TokenSide) -> TokenSide:
    """With a type of details that belongs to one API."""
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        session.add(AuthorizationDetailsType(type="payment", schema=SCHEMA, words=WORDS, resource=API))
    side.services.versions.touch()
    return side


def service(side: TokenSide, name: str, **metadata: Any) -> Party:
    return side.client(
        client_id=f"{name}-{secrets.token_hex(3)}",
        grant_types=["client_credentials", TOKEN_EXCHANGE],
        redirect_uris=[],
        scope="read write list",
        resource_server_for=[API],
        default_resources=[API],
        token_exchange={"delegation": True, "subject_clients": ["*"], "audiences": [OTHER_API]},
        **metadata,
    )


def exchange(
    side: TokenSide, party: Party, subject: str, actor: str = "", headers: Any = None, **more: Any
) -> Any:
    form = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN,
        "actor_token": actor or side.client_token(party, scope="read")["access_token"],
        "actor_token_type": ACCESS_TOKEN,
        **more,
    }
    return side.post("/token", form, party, headers=headers or {})


def details_of(side: TokenSide, answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    claims = side.read(answer.json["access_token"]).claims
    assert claims.get("authorization_details") == answer.json.get("authorization_details")
    return claims.get("authorization_details")


def test_details_only_shrink(typed: TokenSide) -> None:
    """Of two payments one may be handed on; another one may not, nor to another API."""
    side = typed
    types = {"authorization_details_types": ["payment"]}
    shop, till, bank = (
        side.client(scope="read", **types),
        service(side, "till", **types),
        service(side, "bank", **types),
    )
    own = side.client_token(
        shop, scope="read", resource=API, authorization_details=json.dumps([PAYMENT, OTHER])
    )["access_token"]
    assert details_of(side, exchange(side, till, own)) == [PAYMENT, OTHER]
    first = exchange(side, till, own, authorization_details=json.dumps([PAYMENT]))
    assert details_of(side, first) == [PAYMENT]
    narrowed = first.json["access_token"]
    assert details_of(side, exchange(side, bank, narrowed)) == [PAYMENT]
    more = exchange(side, bank, narrowed, authorization_details=json.dumps([OTHER]))
    refused(more, "invalid_authorization_details")
    assert reasons(side.services, side.tenant, "token.refused")[-1] == "details.exceeded"
    dearer = {**PAYMENT, "amount": {"value": "101", "currency": "EUR"}}
    refused(
        exchange(side, bank, narrowed, authorization_details=json.dumps([dearer])),
        "invalid_authorization_details",
    )
    assert details_of(side, exchange(side, bank, narrowed, audience=OTHER_API)) is None
    without = service(side, "without")
    assert details_of(side, exchange(side, without, narrowed)) is None


def bound(side: TokenSide, prover: Prover, party: Party) -> str:
    answer = side.post(
        "/token",
        {"grant_type": "client_credentials", "scope": "read", "resource": API},
        party,
        headers=prover.header(),
    )
    assert answer.json["token_type"] == "DPoP"
    return str(answer.json["access_token"])


def test_the_result_is_bound_to_the_actors_key(side: TokenSide) -> None:
    """Neither to nobody's nor to the subject's: who acts has to prove its own."""
    subjects, actors, nobodys = (Prover(side.tenant.issuer) for _ in range(3))
    till = service(side, "till")
    subject = bound(side, subjects, side.client(scope="read"))
    actor = bound(side, actors, till)
    answer = exchange(side, till, subject, actor, headers=actors.header())
    assert answer.status_code == 200, answer.text
    assert answer.json["token_type"] == "DPoP"
    assert side.read(answer.json["access_token"]).claims["cnf"] == {"jkt": actors.jkt}
    for headers, reason in (
        (None, "exchange.unbound"),
        (nobodys.header(), "exchange.key"),
        (subjects.header(), "exchange.key"),
    ):
        refused(exchange(side, till, subject, actor, headers=headers), "invalid_request")
        assert reasons(side.services, side.tenant, "token.refused")[-1] == reason


def test_a_certificate_bound_subject_is_rebound_too(side: TokenSide) -> None:
    """By a key of the actor's: bound it was, bound it stays."""
    from app.infra.state import Put
    from app.protocols.oauth import tokens as token_reader

    claims = dict(
        side.read(side.client_token(side.client(scope="read"), resource=API)["access_token"]).claims
    )
    opaque = secrets.token_urlsafe(32)
    claims |= {"cnf": {"x5t#S256": "x" * 43}, "jti": secrets.token_hex(4)}
    side.services.state.execute(
        Put(token_reader.look_up(opaque, side.tenant).key, json.dumps(claims).encode(), 300)
    )
    till, prover = service(side, "till"), Prover(side.tenant.issuer)
    refused(exchange(side, till, opaque), "invalid_request")
    answer = exchange(side, till, opaque, headers=prover.header())
    assert answer.status_code == 200, answer.text
    assert side.read(answer.json["access_token"]).claims["cnf"] == {"jkt": prover.jkt}
