"""Password hashes other systems made, as far as they can be checked here (`docs/how-to/import-users.md`).

Reading a hash tells what checking it will cost before anything is computed: an imported one names its own cost, and
must not hang the pool. Costs are milliseconds of a slow core; they are estimates, and no two schemes are compared by
them but to find the dearest of a tenant.
"""

import base64
import binascii
import hashlib
import hmac
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bcrypt
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import error_to_str
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from passlib.exc import PasswordSizeError
from passlib.handlers.phpass import phpass
from passlib.handlers.scrypt import scrypt as crypt_scrypt

from app.infra.hashing import own

MAX_COST_MS = 1200
"""The dearest hash that is accepted: bcrypt of cost 14."""
MAX_MEMORY_KIB = 131_072
MAX_STORED_CHARACTERS = 512

_ARGON2_MS_PER_KIB = 40 / (19_456 * 2)
_BCRYPT_MS = 0.07
_PBKDF2_MS = {"sha1": 0.00042, "sha256": 0.00042, "sha512": 0.001}
_SCRYPT_MS = 0.0005
_PHPASS_MS = 0.0008
_MAX_ARGON2_LANES = 16
_NO_ROOM = {error_to_str(-22), error_to_str(-33)}
"""What argon2 says where it got no memory, or no thread; its library has one exception for that and for damage."""
_BCRYPT_BYTES = 72
"""bcrypt never looked at what comes after; the library refuses to guess that for us."""

_LENGTHS = frozenset({20, 24, 32, 48, 64, 128})
"""Of a derived key, in bytes: another one was cut off on the way."""
_SIZES = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
_B64 = r"[A-Za-z0-9+/]+={0,2}"
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_PBKDF2 = (
    re.compile(
        r"\$pbkdf2-?(?P<name>sha1|sha256|sha512)?\$(?P<rounds>\d+)\$(?P<salt>[./A-Za-z0-9]*)\$(?P<hash>[./A-Za-z0-9]+)"
    ),
    re.compile(
        rf"\$pbkdf2-(?P<name>sha1|sha256|sha512)\$i=(?P<rounds>\d+)(?:,l=\d+)?\$(?P<salt>{_B64})\$(?P<hash>{_B64})"
    ),
    re.compile(rf"pbkdf2_(?P<name>sha1|sha256|sha512)\$(?P<rounds>\d+)\$(?P<text>[^$]+)\$(?P<hash>{_B64})"),
    re.compile(r"pbkdf2:(?P<name>sha1|sha256|sha512):(?P<rounds>\d+)\$(?P<text>[^$]+)\$(?P<hex>[0-9a-f]+)"),
)
"""As passlib, the PHC format, Django and Werkzeug write it."""
_SCRYPT = (
    re.compile(r"scrypt:(?P<n>\d+):(?P<r>\d+):(?P<p>\d+)\$(?P<text>[^$]+)\$(?P<hex>[0-9a-f]+)"),
    re.compile(rf"scrypt\$(?P<n>\d+)\$(?P<text>[^$]+)\$(?P<r>\d+)\$(?P<p>\d+)\$(?P<hash>{_B64})"),
)
"""As Werkzeug and Django write it."""
_FIREBASE = re.compile(
    rf"\$fbscrypt\$v=1,n=(?P<n>\d+),r=(?P<r>\d+),p=(?P<p>\d+)(?:,ss=(?P<ss>{_B64}))?,sk=(?P<sk>{_B64})"
    rf"\$(?P<salt>{_B64})\$(?P<hash>{_B64})"
)
_LDAP = re.compile(rf"\{{(?P<salted>S?)SHA(?P<bits>|1|256|384|512)\}}(?P<hash>{_B64})")

Matches = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Readable:
    """A hash that can be checked, and what that costs."""

    scheme: str
    cost_ms: float
    memory_kib: int
    matches: Matches
    """Whether these bytes are the password. Raises nothing, but `RuntimeError` where argon2 finds no memory for it."""


