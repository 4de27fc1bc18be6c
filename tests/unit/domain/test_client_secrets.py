"""Client secrets: generated, chosen, sealed (contracts 7)."""

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain import client_secrets
from app.domain.client_secrets import ClientSecrets
from app.infra import jose
from app.infra.passwords import Passwords, Verdict
from app.infra.vault import SealError, Vault
from app.kernel.errors import Problem, Unavailable

PEPPER = os.urandom(32)
CHOSEN = "k7Jr0uQ2m5vX8zB1nC4dF6hL9pS3tW0y"


class CountingPasswords(Passwords):
    """The real thing, counting what it is asked."""

    def __init__(self) -> None:
        super().__init__(2)
        self.verified = 0

    def verify(self, password: str, stored: str) -> Verdict:
        self.verified += 1
        return super().verify(password, stored)


@pytest.fixture
def passwords() -> CountingPasswords:
    return CountingPasswords()


@pytest.fixture
def make(passwords: CountingPasswords) -> Callable[..., ClientSecrets]:
    vault = Vault({"a": os.urandom(32)})
    return lambda *, loopback=False, pepper=PEPPER: ClientSecrets(
        lambda: pepper, passwords, vault, loopback=loopback
    )


@pytest.fixture
def secrets(make: Callable[..., ClientSecrets]) -> ClientSecrets:
    return make()


def test_a_generated_secret_has_256_bits_and_is_not_stored(secrets: ClientSecrets) -> None:
    issued = secrets.issue()
    assert len(issued.secret) == 43
    assert issued.stored.startswith("hmac-sha256:")
    assert issued.secret not in issued.stored
    assert secrets.verify(issued.secret, issued.stored)
    assert secrets.issue().secret != issued.secret


def test_the_keyed_hash_depends_on_the_pepper(make: Callable[..., ClientSecrets]) -> None:
    issued = make().issue()
    assert not make(pepper=os.urandom(32)).verify(issued.secret, issued.stored)


def test_a_wrong_secret_and_a_client_without_one_are_refused(secrets: ClientSecrets) -> None:
    issued = secrets.issue()
    for presented in ("", "x", issued.secret + "x", issued.secret[:-1], issued.stored, "\ud800", "é", "\0"):
        assert not secrets.verify(presented, issued.stored)
        assert not secrets.verify(presented, None)
    assert not secrets.verify(secrets._dummy, None)
    assert not secrets.verify(issued.secret, None)


def test_a_stored_value_is_not_a_secret(secrets: ClientSecrets) -> None:
    stored = secrets.choose(CHOSEN)
    assert not secrets.verify(stored, stored)
    assert not secrets.verify(CHOSEN, "")
    assert not secrets.verify(CHOSEN, "plain:" + CHOSEN)
    assert not secrets.verify(CHOSEN, CHOSEN)


def test_a_chosen_secret_is_hashed_slowly_once_per_process(
    make: Callable[..., ClientSecrets], passwords: CountingPasswords
) -> None:
    secrets = make()
    stored = secrets.choose(CHOSEN)
    assert stored.startswith("$argon2id$")
    for _ in range(10):
        assert secrets.verify(CHOSEN, stored)
    assert passwords.verified == 1
    assert make().verify(CHOSEN, stored), "another process has a memo of its own"
    assert passwords.verified == 2


def test_wrong_guesses_are_never_remembered(secrets: ClientSecrets, passwords: CountingPasswords) -> None:
    stored = secrets.choose(CHOSEN)
    for _ in range(3):
        assert not secrets.verify(CHOSEN[:-1] + "z", stored)
    assert passwords.verified == 3
    assert not secrets._memo._right


def test_a_rotated_secret_is_not_accepted_from_memory(secrets: ClientSecrets) -> None:
    old = secrets.choose(CHOSEN)
    assert secrets.verify(CHOSEN, old)
    new = secrets.choose(CHOSEN[::-1])
    assert not secrets.verify(CHOSEN, new)
    assert secrets.verify(CHOSEN[::-1], new)


