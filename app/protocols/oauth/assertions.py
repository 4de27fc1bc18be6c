"""Client assertions: JWTs a client authenticates with (RFC 7523 section 2.2, OpenID Connect Core section 9)."""

from collections.abc import Mapping
from typing import Any

from app.domain.client_metadata import ASSERTION_ALGORITHMS
from app.domain.client_secrets import ClientSecrets
from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.jose import InvalidToken, Verified
from app.infra.state import Key, PutIfAbsent
from app.kernel import clock
from app.kernel.secrets import lookup_hash
from app.protocols.oauth import errors, profiles
from app.protocols.oauth.client_keys import ClientKeys

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
METHODS = ("private_key_jwt", "client_secret_jwt")
ASYMMETRIC = tuple(alg for alg in ASSERTION_ALGORITHMS if alg != "HS256")

MAX_LIFE_SECONDS = 600
SKEW_SECONDS = 30
"""A client's clock may be that far ahead of or behind ours."""
MAX_JTI = 256
OTHER_TYPES = frozenset(
    {
        "at+jwt",
        "dpop+jwt",
        "logout+jwt",
        "oauth-authz-req+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
    }
)
"""JWTs of these types are for something else."""


def is_own(assertion: str) -> bool:
    """Whether it says that the client made it itself, nothing verified. Raises `OAuthError`."""
    try:
        claims = jose.unverified(assertion).claims
    except InvalidToken as fault:
        raise errors.ASSERTION_INVALID(f"{fault.code}: {fault.detail}") from None
    return isinstance(claims.get("sub"), str) and claims.get("iss") == claims["sub"]


def claimed_client_id(assertion: str) -> str:
    """Whose assertion it says it is, nothing verified. Raises `OAuthError`."""
    try:
        claims = jose.unverified(assertion).claims
    except InvalidToken as fault:
        raise errors.ASSERTION_INVALID(f"{fault.code}: {fault.detail}") from None
    subject = claims.get("sub")
    if not isinstance(subject, str) or claims.get("iss") != subject:
        raise errors.ASSERTION_INVALID("iss and sub have to be the client_id")
    return subject


class Assertions:
    """Verifies client assertions."""

    def __init__(self, keys: ClientKeys, client_secrets: ClientSecrets) -> None:
        self._keys = keys
        self._secrets = client_secrets

    def verify(
        self, assertion: str, client: ClientRecord, tenant: TenantContext, endpoint_url: str
    ) -> PutIfAbsent:
        """Check everything but reuse; gives the operation that, once carried out, says whether it is a first use.

        Raises `OAuthError`.
        """
        signed = self._signed(assertion, client, tenant)
        claims = signed.claims
        _check_type(signed.header.get("typ"))
        _check_audience(claims.get("aud"), client, tenant, endpoint_url)
        expires_at = _check_times(claims)
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI:
            raise errors.ASSERTION_INVALID("jti is missing, or no text of up to 256 characters")
        # RFC 7523 section 3, item 7: a jti is remembered for as long as the assertion would be accepted.
        ttl = max(1, int(expires_at - clock.now().timestamp()) + SKEW_SECONDS + 1)
        used = Key(tenant.id, "assertion", lookup_hash(f"{client.client_id}\0{jti}"))
        return PutIfAbsent(used, b"1", ttl, required=True)

    def _signed(self, assertion: str, client: ClientRecord, tenant: TenantContext) -> Verified:
        try:
            if client.token_endpoint_auth_method == "client_secret_jwt":
                return self._verify_symmetric(assertion, client, tenant.id)
            return self._verify_asymmetric(assertion, client, tenant)
        except InvalidToken as fault:
            raise errors.ASSERTION_INVALID(f"{fault.code}: {fault.detail}") from None

    def _verify_symmetric(self, assertion: str, client: ClientRecord, tenant_id: str) -> Verified:
        if client.secret_sealed is None:
            raise errors.ASSERTION_INVALID("the client has no secret to sign with; rotate it")
        secret = self._secrets.open(tenant_id, client.client_id, client.secret_sealed)
        keys = [jose.symmetric_key(secret)]
        if client.has_former_secret and client.former_secret_sealed is not None:
            former = self._secrets.open_former(tenant_id, client.client_id, client.former_secret_sealed)
            keys.append(jose.symmetric_key(former))
        return jose.verify(assertion, keys, algorithms=("HS256",))

    def _verify_asymmetric(self, assertion: str, client: ClientRecord, tenant: TenantContext) -> Verified:
        allowed = profiles.of(client, tenant).algorithms or ASYMMETRIC
        algorithms = profiles.accepted_algorithms(client.token_endpoint_auth_signing_alg, allowed)
        found = self._keys.verify(assertion, tenant.id, client, algorithms)
        if found is None:
            raise errors.CLIENT_KEYS_UNAVAILABLE(f"no keys at {client.jwks_uri}")
        return found


def _check_type(typ: Any) -> None:
    """A JWT the client signed for another purpose authenticates nobody (RFC 8725 section 3.11); types that are not
    known are let through, for rfc7523bis is to give assertions one."""
    if isinstance(typ, str) and typ.lower().removeprefix("application/") in OTHER_TYPES:
        raise errors.ASSERTION_INVALID(f"a JWT of type {typ!a:.60}")


def _check_audience(aud: Any, client: ClientRecord, tenant: TenantContext, endpoint_url: str) -> None:
    """The issuer alone; clients of 2014 name the endpoint, which lets whoever runs another server replay it there."""
    values = [aud] if isinstance(aud, str) else aud
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise errors.ASSERTION_AUDIENCE("aud is missing or no text")
    wanted = profiles.of(client, tenant).assertion_audience
    if wanted == profiles.ANY_ENDPOINT:
        token_endpoint = f"{tenant.issuer}/token"
        if {tenant.issuer, token_endpoint, endpoint_url}.isdisjoint(values):
            raise errors.ASSERTION_AUDIENCE(ascii(values)[:300])
    elif values != [tenant.issuer] or (wanted == profiles.ISSUER_TEXT and not isinstance(aud, str)):
        raise errors.ASSERTION_AUDIENCE(ascii(aud)[:300])


def _check_times(claims: Mapping[str, Any]) -> float:
    """Raises `OAuthError`; gives when the assertion expires."""
    now = clock.now().timestamp()
    exp = _number(claims, "exp")
    if exp is None or exp <= now - SKEW_SECONDS or exp > now + MAX_LIFE_SECONDS + SKEW_SECONDS:
        raise errors.ASSERTION_TIMES(f"exp {exp}, now {now:.0f}")
    for name in ("nbf", "iat"):
        moment = _number(claims, name)
        if moment is not None and moment > now + SKEW_SECONDS:
            raise errors.ASSERTION_TIMES(f"{name} {moment}, now {now:.0f}")
    return exp


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1 << 53:
        raise errors.ASSERTION_TIMES(f"{name} is no NumericDate")
    return float(value)
