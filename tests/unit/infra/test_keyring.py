"""Signing keys through their life, on the database of the run."""

import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

import pytest
import time_machine
from sqlalchemy import select

from app.domain.models import Client, OutboxMessage
from app.infra import jose, rewrap
from app.infra.cache import ConfigCache
from app.infra.jose import SIGNING_ALGORITHMS, STANDING_ALGORITHMS, InvalidToken
from app.infra.key_tables import SigningKey
from app.infra.keyring import PUBLISHED_SECONDS, RETIRED_SECONDS, Keyring
from app.infra.rewrap import SealedColumn, SealedMember
from app.infra.tenancy import Tenancy
from app.infra.vault import DeploymentSecrets, SealError, Vault
from app.kernel import clock
from app.kernel.errors import Problem

T = TypeVar("T")

KEY = os.urandom(32)


class Versions:
    """Asks the database each time: what a process sees once it has polled."""

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def of(self, tenant_id: str) -> int:
        return self._tenancy.config_versions()[tenant_id]

    fresh = of


@pytest.fixture
def vault() -> Vault:
    return Vault({"a": KEY})


def process(tenancy: Tenancy, vault: Vault, **options: Any) -> Keyring:
    """A keyring as another process would have it."""
    return Keyring(tenancy, vault, ConfigCache(Versions(tenancy)), **options)


@pytest.fixture
def keyring(keys_tenancy: Tenancy, vault: Vault) -> Keyring:
    return process(keys_tenancy, vault)


def states(keyring: Keyring, tenant: str) -> Counter[tuple[str, str]]:
    return Counter((key.alg, key.state) for key in keyring.list(tenant))


COMPLETE = Counter({(alg, state): 1 for alg in STANDING_ALGORITHMS for state in ("current", "next")})


def verify(keyring: Keyring, tenant: str, token: str) -> dict[str, Any]:
    return jose.verify(token, keyring.verification_keys(tenant), algorithms=SIGNING_ALGORITHMS).claims


def test_a_tenant_gets_its_keys_on_first_use(keyring: Keyring, keys_tenant: str) -> None:
    assert states(keyring, keys_tenant) == {}
    token = jose.sign({"sub": "alice"}, keyring.current(keys_tenant, "ES256"), "JWT")
    assert verify(keyring, keys_tenant, token) == {"sub": "alice"}
    assert states(keyring, keys_tenant) == COMPLETE
    keyring.ensure(keys_tenant)
    assert states(keyring, keys_tenant) == COMPLETE


def test_every_algorithm_signs_with_a_key_of_its_own(keyring: Keyring, keys_tenant: str) -> None:
    for alg in SIGNING_ALGORITHMS:
        handle = keyring.current(keys_tenant, alg)
        token = jose.sign({"a": alg}, handle, "JWT")
        assert verify(keyring, keys_tenant, token) == {"a": alg}
        assert jose.unverified(token).header["alg"] == alg
        (published,) = (k for k in keyring.published(keys_tenant) if k["kid"] == handle.kid)
        assert published["alg"] == alg
        assert keyring.current(keys_tenant, alg) is handle, "opened once"
    with pytest.raises(Problem) as refused:
        keyring.current(keys_tenant, "HS256")
    assert refused.value.code == "keys.algorithm"


def test_keys_of_other_algorithms_are_made_for_the_first_who_asks(keyring: Keyring, keys_tenant: str) -> None:
    keyring.ensure(keys_tenant)
    assert states(keyring, keys_tenant) == COMPLETE
    keyring.current(keys_tenant, "PS256")
    wanted = COMPLETE + Counter({("PS256", "current"): 1, ("PS256", "next"): 1})
    assert states(keyring, keys_tenant) == wanted
    before = keyring.current(keys_tenant, "PS256").kid
    keyring.rotate(keys_tenant)
    assert keyring.current(keys_tenant, "PS256").kid != before, "with all others"


def test_a_scheduled_rotation_waits_for_its_day_and_for_the_next_key_to_be_known(
    keyring: Keyring, keys_tenant: str
) -> None:
    keyring.ensure(keys_tenant)
    following = {k.alg: k.kid for k in keyring.list(keys_tenant) if k.state == "next"}
    with time_machine.travel(clock.after(89 * 86_400), tick=False):
        assert keyring.rotate_due(keys_tenant, 90) == {}
    with time_machine.travel(clock.after(90 * 86_400 + 60), tick=False):
        assert keyring.rotate_due(keys_tenant, 90) == following
        assert {alg: keyring.current(keys_tenant, alg).kid for alg in following} == following
        assert keyring.rotate_due(keys_tenant, 90) == {}, "once"
        assert keyring.rotate_due(keys_tenant, 0) == {}, "nobody knows the next keys yet"
    with time_machine.travel(clock.after(90 * 86_400 + 60 + PUBLISHED_SECONDS), tick=False):
        assert keyring.rotate_due(keys_tenant, 90) == {}, "not due"
        assert set(keyring.rotate_due(keys_tenant, 0)) == set(following)


