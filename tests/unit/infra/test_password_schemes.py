"""Hashes of other systems: each kind signs in, is wrong for another password, and is replaced by one of ours."""

import base64
import hashlib
import hmac
import subprocess
import sys
from collections.abc import Callable

import bcrypt
import pytest
from argon2 import PasswordHasher, Type
from passlib import hash as known
from werkzeug.security import generate_password_hash

from app.infra.hashing import own, schemes
from app.infra.passwords import Passwords, checked_hash, cost_ms, is_own

GOOD = "Zoë's correct horse"


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bare(raw: bytes) -> str:
    return _b64(raw).rstrip("=")


def _bcrypt(password: bytes) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()


def _phc_pbkdf2() -> str:
    digest = hashlib.pbkdf2_hmac("sha512", GOOD.encode(), b"0123456789abcdef", 900, 64)
    return f"$pbkdf2-sha512$i=900,l=64${_bare(b'0123456789abcdef')}${_bare(digest)}"


def _django_scrypt() -> str:
    digest = hashlib.scrypt(GOOD.encode(), salt=b"seasalt", n=1024, r=8, p=5, dklen=64)
    return f"scrypt$1024$seasalt$8$5${_b64(digest)}"


def _wordpress() -> str:
    digest = hmac.digest(b"wp-sha384", GOOD.encode(), "sha384")
    return "$wp" + _bcrypt(base64.b64encode(digest)).replace("$2b$", "$2y$")


def _salted(name: str, label: str) -> str:
    return f"{{{label}}}" + _b64(hashlib.new(name, GOOD.encode() + b"salt").digest() + b"salt")


STORED = {
    "argon2id, other parameters": lambda: PasswordHasher(1, 8192, 2, type=Type.ID).hash(GOOD),
    "argon2i": lambda: PasswordHasher(2, 1024, 1, type=Type.I).hash(GOOD),
    "argon2d": lambda: PasswordHasher(2, 1024, 1, type=Type.D).hash(GOOD),
    "argon2 of Django": lambda: "argon2" + PasswordHasher(1, 1024, 1).hash(GOOD),
    "bcrypt 2a": lambda: _bcrypt(GOOD.encode()).replace("$2b$", "$2a$"),
    "bcrypt 2b": lambda: _bcrypt(GOOD.encode()),
    "bcrypt 2y": lambda: _bcrypt(GOOD.encode()).replace("$2b$", "$2y$"),
    "bcrypt of Django": lambda: "bcrypt$" + _bcrypt(GOOD.encode()),
    "bcrypt of Django, digested": lambda: (
        "bcrypt_sha256$" + _bcrypt(hashlib.sha256(GOOD.encode()).hexdigest().encode())
    ),
    "bcrypt of WordPress 6.8": _wordpress,
    "scrypt of passlib": lambda: known.scrypt.using(rounds=8).hash(GOOD),
    "scrypt, $7$": lambda: known.scrypt.using(rounds=8, ident="$7$").hash(GOOD),
    "scrypt of Werkzeug": lambda: generate_password_hash(GOOD, "scrypt:1024:8:1"),
    "scrypt of Django": _django_scrypt,
    "PBKDF2 of passlib, SHA-1": lambda: known.pbkdf2_sha1.using(rounds=900).hash(GOOD),
    "PBKDF2 of passlib, SHA-256": lambda: known.pbkdf2_sha256.using(rounds=900).hash(GOOD),
    "PBKDF2 of passlib, SHA-512": lambda: known.pbkdf2_sha512.using(rounds=900).hash(GOOD),
    "PBKDF2 of Django, SHA-1": lambda: known.django_pbkdf2_sha1.using(rounds=900).hash(GOOD),
    "PBKDF2 of Django, SHA-256": lambda: known.django_pbkdf2_sha256.using(rounds=900).hash(GOOD),
    "PBKDF2 of Werkzeug": lambda: generate_password_hash(GOOD, "pbkdf2:sha512:900"),
    "PBKDF2, PHC, as from Keycloak": _phc_pbkdf2,
    "SHA": lambda: known.ldap_sha1.hash(GOOD),
    "SSHA": lambda: known.ldap_salted_sha1.hash(GOOD),
    "SSHA256": lambda: known.ldap_salted_sha256.hash(GOOD),
    "SSHA384": lambda: _salted("sha384", "SSHA384"),
    "SSHA512": lambda: known.ldap_salted_sha512.hash(GOOD),
    "phpass": lambda: known.phpass.using(rounds=8).hash(GOOD),
    "phpass of phpBB": lambda: known.phpass.using(rounds=8, ident="$H$").hash(GOOD),
}


