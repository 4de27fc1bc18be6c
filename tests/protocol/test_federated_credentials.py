"""Clients that authenticate with a token of a trusted issuer in place of a secret (RFC 7523 section 2.2)."""

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from app.kernel import clock
from tests.protocol.parties import Party
from tests.protocol.test_token_exchange import events
from tests.protocol.token_side import TokenSide, refused, side
from tests.protocol.trusted import Issuer

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

__all__ = ["side"]

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
POD = "system:serviceaccount:prod:orders"
CLUSTER = Issuer("https://cluster.federated.example", "RS256")
CI = Issuer("https://ci.federated.example")


@pytest.fixture(scope="module")
def pod(side: TokenSide) -> Party:
    """A service without a secret: its cluster says who it is; so does its CI system, for one environment."""
    CLUSTER.trusted_by(side.services, side.tenant, single_use=False)
    CI.trusted_by(side.services, side.tenant)
    return side.client(
        client_id=f"pod-{secrets.token_hex(3)}",
        token_endpoint_auth_method="private_key_jwt",
        grant_types=["client_credentials"],
        redirect_uris=[],
        scope="read",
        federated_credentials=[
            {"issuer": CLUSTER.issuer, "subject": POD, "audience": "https://watchword.example"},
            {"issuer": CI.issuer, "subject": "repo:example/app:x", "claims": {"environment": "production"}},
        ],
    )


def ask(side: TokenSide, assertion: str, client_id: str | None, **more: str) -> "TestResponse":
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": TYPE,
        "client_assertion": assertion,
        **({"client_id": client_id} if client_id else {}),
        **more,
    }
    return side.http.post("/token", form=form)


def of_pod(**claims: Any) -> str:
    return CLUSTER.token("https://watchword.example", **{"sub": POD, **claims})


def of_job(side: TokenSide, **claims: Any) -> str:
    said = {"sub": "repo:example/app:x", "environment": "production", **claims}
    return CI.token(side.tenant.issuer, **said)


def test_a_cluster_vouches_for_its_pod_as_often_as_it_asks(side: TokenSide, pod: Party) -> None:
    """The token lies in a file and is the same for an hour."""
    token = of_pod()
    for _ in range(2):
        answer = ask(side, token, pod.client_id)
        assert answer.status_code == 200, answer.text
        assert side.read(answer.json["access_token"]).claims["sub"] == pod.client_id


def test_a_ci_token_is_good_once_and_for_its_environment(side: TokenSide, pod: Party) -> None:
    token = of_job(side)
    assert ask(side, token, pod.client_id).status_code == 200
    refused(ask(side, token, pod.client_id), "invalid_client", 401)


def _now() -> int:
    return clock.timestamp(clock.now())


NEGATIVES: dict[str, tuple[Any, str]] = {
    "another subject": (lambda s: of_pod(sub="system:serviceaccount:prod:else"), "client.federation"),
    "another environment": (lambda s: of_job(s, environment="test"), "client.federation"),
    "no environment": (lambda s: of_job(s, environment=None), "client.federation"),
    "the audience of the other credential": (
        lambda s: CLUSTER.token(s.tenant.issuer, sub=POD),
        "assertion.audience",
    ),
    "another audience": (lambda s: CLUSTER.token("https://else.example", sub=POD), "assertion.audience"),
    "expired": (lambda s: of_pod(exp=_now() - 60), "assertion.times"),
    "living too long": (lambda s: of_pod(exp=_now() + 864000), "assertion.times"),
    "not yet valid": (lambda s: of_pod(nbf=_now() + 120), "assertion.times"),
    "another key": (lambda s: of_pod(key=CLUSTER.new_key("k1")), "assertion.invalid"),
    "a type for something else": (lambda s: of_pod(header={"typ": "logout+jwt"}), "assertion.invalid"),
    "an issuer nobody registered": (
        lambda s: Issuer("https://else.example").token(s.tenant.issuer, sub=POD),
        "client.federation",
    ),
}


@pytest.mark.parametrize("case", NEGATIVES)
def test_who_is_not_the_client(side: TokenSide, pod: Party, case: str) -> None:
    """invalid_client in one text, no fault of ours, and the reason on record."""
    make, reason = NEGATIVES[case]
    before = {event["id"] for event in events(side, "client.authentication.fail")}
    answer = ask(side, make(side), pod.client_id)
    refused(answer, "invalid_client", 401)
    assert answer.json["error_description"] == "Client authentication failed."
    new = [e["reason"] for e in events(side, "client.authentication.fail") if e["id"] not in before]
    assert new == [reason]


def test_the_request_has_to_name_the_client(side: TokenSide, pod: Party) -> None:
    """RFC 7521 section 4.2: the token names the pod, not the client."""
    refused(ask(side, of_pod(), None), "invalid_client", 401)


def test_a_client_without_such_credentials_has_none(side: TokenSide, pod: Party) -> None:
    plain = side.client(scope="read")
    refused(ask(side, of_pod(), plain.client_id), "invalid_client", 401)


def test_trust_withdrawn_is_trust_gone(side: TokenSide, pod: Party) -> None:
    """Within a second, as every change of configuration."""
    from sqlalchemy import select

    from app.domain.models import TrustedIssuer

    gone = Issuer("https://gone.example")
    gone.trusted_by(side.services, side.tenant, single_use=False)
    party = side.client(
        token_endpoint_auth_method="private_key_jwt",
        grant_types=["client_credentials"],
        redirect_uris=[],
        scope="read",
        federated_credentials=[{"issuer": gone.issuer, "subject": "x"}],
    )
    token = gone.token(side.tenant.issuer, sub="x")
    assert ask(side, token, party.client_id).status_code == 200
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        session.delete(session.scalar(select(TrustedIssuer).where(TrustedIssuer.issuer == gone.issuer)))
    side.services.versions.touch()
    refused(ask(side, token, party.client_id), "invalid_client", 401)


@pytest.mark.parametrize("profile", ["fapi2-security", "fapi2-message-signing"])
def test_a_profile_may_want_the_clients_own_key(side: TokenSide, profile: str) -> None:
    """FAPI 2.0 section 5.3.2.1: private_key_jwt or mutual TLS, and no other token in their place."""
    bank = side.client(
        token_endpoint_auth_method="private_key_jwt",
        grant_types=["client_credentials"],
        redirect_uris=[],
        scope="read",
        profile=profile,
        federated_credentials=[{"issuer": CLUSTER.issuer, "subject": POD, "audience": "https://k8s.example"}],
    )
    refused(ask(side, CLUSTER.token("https://k8s.example", sub=POD), bank.client_id), "invalid_client", 401)
    assert events(side, "client.authentication.fail")[-1]["reason"] == "client.method_not_allowed"