def read(stored: str) -> Readable | None:
    """The hash, understood; None when it is of no scheme known here, damaged, or too dear."""
    if len(stored) > MAX_STORED_CHARACTERS or not stored.isascii():
        return None
    try:
        found = next((found for scheme in SCHEMES if (found := scheme(stored)) is not None), None)
    except (ValueError, TypeError, OverflowError, InvalidHashError):
        return None
    if found is None or found.cost_ms > MAX_COST_MS or found.memory_kib > MAX_MEMORY_KIB:
        return None
    return found


def _argon2(stored: str) -> Readable | None:
    stored = stored.removeprefix("argon2") if stored.startswith("argon2$argon2") else stored
    if not stored.startswith(("$argon2id$", "$argon2i$", "$argon2d$")):
        return None
    wanted = extract_parameters(stored)
    if not 1 <= wanted.parallelism <= _MAX_ARGON2_LANES:
        return None

    def matches(password: bytes) -> bool:
        if own.is_own(stored):
            return own.matches(password, stored)
        try:
            return PasswordHasher().verify(stored, password)
        except InvalidHashError:
            return False
        except VerificationError as fault:
            if str(fault) in _NO_ROOM:
                raise RuntimeError("no memory or thread for an argon2 hash") from fault
            return False

    cost = wanted.memory_cost * max(1, wanted.time_cost) * _ARGON2_MS_PER_KIB
    return Readable("argon2", cost, wanted.memory_cost, matches)


def _bcrypt(stored: str) -> Readable | None:
    """Also as Django and WordPress wrap it, who digest the password first, so that 72 bytes are enough."""
    rest, before = stored, _itself
    if stored.startswith("bcrypt_sha256$$"):
        rest, before = stored[len("bcrypt_sha256$") :], _hex_sha256
    elif stored.startswith("bcrypt$$"):
        rest = stored[len("bcrypt$") :]
    elif stored.startswith("$wp$"):
        rest, before = stored[len("$wp") :], _wordpress
    found = _BCRYPT.fullmatch(rest)
    if found is None or not 4 <= int(found[1]) <= 31:
        return None
    # 2a, 2b and PHP's 2y are the same algorithm.
    salted = b"$2b" + rest[3:].encode()
    cost = _BCRYPT_MS * 2 ** int(found[1])
    return Readable(
        "bcrypt", cost, 0, lambda password: bcrypt.checkpw(before(password)[:_BCRYPT_BYTES], salted)
    )


def _pbkdf2(stored: str) -> Readable | None:
    found = next((found for shape in _PBKDF2 if (found := shape.fullmatch(stored)) is not None), None)
    if found is None:
        return None
    parts = found.groupdict()
    name, rounds = parts["name"] or "sha1", int(parts["rounds"])
    salt = parts["text"].encode() if parts.get("text") else _base64(parts.get("salt") or "")
    digest = bytes.fromhex(parts["hex"]) if parts.get("hex") else _base64(parts.get("hash") or "")
    if not 1 <= rounds <= 10**8 or len(digest) not in _LENGTHS:
        return None
    cost = rounds * math.ceil(len(digest) / _SIZES[name]) * _PBKDF2_MS[name]
    return Readable(
        "pbkdf2",
        cost,
        0,
        lambda password: hmac.compare_digest(
            hashlib.pbkdf2_hmac(name, password, salt, rounds, len(digest)), digest
        ),
    )


def _scrypt(stored: str) -> Readable | None:
    if stored.startswith(("$scrypt$", "$7$")):
        known = crypt_scrypt.from_string(stored)  # type: ignore[no-untyped-call]
        cost, memory = _scrypt_cost(2**known.rounds, known.block_size, known.parallelism)
        return Readable("scrypt", cost, memory, lambda password: _by_library(crypt_scrypt, password, stored))
    found = next((found for shape in _SCRYPT if (found := shape.fullmatch(stored)) is not None), None)
    if found is None:
        return None
    parts = found.groupdict()
    n, r, p = (int(parts[name]) for name in "nrp")
    salt = parts["text"].encode()
    digest = bytes.fromhex(parts["hex"]) if parts.get("hex") else _base64(parts["hash"])
    if len(digest) not in _LENGTHS:
        return None
    derive = _deriving(salt, n, r, p, len(digest))
    cost, memory = _scrypt_cost(n, r, p)
    return Readable("scrypt", cost, memory, lambda password: hmac.compare_digest(derive(password), digest))


