"""Verifying signed tokens: the only importer of joserfc.

What is refused before a key is looked at: unsecured and encrypted tokens, algorithms the caller did not name,
duplicate members, critical extensions (we understand none), unencoded payloads, and everything over the size limit.
Keys are found among those the caller trusts; `jwk`, `jku`, `x5c` and `x5u` of a token are never followed.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwk as joserfc_jwk
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jws import JWSRegistry

from app.infra.signing import (
    ED25519,
    SIGNING_ALGORITHMS,
    STANDING_ALGORITHMS,
    SigningKeyHandle,
    at_hash,
    canonical_algorithm,
    sign,
    thumbprint,
)
from app.kernel.errors import Problem
from app.kernel.secrets import unb64url

__all__ = [
    "ASYMMETRIC_ALGORITHMS",
    "ED25519",
    "MAX_KEYS",
    "MAX_TOKEN_BYTES",
    "SIGNING_ALGORITHMS",
    "STANDING_ALGORITHMS",
    "InvalidKeys",
    "InvalidToken",
    "SigningKeyHandle",
    "VerificationKey",
    "Verified",
    "at_hash",
    "canonical_algorithm",
    "members",
    "parse_jwks",
    "public_key",
    "sign",
    "symmetric_key",
    "thumbprint",
    "unverified",
    "verify",
    "verify_with",
]

ASYMMETRIC_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""What others may sign with. `HS256` is for `client_secret_jwt` alone and has to be named by the caller."""
MAX_TOKEN_BYTES = 16_384
MAX_JWKS_BYTES = 65_536
MAX_KEYS = 20
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
MIN_SYMMETRIC_BYTES = 32