def test_workers_that_find_a_rotation_due_together_make_one(
    keys_tenancy: Tenancy, vault: Vault, keyring: Keyring, keys_tenant: str
) -> None:
    keyring.ensure(keys_tenant)
    with time_machine.travel(clock.after(91 * 86_400), tick=False):
        done = in_parallel(4, lambda _: process(keys_tenancy, vault).rotate_due(keys_tenant, 90))
    assert sorted(alg for each in done for alg in each) == sorted(STANDING_ALGORITHMS)
    retired = Counter({(alg, "retired"): 1 for alg in STANDING_ALGORITHMS})
    assert states(keyring, keys_tenant) == COMPLETE + retired


def test_the_jwks_holds_public_keys_with_kid_alg_and_use(keyring: Keyring, keys_tenant: str) -> None:
    keyring.ensure(keys_tenant)
    document = keyring.jwks(keys_tenant)
    keys = json.loads(document.body)["keys"]
    assert len(keys) == len({key["kid"] for key in keys}) == 6
    assert sorted(key["alg"] for key in keys) == sorted(STANDING_ALGORITHMS * 2)
    for key in keys:
        assert key["use"] == "sig"
        assert key["kid"] == jose.thumbprint(key)
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key)
    assert list(keyring.published(keys_tenant)) == keys
    assert document.etag.startswith('"')
    assert keyring.jwks(keys_tenant) is document, "made once"


def test_private_keys_lie_sealed_in_their_own_row(
    keyring: Keyring, keys_tenancy: Tenancy, keys_tenant: str
) -> None:
    current = keyring.current(keys_tenant, "ES256")
    with keys_tenancy.session(keys_tenant, write=True) as session:
        rows = session.scalars(select(SigningKey).where(SigningKey.alg == "ES256")).all()
        assert not any(current.to_der()[-32:] in row.private_sealed for row in rows)
        first, second = rows
        first.private_sealed, second.private_sealed = second.private_sealed, first.private_sealed
    with pytest.raises(SealError):
        process(keys_tenancy, Vault({"a": KEY})).current(keys_tenant, "ES256")


def test_rotation_moves_every_key_one_step(keyring: Keyring, keys_tenant: str) -> None:
    keyring.ensure(keys_tenant)
    before = {(key.alg, key.state): key.kid for key in keyring.list(keys_tenant)}
    etag = keyring.jwks(keys_tenant).etag
    tokens = [jose.sign({"a": alg}, keyring.current(keys_tenant, alg), "JWT") for alg in STANDING_ALGORITHMS]
    keyring.rotate(keys_tenant)
    after = {(key.alg, key.state): key for key in keyring.list(keys_tenant)}
    for alg in STANDING_ALGORITHMS:
        assert after[alg, "retired"].kid == before[alg, "current"]
        assert after[alg, "current"].kid == before[alg, "next"] == keyring.current(keys_tenant, alg).kid
        assert after[alg, "next"].kid not in before.values()
        assert after[alg, "retired"].retired_at is not None
        assert after[alg, "current"].activated_at is not None
    assert len(keyring.published(keys_tenant)) == 9
    assert keyring.jwks(keys_tenant).etag != etag
    for token in tokens:
        assert verify(keyring, keys_tenant, token), "what a retired key signed still verifies"


def test_one_algorithm_may_rotate_alone(keyring: Keyring, keys_tenant: str) -> None:
    keyring.ensure(keys_tenant)
    rsa = keyring.current(keys_tenant, "RS256").kid
    keyring.rotate(keys_tenant, "EdDSA")
    assert keyring.current(keys_tenant, "RS256").kid == rsa
    assert states(keyring, keys_tenant) == COMPLETE + Counter({("EdDSA", "retired"): 1})
    with pytest.raises(Problem) as refused:
        keyring.rotate(keys_tenant, "HS256")
    assert refused.value.code == "keys.algorithm"


