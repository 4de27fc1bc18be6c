"""DPoP proofs: a client shows with each request that it holds a key (RFC 9449).

A proof is a JWT of that key over the method and address of the request. Its `jti` is good once; what remembers them is
an operation in the caller's own batch. Nonces are not stored: they are MACs over the time, so that every process knows
what every other one gave out.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from app.infra import jose
from app.infra.jose import InvalidKeys, InvalidToken, VerificationKey
from app.infra.state import Key, PutIfAbsent
from app.kernel import clock
from app.kernel.secrets import b64url, equal, lookup_hash
from app.kernel.uris import split
from app.protocols.oauth import errors
from app.protocols.oauth.errors import Case

TYPE = "dpop+jwt"
ALGORITHMS = ("ES256", "EdDSA", "Ed25519", "PS256")
"""`dpop_signing_alg_values_supported`. No RS256: no profile needs it, and FAPI 2.0 forbids it."""
MAX_BYTES = 8192
MAX_JTI = 256
OLDEST_SECONDS = 60
"""How old a proof may be."""
SKEW_SECONDS = 30
"""How far ahead of ours a client's clock may be."""
NONCE_SECONDS = 150
"""A nonce is given out for this long, and good for as long again."""
ERRORS = ("invalid_dpop_proof", "use_dpop_nonce")

_DEFAULT_PORTS = {"https": 443, "http": 80}
_SAFE = "-._~!$&'()*+,;=:@"
"""What a segment of a path may hold as it is (RFC 3986 section 3.3)."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that holds, as soon as `use` was carried out: refused, it was used before."""

    jkt: str
    """The thumbprint of its key (RFC 7638)."""
    use: PutIfAbsent
    nonce: str | None


class Dpop:
    """Verifies proofs. `secret` is one every process knows; nonces are made with it."""

    def __init__(self, secret: Callable[[], bytes]) -> None:
        self._secret = secret

    def verify(
        self,
        proof: str,
        *,
        tenant_id: str,
        method: str,
        uris: Collection[str],
        access_token: str | None = None,
    ) -> Proof:
        """Check everything but whether it is a first use and whether a nonce was demanded (`demand_nonce`).

        `uris` are the addresses the endpoint has; with `access_token` the proof has to be for that one (`ath`).
        Raises `OAuthError`.
        """
        claims, jkt = _signed(proof)
        if claims.get("htm") != method:
            raise errors.DPOP_METHOD(f"htm {claims.get('htm')!a:.40} for {method}")
        if not _is_one_of(claims.get("htu"), uris):
            raise errors.DPOP_URI(f"htu {claims.get('htu')!a:.300}, not one of {uris}")
        issued_at = _check_times(claims)
        if access_token is not None:
            _check_token(claims.get("ath"), access_token)
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI:
            raise errors.DPOP_MALFORMED("jti is missing, or no text of up to 256 characters")
        nonce = claims.get("nonce")
        if nonce is not None and not isinstance(nonce, str):
            raise errors.DPOP_MALFORMED("nonce is no text")
        # Remembered for as long as it would be accepted, whatever the clocks say.
        ttl = max(1, int(issued_at + OLDEST_SECONDS - clock.now().timestamp()) + 2)
        used = Key(tenant_id, "dpop", lookup_hash(f"{jkt}\0{jti}"))
        return Proof(jkt, PutIfAbsent(used, b"1", ttl, required=True), nonce)

    def nonce(self, tenant_id: str) -> str:
        """The nonce of the moment (RFC 9449 section 8)."""
        return self._nonce(tenant_id, _slot())

    def demand_nonce(self, tenant_id: str, proof: Proof, *, required: bool) -> str | None:
        """Check the proof's nonce; one that is not ours is refused even where none is required.

        Gives the nonce to use from now on, where that is another one. Raises `OAuthError` with the challenge.
        """
        slot = _slot()
        current = self._nonce(tenant_id, slot)
        if proof.nonce is None:
            if required:
                raise errors.DPOP_NONCE("no nonce", headers=nonce_header(current))
            return None
        if equal(proof.nonce, current):
            return None
        if equal(proof.nonce, self._nonce(tenant_id, slot - 1)):
            return current
        raise errors.DPOP_NONCE("the nonce is not one of ours, or old", headers=nonce_header(current))

    def _nonce(self, tenant_id: str, slot: int) -> str:
        text = f"watchword dpop nonce 1\0{tenant_id}\0{slot}"
        return b64url(hmac.digest(self._secret(), text.encode(), "sha256")[:24])


