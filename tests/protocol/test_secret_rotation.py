"""Rotating what clients authenticate with: two secrets live at the same time, and no request fails meanwhile."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select

from app import housekeeping
from app.domain.models import Client
from app.domain.tenants import TenantContext
from app.infra import jose
from app.kernel import clock
from tests.protocol.parties import Party, basic
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

CC = {"grant_type": "client_credentials", "scope": "read"}
_addresses = iter(range(1, 250))


def elsewhere() -> dict[str, Any]:
    return {"environ_base": {"REMOTE_ADDR": f"198.51.102.{next(_addresses)}"}}


def rotate(side: TokenSide, party: Party, grace: int) -> Party:
    """What `watchword client rotate-secret` does."""
    issued = side.services.client_secrets.issue()
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        row = session.scalars(select(Client).where(Client.client_id == party.client_id)).one()
        sealed = row.secret_sealed is not None
        side.services.client_secrets.retire(row, grace)
        if sealed:
            row.secret_sealed = side.services.client_secrets.seal(
                side.tenant.id, party.client_id, issued.secret
            )
        else:
            row.secret_hash = issued.stored
    side.services.versions.touch()
    return Party(party.client_id, issued.secret)


def asks(side: TokenSide, party: Party) -> Any:
    return side.post("/token", CC, headers=basic(party.client_id, party.secret), **elsewhere())


def test_both_secrets_work_until_the_grace_is_over(side: TokenSide) -> None:
    former = side.client()
    present = rotate(side, former, 3600)
    assert asks(side, former).status_code == asks(side, present).status_code == 200
    with time_machine.travel(clock.now() + timedelta(seconds=3601), tick=True):
        refused(asks(side, former), "invalid_client", 401)
        assert asks(side, present).status_code == 200


def test_there_are_two_at_most(side: TokenSide) -> None:
    first = side.client()
    second = rotate(side, first, 3600)
    third = rotate(side, second, 3600)
    refused(asks(side, first), "invalid_client", 401)
    assert asks(side, second).status_code == asks(side, third).status_code == 200


def test_without_a_grace_the_former_one_ends_at_once(side: TokenSide) -> None:
    former = side.client()
    present = rotate(side, former, 0)
    refused(asks(side, former), "invalid_client", 401)
    assert asks(side, present).status_code == 200


def test_secrets_that_sign_overlap_too(side: TokenSide) -> None:
    former = side.client(token_endpoint_auth_method="client_secret_jwt")
    present = rotate(side, former, 3600)

    def signed(party: Party) -> Any:
        from joserfc import jwt
        from joserfc.jwk import OctKey

        now = clock.timestamp(clock.now())
        claims = {
            "iss": party.client_id,
            "sub": party.client_id,
            "aud": side.tenant.issuer,
            "exp": now + 60,
            "jti": str(next(_addresses)),
        }
        assertion = jwt.encode(
            {"alg": "HS256"}, claims, OctKey.import_key(party.secret), algorithms=["HS256"]
        )
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        form = {**CC, "client_assertion_type": kind, "client_assertion": assertion}
        return side.post("/token", form, **elsewhere())

    assert signed(former).status_code == signed(present).status_code == 200
    refused(signed(Party(former.client_id, "x" * 43)), "invalid_client", 401)
    with time_machine.travel(clock.now() + timedelta(seconds=3601), tick=True):
        refused(signed(former), "invalid_client", 401)


class Alone:
    """A directory of one tenant: the others of the run keep their keys."""

    def __init__(self, tenant: TenantContext) -> None:
        self._tenant = tenant

    def all(self) -> list[TenantContext]:
        return [self._tenant]


def test_the_worker_forgets_former_secrets_and_rotates_keys_that_are_due(side: TokenSide) -> None:
    party = side.client()
    rotate(side, party, 60)
    services = dataclasses.replace(side.services, tenants=Alone(side.tenant))
    before = {key.alg: key.kid for key in side.services.keyring.list(side.tenant.id) if key.state == "next"}
    with time_machine.travel(clock.now() + timedelta(days=91), tick=True):
        housekeeping.keep_keys(services)
        kids = {k.alg: k.kid for k in side.services.keyring.list(side.tenant.id) if k.state == "current"}
        assert kids == before
        housekeeping.keep_keys(services)
        again = {k.alg: k.kid for k in side.services.keyring.list(side.tenant.id) if k.state == "current"}
        assert again == before, "once"
    with side.services.tenancy.session(side.tenant.id) as session:
        row = session.scalars(select(Client).where(Client.client_id == party.client_id)).one()
        assert (row.former_secret_hash, row.former_secret_expires_at) == (None, None)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"])
def test_private_key_jwt_with_every_algorithm(side: TokenSide, alg: str) -> None:
    """Every profile's; a key published as `EdDSA` signs as `Ed25519` too (RFC 9864)."""
    from app.infra.signing import SigningKeyHandle

    key = SigningKeyHandle.generate(alg)
    public = {k: v for k, v in key.public_jwk.items() if k != "alg"}
    party = side.client(token_endpoint_auth_method="private_key_jwt", jwks={"keys": [public]})
    now = clock.timestamp(clock.now())
    claims = {"iss": party.client_id, "sub": party.client_id, "aud": side.tenant.issuer, "exp": now + 60}
    assertion = jose.sign({**claims, "jti": alg}, key, "JWT")
    assert jose.unverified(assertion).header["alg"] == alg
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    form = {**CC, "client_assertion_type": kind, "client_assertion": assertion}
    assert side.post("/token", form).status_code == 200