@pytest.fixture(scope="module")
def hasher() -> Passwords:
    return Passwords(2)


@pytest.mark.parametrize("kind", list(STORED))
def test_imported_hash_is_checked_once_and_replaced(hasher: Passwords, kind: str) -> None:
    stored = STORED[kind]()
    assert checked_hash(stored) == stored
    assert cost_ms(stored) > 0
    verdict = hasher.verify(GOOD, stored)
    assert verdict.ok
    assert is_own(verdict.better or "")
    assert hasher.verify(GOOD, verdict.better or "").ok
    assert not hasher.verify(GOOD + "!", stored).ok
    assert not hasher.verify("", stored).ok


def test_firebase_by_its_published_example(hasher: Passwords) -> None:
    """The parameters and the user of the scrypt tool's own documentation."""
    stored = (
        "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,"
        "sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$"
        "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
    )
    assert checked_hash(stored) == stored
    assert is_own(hasher.verify("user1password", stored).better or "")
    assert not hasher.verify("user2password", stored).ok


def test_scrypt_by_its_published_example(hasher: Passwords) -> None:
    """The `$7$` form of `pleaseletmein` in passlib's documentation."""
    stored = "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D"
    assert hasher.verify("pleaseletmein", stored).ok


def test_wrapped_bcrypt_reads_past_72_bytes(hasher: Passwords) -> None:
    """Whoever digests first made all of a long password count; bcrypt alone did not."""
    long = "é" * 60
    digested = "bcrypt_sha256$" + _bcrypt(hashlib.sha256(long.encode()).hexdigest().encode())
    assert hasher.verify(long, digested).ok
    assert not hasher.verify(long[:-1] + "è", digested).ok
    alone = _bcrypt(long.encode()[:72])
    assert hasher.verify(long[:-1] + "è", alone).ok


def test_other_systems_hashed_what_was_typed(hasher: Passwords) -> None:
    """Ours are of normalised text; theirs are of the bytes that came."""
    typed = "pass\u00a0phrase of somebody"
    assert hasher.verify(typed, known.ldap_salted_sha1.hash(typed)).ok
    assert not hasher.verify(typed, known.ldap_salted_sha1.hash(typed.replace("\u00a0", " "))).ok


def test_dearest_hash_is_bounded(hasher: Passwords) -> None:
    """Everything that is read is within the limit; what is above is not read."""
    dear = "$2b$14$" + "." * 53
    found = schemes.read(dear)
    assert found is not None
    assert 1000 < found.cost_ms <= schemes.MAX_COST_MS
    assert schemes.read("$2b$15$" + "." * 53) is None
    memory = schemes.read("$scrypt$ln=17,r=8,p=1$c2FsdHNhbHQ$" + "A" * 43)
    assert memory is not None
    assert memory.memory_kib == schemes.MAX_MEMORY_KIB


@pytest.mark.parametrize("kind", list(STORED))
def test_damaged_hash_is_a_wrong_password(hasher: Passwords, kind: str) -> None:
    stored = STORED[kind]()
    for damaged in (stored[:-6], stored + "$", stored[1:], stored.replace("$", "$$"), stored[:-8] + "!" * 8):
        assert damaged == stored or not hasher.verify(GOOD, damaged).ok


_LARGE: dict[str, Callable[[], str]] = {
    "argon2i": lambda: PasswordHasher(1, 65_536, 1, type=Type.I).hash(GOOD),
    "argon2id, other parameters": lambda: PasswordHasher(1, 65_536, 2, type=Type.ID).hash(GOOD),
}


@pytest.mark.parametrize("kind", ["argon2i", "argon2id, other parameters", "our own"])
def test_no_memory_is_no_wrong_password(kind: str) -> None:
    """In a process that may have no more memory than it has: the right password is neither right nor wrong."""
    stored = own.make(GOOD.encode()) if kind == "our own" else _LARGE[kind]()
    program = """
import resource, sys
from app.infra.hashing import own, schemes
found = schemes.read(sys.argv[1])
assert found.matches(sys.argv[2].encode())
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (2 << 20),) * 2)
try:
    print(found.matches(sys.argv[2].encode()))
except RuntimeError:
    print("no room")
"""
    told = subprocess.run(
        [sys.executable, "-c", program, stored, GOOD], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == "no room\n"
