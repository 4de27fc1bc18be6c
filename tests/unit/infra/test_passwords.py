"""Hashing people's passwords."""

import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest
from argon2 import PasswordHasher, Type

from app.infra.hashing.answers import Question, answer
from app.infra.passwords import Passwords, Verdict, accepts, checked_hash, cost_ms, is_own, normalise
from app.infra.passwords.pool import Pool
from app.kernel.errors import Problem, Unavailable

GOOD = "correct-horse-battery"


@pytest.fixture(scope="module")
def hasher() -> Passwords:
    return Passwords(2)


def test_a_password_verifies_and_another_does_not(hasher: Passwords) -> None:
    stored = hasher.hash(GOOD)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hasher.verify(GOOD, stored) == Verdict(ok=True, better=None)
    assert (is_own(stored), cost_ms(stored)) == (True, 0)
    for wrong in ("", GOOD + " ", GOOD.upper(), GOOD[:-1], GOOD + "\0", "\ud800", "x" * 5000):
        assert not hasher.verify(wrong, stored).ok
    assert hasher.hash(GOOD) != stored, "salted"


def test_equal_text_in_another_unicode_form_is_the_same_password(hasher: Passwords) -> None:
    """RFC 8265 section 4.2.2: NFC, and every space is a space; case and width stay."""
    stored = hasher.hash("Zoë's pass phrase")
    assert hasher.verify("Zoe\u0308's\u00a0pass\u3000phrase", stored).ok
    assert not hasher.verify("zoë's pass phrase", stored).ok
    assert normalise("ﬁ") == "ﬁ"


@pytest.mark.parametrize(
    "bad", ["", "a\nb", "a\x00b", "\x7f", "\x85", "\ud800", "é" * 513, "x" * 1025, "\U0001f600" * 257]
)
def test_what_is_no_password_is_refused(hasher: Passwords, bad: str) -> None:
    with pytest.raises(Problem) as refused:
        hasher.hash(bad)
    assert refused.value.code == "password.invalid"
    assert not bad or bad not in refused.value.public


def test_the_longest_password_works(hasher: Passwords) -> None:
    longest = "é" * 512
    assert hasher.verify(longest, hasher.hash(longest)).ok
    assert not hasher.verify(longest[:-1] + "è", hasher.hash(longest)).ok


def test_our_hash_is_anybodys_argon2id(hasher: Passwords) -> None:
    """RFC 9106: another library checks what is made here, and makes what is checked here."""
    other = PasswordHasher(2, 19_456, 1, hash_len=32, salt_len=16, type=Type.ID)
    assert other.verify(hasher.hash(GOOD), GOOD)
    stored = other.hash(GOOD)
    assert is_own(stored)
    assert hasher.verify(GOOD, stored) == Verdict(ok=True, better=None)
    assert hasher.verify(GOOD[:-1], stored) == Verdict(ok=False)


@pytest.mark.parametrize(("salt_bytes", "hash_bytes"), [(8, 32), (16, 16), (24, 32)])
def test_a_hash_of_our_cost_and_another_shape_is_made_anew(
    hasher: Passwords, salt_bytes: int, hash_bytes: int
) -> None:
    stored = PasswordHasher(2, 19_456, 1, hash_bytes, salt_bytes, type=Type.ID).hash(GOOD)
    assert not is_own(stored)
    assert is_own(hasher.verify(GOOD, stored).better or "")
    assert not hasher.verify(GOOD[:-1], stored).ok


def test_a_hash_of_other_parameters_verifies_and_asks_to_be_made_anew(hasher: Passwords) -> None:
    stored = PasswordHasher(1, 8192, 1, type=Type.ID).hash(GOOD)
    verdict = hasher.verify(GOOD, stored)
    assert verdict.ok
    assert is_own(verdict.better or "")
    assert hasher.verify(GOOD, verdict.better or "") == Verdict(ok=True)
    assert hasher.verify("wrong", stored) == Verdict(ok=False)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain",
        "$2b$15$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m",
        "$2b$12$GhvMmNVjRW29ulnudl.LbuAnUtN",
        "$2c$12$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m",
        "$2b$03$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m",
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ",
        "$argon2id$v=19$m=x,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
        "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
        "$argon2id$v=19$m=131072,t=9,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
        "$argon2id$v=19$m=19456,t=4000000,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
        "$argon2id$v=19$m=19456,t=2,p=255$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$" + "A" * 1000,
        "pbkdf2_sha256$3000000$salt$" + "A" * 43 + "=",
        "pbkdf2_sha256$0$salt$" + "A" * 43 + "=",
        "pbkdf2_md5$1000$salt$" + "A" * 22,
        "$pbkdf2-sha512$i=210000,l=1280$c2FsdA$" + "A" * 400,
        "$scrypt$ln=18,r=8,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$scrypt$ln=99,r=8,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "scrypt:32769:8:1$salt$" + "0" * 128,
        "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=QQ==$QUFB$QQ==",
        "{SSHA}AAAA",
        "{MD5}" + "A" * 22 + "==",
        "$P$Zxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
        "pàssword",
    ],
)
def test_hashes_we_cannot_check_at_a_bounded_cost_are_refused(hasher: Passwords, stored: str) -> None:
    assert not accepts(stored)
    assert not hasher.verify(GOOD, stored).ok
    with pytest.raises(Problem) as refused:
        checked_hash(stored)
    assert refused.value.code == "password.hash_unsupported"
    assert "argon2" in refused.value.public


