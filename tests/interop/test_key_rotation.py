"""Rotating and revoking signing keys of a running server: every process of it goes along, and no token fails by it."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.infra import jose
from app.infra.key_tables import SigningKey
from tests.interop import deployment
from tests.live import LiveServer
from tests.servers import wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(180),
    pytest.mark.parametrize("live", ["granian"], indirect=True),
]

MACHINE = {
    "client_id": "machine",
    "client_secret": deployment.SECRET,
    "token_endpoint_auth_method": "client_secret_post",
    "grant_types": ["client_credentials"],
    "scope": "read",
}
TRIES = 12
"""Enough that each of two workers answers some."""


@pytest.fixture(scope="module")
def running(server: LiveServer) -> LiveServer:
    server.apply(
        {"tenants": [{"slug": "default", "clients": [MACHINE, MACHINE | {"client_id": "rotating"}]}]}
    )
    return server


def token(server: LiveServer) -> str:
    credentials = {"client_id": "machine", "client_secret": deployment.SECRET}
    answer = server.post("/token", data={"grant_type": "client_credentials", **credentials})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def active(server: LiveServer, value: str) -> set[bool]:
    """What the workers say of a token, asked often enough to hear both."""
    credentials = {"client_id": "machine", "client_secret": deployment.SECRET}

    def ask(_: int) -> bool:
        # Each over a connection of its own, so that both workers get some.
        answer = server.post(
            "/introspect", data={"token": value, **credentials}, headers={"Connection": "close"}
        )
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["active"])

    with ThreadPoolExecutor(4) as pool:
        return set(pool.map(ask, range(TRIES)))


def signing(server: LiveServer) -> set[str]:
    with ThreadPoolExecutor(4) as pool:
        tokens = pool.map(lambda _: token(server), range(TRIES))
        return {jose.unverified(each).header["kid"] for each in tokens}


def published(server: LiveServer) -> set[str]:
    return {key["kid"] for key in server.get("/jwks").json()["keys"]}


def test_a_rotation_reaches_every_worker_and_fails_nobody(running: LiveServer) -> None:
    """The new key was published before, the old one stays until its tokens are gone."""
    before, old = token(running), signing(running)
    assert len(old) == 1
    known = published(running)
    running.watchword("keys", "rotate", "--alg", "ES256")
    wait_until(lambda: signing(running).isdisjoint(old), seconds=5, what="every worker signing anew")
    assert signing(running) <= known, "relying parties knew it already"
    assert old <= published(running)
    assert active(running, before) == {True}


def test_a_rotation_by_schedule_reaches_every_worker(running: LiveServer) -> None:
    """Ninety days on, the background worker's job: each key one step, on record, and no token fails by it."""
    from app import housekeeping, wiring

    before, old, known = token(running), signing(running), published(running)
    services = wiring.build(running.settings)
    try:
        tenant = services.tenants.default()
        with services.tenancy.session(tenant.id, write=True) as session:
            for row in session.scalars(select(SigningKey)):
                row.created_at -= timedelta(days=91)
                row.activated_at = row.activated_at and row.activated_at - timedelta(days=91)
        housekeeping.keep_keys(services)
        housekeeping.keep_keys(services)
    finally:
        services.close()
    wait_until(lambda: signing(running).isdisjoint(old), seconds=5, what="every worker signing anew")
    assert signing(running) <= known, "relying parties knew it already"
    assert old <= published(running)
    assert active(running, before) == {True}

    def on_record() -> set[str]:
        told = [
            json.loads(line)
            for line in running.watchword("audit", "tail", "-n", "1000", "--json").splitlines()
        ]
        found = [event["data"] for event in told if event["event"] == "key.rotated"]
        return {data["algorithm"] for data in found if data.get("via") == "schedule"}

    wait_until(lambda: on_record() >= {"ES256", "RS256", "EdDSA"}, seconds=10, what="the record of it")


def test_a_revoked_key_is_gone_in_every_worker(running: LiveServer) -> None:
    before = token(running)
    kid = jose.unverified(before).header["kid"]
    running.watchword("keys", "revoke", "--", kid)
    wait_until(lambda: kid not in published(running), seconds=5, what="the key gone from the JWKS")
    wait_until(lambda: active(running, before) == {False}, seconds=5, what="every worker refusing it")
    assert kid not in signing(running)


def test_a_rotated_secret_fails_no_request(running: LiveServer) -> None:
    """`watchword client rotate-secret`: both work in every worker while the grace lasts."""
    shown = running.watchword("client", "rotate-secret", "rotating", "--grace", "1h").strip()

    def asks(secret: str, tries: int = TRIES) -> set[int]:
        form = {"grant_type": "client_credentials", "client_id": "rotating", "client_secret": secret}
        return {running.post("/token", data=form).status_code for _ in range(tries)}

    wait_until(lambda: 200 in asks(shown, 1), seconds=5, what="a worker knowing the new secret")
    wait_until(lambda: asks(shown) == {200}, seconds=5, what="every worker knowing the new secret")
    assert asks(deployment.SECRET) == {200}
    running.watchword("client", "rotate-secret", "rotating", "--grace", "0")
    wait_until(lambda: asks(deployment.SECRET, 3) <= {401, 429}, seconds=5, what="the first secret's end")