def test_a_retired_private_key_is_gone(keyring: Keyring, keys_tenancy: Tenancy, keys_tenant: str) -> None:
    keyring.rotate(keys_tenant, "ES256")
    with keys_tenancy.session(keys_tenant) as session:
        rows = session.scalars(select(SigningKey).where(SigningKey.state == "retired")).all()
    assert [row.private_sealed for row in rows] == [b""]


def test_another_process_sees_a_rotation(
    keyring: Keyring, keys_tenancy: Tenancy, vault: Vault, keys_tenant: str
) -> None:
    other = process(keys_tenancy, vault)
    old = other.current(keys_tenant, "ES256").kid
    assert keyring.current(keys_tenant, "ES256").kid == old
    keyring.rotate(keys_tenant, "ES256")
    assert other.current(keys_tenant, "ES256").kid == keyring.current(keys_tenant, "ES256").kid != old


def test_revoking_the_current_key_lets_the_next_take_over(keyring: Keyring, keys_tenant: str) -> None:
    """Contracts 6: gone from the JWKS at once, tokens under it refused by us."""
    handle = keyring.current(keys_tenant, "ES256")
    token = jose.sign({"sub": "alice"}, handle, "JWT")
    coming = next(k.kid for k in keyring.list(keys_tenant) if (k.alg, k.state) == ("ES256", "next"))
    keyring.revoke(keys_tenant, handle.kid)
    assert handle.kid not in keyring.jwks(keys_tenant).body.decode()
    with pytest.raises(InvalidToken) as refused:
        verify(keyring, keys_tenant, token)
    assert refused.value.code == "token.unknown_key"
    assert keyring.is_revoked(keys_tenant, handle.kid)
    assert not keyring.is_revoked(keys_tenant, coming)
    assert keyring.current(keys_tenant, "ES256").kid == coming
    assert states(keyring, keys_tenant) == COMPLETE + Counter({("ES256", "revoked"): 1})
    keyring.revoke(keys_tenant, handle.kid)
    assert states(keyring, keys_tenant)["ES256", "revoked"] == 1


def test_revoking_a_next_and_a_retired_key(keyring: Keyring, keys_tenant: str) -> None:
    keyring.rotate(keys_tenant, "ES256")
    current = keyring.current(keys_tenant, "ES256").kid
    for state in ("next", "retired"):
        kid = next(k.kid for k in keyring.list(keys_tenant) if (k.alg, k.state) == ("ES256", state))
        keyring.revoke(keys_tenant, kid)
        assert kid not in keyring.jwks(keys_tenant).body.decode()
    assert keyring.current(keys_tenant, "ES256").kid == current
    assert states(keyring, keys_tenant) == COMPLETE + Counter({("ES256", "revoked"): 2})


def test_an_unknown_or_foreign_key_is_not_revoked(
    keyring: Keyring, keys_tenant: str, new_keys_tenant: Callable[[], str]
) -> None:
    keyring.ensure(keys_tenant)
    stranger = keyring.current(new_keys_tenant(), "ES256").kid
    for kid in ("nobody", stranger):
        with pytest.raises(Problem) as refused:
            keyring.revoke(keys_tenant, kid)
        assert (refused.value.code, refused.value.status) == ("key.unknown", 404)


def test_tenants_have_keys_of_their_own(
    keyring: Keyring, keys_tenant: str, new_keys_tenant: Callable[[], str]
) -> None:
    other = new_keys_tenant()
    token = jose.sign({"sub": "alice"}, keyring.current(keys_tenant, "ES256"), "JWT")
    with pytest.raises(InvalidToken):
        verify(keyring, other, token)
    mine, theirs = ({k["kid"] for k in keyring.published(t)} for t in (keys_tenant, other))
    assert not mine & theirs


def test_retired_and_revoked_keys_expire(keyring: Keyring, keys_tenant: str) -> None:
    keyring.rotate(keys_tenant, "ES256")
    keyring.revoke(keys_tenant, keyring.current(keys_tenant, "EdDSA").kid)
    kept = states(keyring, keys_tenant)
    with time_machine.travel(clock.now() + timedelta(seconds=RETIRED_SECONDS - 60), tick=True):
        assert keyring.expire_retired(keys_tenant) == 0
        assert states(keyring, keys_tenant) == kept
    with time_machine.travel(clock.now() + timedelta(seconds=RETIRED_SECONDS + 60), tick=True):
        assert keyring.expire_retired(keys_tenant) == 2
        assert keyring.expire_retired(keys_tenant) == 0
    assert states(keyring, keys_tenant) == COMPLETE


