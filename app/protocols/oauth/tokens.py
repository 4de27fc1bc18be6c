"""Access tokens that come back to us: at UserInfo, introspection and revocation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from app.domain.revocation import Revocations, TokenFacts
from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.jose import InvalidToken
from app.infra.keyring import Keyring
from app.infra.state import Get, Key
from app.kernel import clock
from app.kernel.secrets import lookup_hash
from app.protocols.oauth import dpop, errors, lineage, refused
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.issuance import ACCESS_TOKEN_ALGORITHM, ACCESS_TOKEN_TYPE, OPAQUE_KIND
from app.protocols.oauth.seen_tokens import SeenTokens, digest_of
from app.protocols.oauth.trip import Executes, Trip

MAX_TOKEN = 16_384

_seen: "SeenTokens[AccessToken]" = SeenTokens()


@dataclass(frozen=True)  # Without slots: what is asked of a token again and again is kept beside its members.
class AccessToken:
    """An access token of ours, its signature and times verified, or found in the state store."""

    claims: Mapping[str, Any]
    user_id: str | None = None
    """The person it speaks of, by their id: its `sub` may be pairwise. None for a client's own."""

    @property
    def audience(self) -> tuple[str, ...]:
        """Whom it is for."""
        aud = self.claims["aud"]
        return (aud,) if isinstance(aud, str) else tuple(aud)

    @property
    def scopes(self) -> tuple[str, ...]:
        """What it allows."""
        return tuple(self.claims.get("scope", "").split())

    @property
    def client_id(self) -> str:
        """Whom it was issued to."""
        return str(self.claims["client_id"])

    @property
    def grant_id(self) -> str | None:
        """The authorization event it came of; None for a client's own."""
        return self.claims.get("grant_id")

    @cached_property
    def facts(self) -> TokenFacts:
        """What decides whether it was taken back."""
        user_epoch, _, client_epoch = self.claims["epoch"].partition(".")
        return TokenFacts(
            tenant_id=self.claims["tenant_id"],
            token_id=self.claims["jti"],
            client_id=self.client_id,
            client_epoch=int(client_epoch),
            user_id=self.user_id,
            user_epoch=int(user_epoch),
            grant_id=self.grant_id,
            session_id=self.claims.get("sid"),
            ancestors=lineage.read(self.claims["tenant_id"], self.claims.get(lineage.CLAIM)),
        )

    @cached_property
    def checks(self) -> tuple[Get, ...]:
        """The operations that ask whether it was taken back."""
        return Revocations.check_ops(self.facts)


def is_jwt(token: str) -> bool:
    """Whether it looks like a JWT rather than an opaque token."""
    return token.count(".") == 2


def read_jwt(token: str, tenant: TenantContext, keyring: Keyring) -> AccessToken:
    """A JWT access token of this tenant that has not expired. Whether it was revoked is asked apart.

    Raises `OAuthError`.
    """
    keys = keyring.verification_keys(tenant.id)
    digest = digest_of(tenant.id, token)
    found = _seen.recall(digest, keys)
    if found is None:
        try:
            verified = jose.verify(
                token,
                keys,
                algorithms=(ACCESS_TOKEN_ALGORITHM,),
                typ=ACCESS_TOKEN_TYPE,
                max_bytes=MAX_TOKEN,
            )
        except InvalidToken as fault:
            raise errors.TOKEN_MALFORMED(f"{fault.code}: {fault.detail}") from None
        claims = MappingProxyType(dict(verified.claims))
        if claims.get("iss") != tenant.issuer or claims.get("tenant_id") != tenant.id:
            raise errors.TOKEN_MALFORMED("another issuer")
        found = _read(claims, keyring)
        _seen.remember(digest, keys, found)
    if found.claims["iss"] != tenant.issuer:
        raise errors.TOKEN_MALFORMED("another issuer")
    if found.claims["exp"] <= clock.now().timestamp():
        raise errors.TOKEN_EXPIRED()
    return found


def is_known(token: str, tenant: TenantContext, keyring: Keyring) -> bool:
    """Whether it is an access token this process verified before, for whatever it is worth now."""
    return _seen.recall(digest_of(tenant.id, token), keyring.verification_keys(tenant.id)) is not None


def look_up(token: str, tenant: TenantContext) -> Get:
    """The operation that finds an opaque access token."""
    return Get(Key(tenant.id, OPAQUE_KIND, lookup_hash(token)))


def _read(claims: Mapping[str, Any], keyring: Keyring) -> AccessToken:
    if "grant_id" not in claims:
        return AccessToken(claims)
    return AccessToken(claims, keyring.subjects.user_id(claims["tenant_id"], claims["sub"]))


def from_stored(stored: bytes | None, keyring: Keyring) -> AccessToken | None:
    """The opaque access token that `look_up` found, if it has not expired."""
    if stored is None:
        return None
    claims = json.loads(stored)
    return _read(claims, keyring) if claims["exp"] > clock.now().timestamp() else None


def record_misuse(
    state: Executes,
    keyring: Keyring,
    token: str,
    error: OAuthError,
    *,
    tenant: TenantContext,
    endpoint: str,
    ip: str,
    user_agent: str | None,
) -> None:
    """Put on record that a token of ours came without the proof of what it is bound to: it may have been stolen.

    Nothing is recorded of other refusals, nor of what is no JWT of ours.
    """
    if error.error not in dpop.ERRORS and error.case not in BINDING_CASES:
        return
    try:
        found = read_jwt(token, tenant, keyring)
    except OAuthError:
        return
    refused.record(
        state,
        "token.refused",
        tenant_id=tenant.id,
        client_id=found.client_id,
        reason=error.code,
        ip=ip,
        user_agent=user_agent,
        data={"endpoint": endpoint, "error": error.error},
    )


BINDING_CASES = frozenset({errors.TOKEN_SCHEME, errors.TOKEN_NOT_BOUND, errors.TOKEN_WRONG_KEY})


def read(
    token: str, tenant: TenantContext, keyring: Keyring, revocations: Revocations, trip: Trip
) -> AccessToken:
    """An access token of ours that is good, whatever its format. A JWT takes the one trip, an opaque token two.

    What else `trip` holds goes first, and refuses first. Raises `OAuthError`.
    """
    if is_jwt(token):
        found = read_jwt(token, tenant, keyring)
    else:
        place = trip.add(look_up(token, tenant))
        stored = from_stored(trip.go()[place], keyring)
        if stored is None:
            raise errors.TOKEN_MALFORMED("no such opaque token")
        found = stored
    places = [trip.add(operation) for operation in found.checks]
    results = trip.go()
    if (by := revocations.revoked_by(results[places[0] : places[-1] + 1], found.facts)) is not None:
        raise errors.TOKEN_REVOKED(f"by its {by}")
    return found