_BY_TYPE: dict[tuple[str, str | None], frozenset[str]] = {
    ("RSA", None): frozenset({"RS256", "PS256"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),
}
_PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class InvalidToken(Problem):
    """A token that is not to be believed. `code` is one of `token.malformed`, `token.too_large`, `token.algorithm`,
    `token.type`, `token.unknown_key`, `token.signature`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, "The token is not valid.", detail=detail, status=400)


class InvalidKeys(Problem):
    """A key set nobody should have sent, or without a key we can use."""

    def __init__(self, detail: str) -> None:
        super().__init__("keys.invalid", f"The key set is not valid: {detail}", status=400)


@dataclass(frozen=True, slots=True, eq=False)
class VerificationKey:
    """A key signatures are checked with, parsed once."""

    kid: str | None
    algorithms: frozenset[str]
    material: joserfc_jwk.Key


@dataclass(frozen=True, slots=True)
class Verified:
    """What a token says once its signature holds. Times, issuer and audience are the caller's to check."""

    header: dict[str, Any]
    claims: dict[str, Any]


class _Registry(JWSRegistry):
    """Room for the headers clients send (`x5c`), and algorithms by exact name, without joserfc's opinion on them."""

    max_header_length = MAX_TOKEN_BYTES
    max_payload_length = 1 << 26
    """Never reached: `max_bytes` of each caller is what counts."""

    def get_alg(self, name: str) -> JWSAlgModel:
        return self.algorithms[name]


_registry = _Registry(strict_check_header=False)


def verify(
    token: str | bytes,
    keys: Iterable[VerificationKey],
    *,
    algorithms: Collection[str],
    typ: str | None = None,
    max_bytes: int = MAX_TOKEN_BYTES,
) -> Verified:
    """The header and claims of a compact JWS that one of `keys` signed with one of `algorithms`.

    With `typ`, the header has to name that type; `application/` may be left out (RFC 7515 section 4.1.9).
    A `kid` narrows the keys; keys without one are tried as well. Raises `InvalidToken`; its code
    `token.unknown_key` says that a key set fetched anew might help.
    """
    header, claims, raw = _parse(token, max_bytes)
    alg = _checked_algorithm(header, algorithms, typ)
    candidates = [key for key in keys if alg in key.algorithms and _matches(key.kid, header.get("kid"))]
    if not candidates:
        raise InvalidToken("token.unknown_key", f"no {alg} key with kid {_shown(header.get('kid'))}")
    if not any(_signed_by(key, raw, alg) for key in candidates):
        raise InvalidToken(
            "token.signature", f"the signature is not one of {len(candidates)} candidate keys'"
        )
    return Verified(header, claims)


def verify_with(
    token: str,
    find: Callable[[Mapping[str, Any]], VerificationKey],
    *,
    algorithms: Collection[str],
    typ: str,
    max_bytes: int = MAX_TOKEN_BYTES,
) -> Verified:
    """As `verify`, with the one key `find` gives for a header: for proofs that bring their own (RFC 9449).

    Raises `InvalidToken`, and what `find` raises.
    """
    header, claims, raw = _parse(token, max_bytes)
    alg = _checked_algorithm(header, algorithms, typ)
    key = find(header)
    if alg not in key.algorithms:
        raise InvalidToken("token.unknown_key", f"the key is none of {alg}")
    if not _signed_by(key, raw, alg):
        raise InvalidToken("token.signature", "the signature is not the key's")
    return Verified(header, claims)


def _checked_algorithm(header: Mapping[str, Any], algorithms: Collection[str], typ: str | None) -> str:
    alg: str = header["alg"]
    if alg not in algorithms or alg == "none":
        raise InvalidToken("token.algorithm", f"algorithm {_shown(alg)} is not accepted here")
    if typ is not None and _media_type(header.get("typ")) != _media_type(typ):
        raise InvalidToken("token.type", f"type {_shown(header.get('typ'))} instead of {typ}")
    return alg


def unverified(token: str | bytes, *, max_bytes: int = MAX_TOKEN_BYTES) -> Verified:
    """What a token claims, nothing of it checked: to learn whose keys to verify it with, or to explain it.

    Raises `InvalidToken` for what is no compact JWS.
    """
    header, claims, _ = _parse(token, max_bytes)
    return Verified(header, claims)


def parse_jwks(document: str | bytes | Mapping[str, Any]) -> tuple[VerificationKey, ...]:
    """The usable signature keys of a client's JWK Set (RFC 7517 section 5): public, asymmetric, of our algorithms.

    Keys of kinds we do not know, and encryption keys, are passed over, as that section asks. Raises `InvalidKeys`
    for private or symmetric keys, weak ones, malformed ones, more than `MAX_KEYS`, two with one `kid`, none left.
    """
    found = [key for member in _members(document) if (key := public_key(member)) is not None]
    if not found:
        raise InvalidKeys(f"no signature key for any of {', '.join(ASYMMETRIC_ALGORITHMS)}")
    kids = [key.kid for key in found if key.kid is not None]
    if len(set(kids)) != len(kids):
        raise InvalidKeys("two keys have the same `kid`")
    return tuple(found)


def members(document: str | bytes | Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The keys of a JWK Set as they stand there, nothing of them checked; none where it cannot be read."""
    try:
        return _members(document)
    except InvalidKeys:
        return ()


def _members(document: str | bytes | Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if isinstance(document, str | bytes):
        if len(document) > MAX_JWKS_BYTES:
            raise InvalidKeys(f"larger than {MAX_JWKS_BYTES} bytes")
        try:
            document = _load_json(document)
        except ValueError as fault:
            raise InvalidKeys(str(fault)) from None
    found = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(member, Mapping) for member in found):
        raise InvalidKeys("`keys` has to be an array of objects")
    if len(found) > MAX_KEYS:
        raise InvalidKeys(f"more than {MAX_KEYS} keys")
    return found


def public_key(jwk: Mapping[str, Any]) -> VerificationKey | None:
    """One public key, or None when it is of a kind or use we have no use for.

    Raises `InvalidKeys` for private, symmetric, weak and malformed ones.
    """
    kty, kid = jwk.get("kty"), jwk.get("kid")
    if kty == "oct" or not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise InvalidKeys(
            "it holds a private or symmetric key; publish only public keys, and replace this one"
        )
    if kid is not None and not isinstance(kid, str):
        raise InvalidKeys("`kid` has to be text")
    curve = jwk.get("crv") if kty != "RSA" else None
    if not isinstance(kty, str) or not isinstance(curve, str | None):
        raise InvalidKeys("`kty` and `crv` have to be text")
    algorithms = _BY_TYPE.get((kty, curve), frozenset())
    if (alg := jwk.get("alg")) is not None:
        algorithms = frozenset(
            name for name in algorithms if canonical_algorithm(name) == canonical_algorithm(alg)
        )
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list):
        raise InvalidKeys("`key_ops` has to be an array")
    if not algorithms or jwk.get("use", "sig") != "sig" or "verify" not in operations:
        return None
    return VerificationKey(kid, algorithms, _import(kty, jwk))


def symmetric_key(secret: bytes) -> VerificationKey:
    """The HS256 key of a client secret (OpenID Connect Core section 10.1).

    Raises `InvalidKeys` when it is shorter than the hash (RFC 7518 section 3.2).
    """
    if len(secret) < MIN_SYMMETRIC_BYTES:
        raise InvalidKeys(f"a secret for HS256 has at least {MIN_SYMMETRIC_BYTES} bytes")
    return VerificationKey(None, frozenset({"HS256"}), joserfc_jwk.OctKey.import_key(secret))


def _import(kty: str, jwk: Mapping[str, Any]) -> joserfc_jwk.Key:
    try:
        material = {name: jwk[name] for name in _PUBLIC_MEMBERS[kty]}
        if kty == "RSA":
            modulus, exponent = (int.from_bytes(unb64url(material[name])) for name in ("n", "e"))
            if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS or exponent >> 32:
                raise InvalidKeys(f"RSA keys have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits and a small exponent")
        return joserfc_jwk.import_key(material)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as fault:
        raise InvalidKeys(f"a malformed {kty} key ({type(fault).__name__})") from None


def _parse(token: str | bytes, max_bytes: int) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The header and claims of a well-formed compact JWS, and its bytes; nothing verified."""
    if len(token) > max_bytes:
        raise InvalidToken("token.too_large", f"{len(token)} bytes, at most {max_bytes} are read")
    try:
        raw = token.encode("ascii") if isinstance(token, str) else token
        segments = raw.decode("ascii").split(".")
        if len(segments) != 3:
            raise ValueError(f"{len(segments)} segments instead of 3")
        header, claims = (_load_json(unb64url(segment)) for segment in segments[:2])
        unb64url(segments[2])
    except ValueError as fault:
        raise InvalidToken("token.malformed", str(fault)) from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise InvalidToken("token.malformed", "header and payload have to be JSON objects")
    if not isinstance(header.get("alg"), str):
        raise InvalidToken("token.malformed", "the header names no algorithm")
    if not isinstance(header.get("kid", ""), str):
        raise InvalidToken("token.malformed", "`kid` has to be text")
    # RFC 7515 section 4.1.11: what is critical and not understood makes the JWS invalid. b64 is RFC 7797's.
    if "crit" in header or "b64" in header:
        raise InvalidToken("token.malformed", "critical header parameters are not supported")
    return header, claims, raw


def _load_json(document: str | bytes) -> Any:
    text = document.decode("utf-8") if isinstance(document, bytes) else document
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
        if "\\u" in text:
            # An escape may spell half a surrogate pair, which is no text and breaks whoever encodes it later.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 7519 section 4: names must be unique; parsers that differ on which one wins can be played against each other.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a JSON member is repeated")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _signed_by(key: VerificationKey, raw: bytes, alg: str) -> bool:
    try:
        jws.deserialize_compact(raw, key.material, registry=_registry)
    except (JoseError, ValueError, TypeError):
        return False
    return True


def _matches(own: str | None, wanted: str | None) -> bool:
    return own is None or wanted is None or own == wanted


def _media_type(name: Any) -> str | None:
    if not isinstance(name, str):
        return None
    return name.lower() if "/" in name else f"application/{name.lower()}"


def _shown(value: Any) -> str:
    """An untrusted value for the log: short and on one line."""
    return ascii(value)[:80]