def in_parallel(count: int, work: Callable[[int], T]) -> list[T | Problem]:
    barrier = threading.Barrier(count)

    def one(number: int) -> T | Problem:
        barrier.wait(30)
        try:
            return work(number)
        except Problem as refused:
            return refused

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_processes_that_race_to_make_keys_agree(
    keys_tenancy: Tenancy, vault: Vault, keys_tenant: str
) -> None:
    rings = [process(keys_tenancy, vault) for _ in range(4)]
    kids = in_parallel(4, lambda number: rings[number].current(keys_tenant, "ES256").kid)
    assert len(set(kids)) == 1
    assert states(rings[0], keys_tenant) == COMPLETE


def test_rotations_that_race_leave_one_key_per_state(
    keys_tenancy: Tenancy, vault: Vault, keys_tenant: str
) -> None:
    rings = [process(keys_tenancy, vault) for _ in range(4)]
    rings[0].ensure(keys_tenant)
    outcomes = in_parallel(4, lambda number: rings[number].rotate(keys_tenant, "ES256"))
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(r, Problem) and r.code == "keys.conflict" for r in refused)
    done = states(rings[0], keys_tenant)
    assert done["ES256", "retired"] == 4 - len(refused) >= 1
    assert done - Counter({("ES256", "retired"): 4}) == COMPLETE


def test_each_write_is_told(keys_tenancy: Tenancy, vault: Vault, keys_tenant: str) -> None:
    told: list[int] = []
    keyring = process(keys_tenancy, vault, on_change=lambda: told.append(1))
    keyring.ensure(keys_tenant)
    keyring.ensure(keys_tenant)
    keyring.rotate(keys_tenant, "ES256")
    keyring.revoke(keys_tenant, keyring.current(keys_tenant, "ES256").kid)
    assert len(told) == 3


def test_rewrapping_lets_an_old_master_key_go(
    keys_tenancy: Tenancy, vault: Vault, keys_tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing keys, deployment secrets, client secrets and waiting mail; once it is done, the old key is not needed."""
    monkeypatch.setattr(rewrap, "BATCH_ROWS", 2)
    keyring = process(keys_tenancy, vault)
    kid, pepper = keyring.current(keys_tenant, "ES256").kid, DeploymentSecrets(keys_tenancy, vault).pepper()
    keyring.rotate(keys_tenant, "RS256")  # a retired key has nothing sealed
    client = {"tenant": keys_tenant, "table": "clients", "column": "secret_sealed"}
    mail = {"tenant": keys_tenant, "table": "outbox", "column": "payload"}
    with keys_tenancy.session(keys_tenant, write=True) as session:
        for name in "abcde":
            sealed = vault.seal("client-secret", name.encode(), **client, row=name)
            session.add(Client(client_id=name, secret_sealed=sealed))
            payload = {
                "id": f"m{name}",
                "sealed": encoded(vault.seal("mail", b"hello", **mail, row=f"m{name}")),
            }
            session.add(OutboxMessage(topic="mail", subject="s", payload=payload))
        session.add(Client(client_id="f", secret_hash="x"))
        session.add(OutboxMessage(topic="audit", subject="s", payload={"sealed": "not an envelope"}))
    columns = (
        SealedColumn("client-secret", Client, "secret_sealed", "client_id"),
        SealedMember("mail", OutboxMessage, "payload", "id", "sealed", "id", ("topic", "mail")),
    )
    new = os.urandom(32)
    both = process(keys_tenancy, Vault({"b": new, "a": KEY}), sealed=columns)
    assert both.rewrap() == 6 + 5 + 5 + 1
    assert both.rewrap() == 0
    alone = Vault({"b": new})
    assert process(keys_tenancy, alone).current(keys_tenant, "ES256").kid == kid
    assert DeploymentSecrets(keys_tenancy, alone).pepper() == pepper
    with keys_tenancy.session(keys_tenant) as session:
        rows = session.scalars(select(Client).where(Client.secret_sealed.is_not(None))).all()
        opened = [
            alone.open("client-secret", r.secret_sealed or b"", **client, row=r.client_id) for r in rows
        ]
        assert sorted(opened) == [b"a", b"b", b"c", b"d", b"e"]
        for message in session.scalars(select(OutboxMessage).where(OutboxMessage.topic == "mail")):
            sealed = decoded(message.payload["sealed"])
            assert alone.open("mail", sealed, **mail, row=message.payload["id"]) == b"hello"


def encoded(data: bytes) -> str:
    return rewrap.b64encode(data).decode("ascii")


def decoded(text: str) -> bytes:
    return rewrap.b64decode(text)