def nonce_header(nonce: str) -> tuple[tuple[str, str], ...]:
    """What tells a client the nonce to use."""
    return (("DPoP-Nonce", nonce),)


def _slot() -> int:
    return int(clock.now().timestamp()) // NONCE_SECONDS


_FAULTS: Mapping[str, Case] = {
    "token.algorithm": errors.DPOP_ALGORITHM,
    "token.type": errors.DPOP_TYPE,
    "token.signature": errors.DPOP_SIGNATURE,
    "token.unknown_key": errors.DPOP_KEY,
}


def _signed(proof: str) -> tuple[Mapping[str, Any], str]:
    """The claims and the key's thumbprint of a proof that its own key signed (section 4.3)."""
    jkts = []

    def find(header: Mapping[str, Any]) -> VerificationKey:
        jwk = header.get("jwk")
        if not isinstance(jwk, dict):
            raise InvalidKeys("no jwk in the header")
        if not _PRIVATE.isdisjoint(jwk):
            raise InvalidKeys("the jwk holds a private or symmetric key")
        key, jkt = _key(_members(jwk))
        jkts.append(jkt)
        return key

    try:
        found = jose.verify_with(proof, find, algorithms=ALGORITHMS, typ=TYPE, max_bytes=MAX_BYTES)
    except InvalidToken as fault:
        raise _FAULTS.get(fault.code, errors.DPOP_MALFORMED)(f"{fault.code}: {fault.detail}") from None
    except InvalidKeys as fault:
        raise errors.DPOP_KEY(str(fault)) from None
    return found.claims, jkts[0]


_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MEMBERS = ("kty", "crv", "x", "y", "n", "e")


def _members(jwk: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What makes a public key what it is; its kid, use and certificates are the client's own talk."""
    found = tuple((name, jwk[name]) for name in _MEMBERS if name in jwk)
    if not all(isinstance(value, str) for _, value in found):
        raise InvalidKeys("a member of the key is no text")
    return found


@lru_cache(maxsize=4096)
def _key(members: tuple[tuple[str, str], ...]) -> tuple[VerificationKey, str]:
    """The key of a proof, parsed, and its thumbprint: clients use theirs for hours."""
    jwk = dict(members)
    key = jose.public_key(jwk)
    if key is None:
        raise InvalidKeys("a key of a kind we do not know")
    return key, jose.thumbprint(jwk)


def _check_times(claims: Mapping[str, Any]) -> float:
    """Raises `OAuthError`; gives when the proof was made."""
    now = clock.now().timestamp()
    issued_at = _number(claims, "iat")
    if issued_at is None or not now - OLDEST_SECONDS <= issued_at <= now + SKEW_SECONDS:
        raise errors.DPOP_TIMES(f"iat {issued_at}, now {now:.0f}")
    expires, begins = _number(claims, "exp"), _number(claims, "nbf")
    if expires is not None and expires <= now - SKEW_SECONDS:
        raise errors.DPOP_TIMES(f"exp {expires}, now {now:.0f}")
    if begins is not None and begins > now + SKEW_SECONDS:
        raise errors.DPOP_TIMES(f"nbf {begins}, now {now:.0f}")
    return issued_at


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1 << 53:
        raise errors.DPOP_TIMES(f"{name} is no NumericDate")
    return float(value)


def _check_token(ath: Any, access_token: str) -> None:
    wanted = b64url(hashlib.sha256(access_token.encode("ascii", "replace")).digest())
    if not isinstance(ath, str) or not equal(ath, wanted):
        raise errors.DPOP_TOKEN("ath is not the hash of the access token")


def _is_one_of(htu: Any, uris: Collection[str]) -> bool:
    if not isinstance(htu, str):
        return False
    if htu in uris:
        return True
    wanted = _normalised(htu)
    return wanted is not None and wanted in {_normalised(uri) for uri in uris}


def _normalised(uri: str) -> tuple[str, str, int, str] | None:
    """Scheme, host, port and path as RFC 3986 section 6.2 compares them; query and fragment count for nothing."""
    parts = split(uri)
    if parts is None or parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    try:
        segments = [quote(unquote(part, errors="strict"), safe=_SAFE) for part in parts.path.split("/")]
    except ValueError:
        return None
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme], "/".join(segments) or "/"