def test_own_hashes_may_be_imported(hasher: Passwords) -> None:
    stored = hasher.hash(GOOD)
    assert checked_hash(stored) == stored


@pytest.mark.parametrize("variant", [b"2a", b"2b", b"2y"])
def test_a_bcrypt_hash_from_elsewhere_verifies_and_asks_to_be_made_anew(
    hasher: Passwords, variant: bytes
) -> None:
    made = bcrypt.hashpw(GOOD.encode(), bcrypt.gensalt(4)).decode()
    stored = f"${variant.decode()}{made[3:]}"
    assert checked_hash(stored) == stored
    assert is_own(hasher.verify(GOOD, stored).better or "")
    assert not hasher.verify(GOOD + "!", stored).ok


def test_bcrypt_looked_at_72_bytes_and_so_do_we(hasher: Passwords) -> None:
    long = "é" * 50
    stored = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    assert hasher.verify(long, stored).ok


def test_a_damaged_hash_is_a_wrong_password(hasher: Passwords) -> None:
    stored = hasher.hash(GOOD)
    for damaged in (stored[:-4], stored + "A", stored.replace("m=19456", "m=19457"), stored[:-1] + "!"):
        assert not hasher.verify(GOOD, damaged).ok


def seconds(work: object, rounds: int = 7) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()  # type: ignore[operator]
        times.append(time.process_time() - start)
    return statistics.median(times)


def test_an_unknown_person_takes_as_long_as_a_wrong_password(hasher: Passwords) -> None:
    stored = hasher.hash(GOOD)
    known = seconds(lambda: hasher.verify("wrong", stored))
    for unknown in (
        lambda: hasher.verify_dummy("wrong"),
        lambda: hasher.verify("x" * 5000, stored),
        lambda: hasher.verify("wrong", "$2b$12$unsupported"),
    ):
        assert 0.6 < seconds(unknown) / known < 1.6
    assert not hasher.verify_dummy(GOOD).ok


def test_more_than_the_pool_holds_is_turned_away() -> None:
    """`passwords.busy` with Retry-After, rather than a queue that grows."""
    hasher = Passwords(1, max_waiting=3)
    stored = hasher.hash(GOOD)
    barrier = threading.Barrier(8)

    def one(_: int) -> bool | tuple[str, int]:
        barrier.wait(10)
        try:
            return hasher.verify(GOOD, stored).ok
        except Unavailable as busy:
            return busy.code, busy.retry_after_seconds

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(one, range(8)))
    assert set(outcomes) == {True, ("passwords.busy", 2)}
    assert hasher.verify(GOOD, stored).ok, "every slot came back"


def test_a_turn_that_does_not_come_in_time_is_given_up() -> None:
    held, go_on = threading.Event(), threading.Event()

    def slow(question: Question) -> Verdict:
        held.set()
        assert go_on.wait(10)
        return answer(question)

    pool = Pool([slow], max_waiting=4, wait_seconds=0.01)
    question = Question(GOOD, GOOD, None)
    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(pool.ask, question)
        assert held.wait(10)
        with pytest.raises(Unavailable) as busy:
            pool.ask(question)
        go_on.set()
        assert holding.result(10).ok
    assert busy.value.code == "passwords.busy"
    assert pool.ask(question).ok


def test_whoever_looks_for_room_takes_none() -> None:
    hasher = Passwords(1, max_waiting=1)
    hasher.look_for_room()
    hasher.look_for_room()
    with hasher.admitted(), pytest.raises(Unavailable):
        hasher.look_for_room()
    hasher.look_for_room()


def test_whoever_was_admitted_does_not_need_another_place() -> None:
    """The place is held from the question to the answer, and hashing within it takes none of its own."""
    hasher = Passwords(1, max_waiting=1)
    with hasher.admitted():
        assert hasher.verify(GOOD, hasher.hash(GOOD)).ok
        with ThreadPoolExecutor(1) as pool, pytest.raises(Unavailable):
            pool.submit(hasher.hash, GOOD).result(10)
    assert hasher.hash(GOOD)


def test_no_more_are_hashed_at_once_than_there_are_hands() -> None:
    lock, at_work, most = threading.Lock(), 0, 0

    def counted(question: Question) -> Verdict:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        found = answer(question)
        with lock:
            at_work -= 1
        return found

    pool = Pool([counted, counted], max_waiting=16, wait_seconds=20)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda _: pool.ask(Question(GOOD, GOOD, None)).ok, range(16)))
    assert most == 2


@pytest.mark.parametrize("apart", [False, True])
def test_after_a_fork_nobody_waits(apart: bool) -> None:
    """Whoever held a place or a hand in the parent does not in the child, whose hands are its own."""
    hasher = Passwords(1, max_waiting=1, apart=apart)
    stored = hasher.hash(GOOD)
    with hasher.admitted():
        child = os.fork()
        if child == 0:
            os._exit(0 if hasher.verify(GOOD, stored).ok and not hasher.verify("wrong", stored).ok else 1)
        assert hasher.verify(GOOD, stored).ok
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert hasher.verify(GOOD, stored).ok
    hasher.close()


def test_a_hand_comes_back_after_an_error() -> None:
    faults = [MemoryError()]

    def fails(question: Question) -> Verdict:
        if faults:
            raise faults.pop()
        return answer(question)

    pool = Pool([fails], max_waiting=1, wait_seconds=1)
    with pytest.raises(MemoryError):
        pool.ask(Question(GOOD, GOOD, None))
    assert pool.ask(Question(GOOD, GOOD, None)).ok