def test_the_memo_holds_no_secret_and_is_bounded(
    secrets: ClientSecrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets._memo, "_entries", 2)
    stored = secrets.choose(CHOSEN)
    for number in range(5):
        secrets._memo.asked_once(CHOSEN + str(number), stored, lambda: True)
    assert len(secrets._memo._right) == 2
    assert all(isinstance(digest, bytes) and len(digest) == 32 for digest in secrets._memo._right)
    assert CHOSEN.encode() not in b"".join(secrets._memo._right)


def test_repeated_checks_are_cheap(secrets: ClientSecrets) -> None:
    """Aimed at under 10 microseconds; the bound leaves room for a loaded machine."""
    issued, chosen = secrets.issue(), secrets.choose(CHOSEN)
    for presented, stored in ((issued.secret, issued.stored), (CHOSEN, chosen)):
        assert secrets.verify(presented, stored)
        rounds = []
        for _ in range(9):
            start = time.thread_time()
            for _ in range(200):
                secrets.verify(presented, stored)
            rounds.append((time.thread_time() - start) / 200)
        assert statistics.median(rounds) < 50e-6


@pytest.mark.parametrize("secret", ["short", "x" * 31])
def test_a_short_chosen_secret_is_for_loopback_only(make: Callable[..., ClientSecrets], secret: str) -> None:
    with pytest.raises(Problem) as refused:
        make().choose(secret)
    assert refused.value.code == "client.secret_weak"
    assert secret not in refused.value.public
    developer = make(loopback=True)
    assert developer.verify(secret, developer.choose(secret))


@pytest.mark.parametrize("secret", ["", "é" * 32, "x" * 31 + "\n", "x" * 32 + "\0", "x" * 513])
def test_characters_a_secret_cannot_have_are_refused(make: Callable[..., ClientSecrets], secret: str) -> None:
    """RFC 6749 appendix A.2: client-secret = *VSCHAR."""
    for each in (make(), make(loopback=True)):
        with pytest.raises(Problem) as refused:
            each.choose(secret)
        assert refused.value.code == "client.secret_invalid"
    stored = make().choose(CHOSEN)
    assert not make().verify(secret, stored)


def test_a_sealed_secret_signs(secrets: ClientSecrets) -> None:
    sealed = secrets.seal("t1", "web", CHOSEN)
    assert CHOSEN.encode() not in sealed
    assert secrets.open("t1", "web", sealed) == CHOSEN.encode()
    jose.symmetric_key(secrets.open("t1", "web", sealed))
    for tenant, client in (("t2", "web"), ("t1", "other")):
        with pytest.raises(SealError):
            secrets.open(tenant, client, sealed)


def test_a_secret_too_short_for_hs256_is_not_sealed(make: Callable[..., ClientSecrets]) -> None:
    """RFC 7518 section 3.2, on loopback deployments as well."""
    with pytest.raises(Problem) as refused:
        make(loopback=True).seal("t1", "web", "x" * (client_secrets.MIN_SYMMETRIC_BYTES - 1))
    assert refused.value.code == "client.secret_weak"


def test_many_who_ask_at_once_cost_one_hash(secrets: ClientSecrets) -> None:
    """A client that starts with a burst is not refused for the want of hashing slots."""
    stored = secrets.choose(CHOSEN)
    asked: list[int] = []

    def slowly() -> bool:
        asked.append(1)
        time.sleep(0.3)
        return True

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: secrets._memo.asked_once(CHOSEN, stored, slowly), range(16)))
    assert answers == [True] * 16
    assert len(asked) == 1
    assert secrets._memo._asking == {}


def test_failure_of_the_one_hash_is_everybodys_and_is_not_remembered(secrets: ClientSecrets) -> None:
    stored = secrets.choose(CHOSEN)

    def overloaded() -> bool:
        raise Unavailable("passwords.busy")

    with pytest.raises(Unavailable):
        secrets._memo.asked_once(CHOSEN, stored, overloaded)
    assert secrets.verify(CHOSEN, stored)