def _firebase(stored: str) -> Readable | None:
    """Firebase's variant: the derived key encrypts the project's signer key (AES-256, counter mode, from zero)."""
    found = _FIREBASE.fullmatch(stored)
    if found is None:
        return None
    signer, digest = _base64(found["sk"]), _base64(found["hash"])
    salt = _base64(found["salt"]) + _base64(found["ss"] or "")
    n, r, p = (int(found[name]) for name in "nrp")
    if not (1 <= n <= 20 and 16 <= len(signer) <= 128 and len(signer) == len(digest)):
        return None
    derive = _deriving(salt, 2**n, r, p, 32)
    cost, memory = _scrypt_cost(2**n, r, p)

    def matches(password: bytes) -> bool:
        cipher = Cipher(algorithms.AES(derive(password)), modes.CTR(bytes(16))).encryptor()
        return hmac.compare_digest(cipher.update(signer) + cipher.finalize(), digest)

    return Readable("firebase", cost, memory, matches)


def _ldap(stored: str) -> Readable | None:
    """Digests of directories (RFC 2307 section 5.3): nothing slows guessing down, so these go first."""
    found = _LDAP.fullmatch(stored)
    if found is None:
        return None
    name = "sha1" if found["bits"] in ("", "1") else "sha" + found["bits"]
    raw, size = _base64(found["hash"]), _SIZES[name]
    digest, salt = raw[:size], raw[size:]
    if len(digest) != size or bool(salt) is not bool(found["salted"]):
        return None
    return Readable(
        "ldap",
        0.01,
        0,
        lambda password: hmac.compare_digest(hashlib.new(name, password + salt).digest(), digest),
    )


def _phpass(stored: str) -> Readable | None:
    if not stored.startswith(("$P$", "$H$")):
        return None
    known = phpass.from_string(stored)  # type: ignore[no-untyped-call]
    return Readable(
        "phpass", _PHPASS_MS * 2**known.rounds, 0, lambda password: _by_library(phpass, password, stored)
    )


SCHEMES = (_argon2, _bcrypt, _pbkdf2, _scrypt, _firebase, _ldap, _phpass)
"""Each gives None for what is not its own, and raises `ValueError` for what is but is damaged."""


def _by_library(handler: Any, password: bytes, stored: str) -> bool:
    try:
        return bool(handler.verify(password, stored))
    except (ValueError, PasswordSizeError):
        return False


def _deriving(salt: bytes, n: int, r: int, p: int, size: int) -> Callable[[bytes], bytes]:
    if n < 2 or n & (n - 1) or not (1 <= r <= 64 and 1 <= p <= 16):
        raise ValueError("no parameters of scrypt")
    memory = 128 * r * (n + p + 2) + 2**20
    return lambda password: hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=size)


def _scrypt_cost(n: int, r: int, p: int) -> tuple[float, int]:
    return n * r * p * _SCRYPT_MS, n * r // 8


def _base64(text: str) -> bytes:
    """Base64, padded or not; passlib's alphabet has a dot for the plus."""
    text = text.replace(".", "+").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as fault:
        raise ValueError("not base64") from fault


def _itself(password: bytes) -> bytes:
    return password


def _hex_sha256(password: bytes) -> bytes:
    return hashlib.sha256(password).hexdigest().encode()


def _wordpress(password: bytes) -> bytes:
    # WordPress 6.8: trimmed as PHP does, keyed so that no digest of another system's leak fits.
    return base64.b64encode(hmac.digest(b"wp-sha384", password.strip(b" \t\n\r\0\x0b"), "sha384"))
