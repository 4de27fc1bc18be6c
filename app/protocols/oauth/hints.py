"""Reading an `id_token_hint`: an ID token of ours that comes back, to say who is meant."""

from dataclasses import dataclass

from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Hint:
    """What an ID token of ours says, however old it is."""

    user_id: str
    audience: tuple[str, ...]
    session_id: str | None

    @property
    def client_id(self) -> str:
        """The client it was issued to."""
        return self.audience[0]


def read(token: str, tenant: TenantContext, keyring: Keyring) -> Hint | None:
    """The hint, or None when no key of this tenant signed it as an ID token.

    A signed UserInfo answer is of the same type, key and audience (OIDC Core section 5.3.2): it has no `exp` and says
    nothing of a sign-in. An ID token has one, and the time or the session of the sign-in.
    It may have expired: what counts is that we issued it (OIDC Core section 3.1.2.1, RP-Initiated Logout section 2).
    """
    try:
        verified = jose.verify(
            token,
            keyring.verification_keys(tenant.id),
            algorithms=jose.SIGNING_ALGORITHMS,
            typ="JWT",
        )
    except jose.InvalidToken:
        return None
    claims = verified.claims
    audience = claims.get("aud")
    audience = [audience] if isinstance(audience, str) else audience
    subject, session_id = claims.get("sub"), claims.get("sid")
    user_id = keyring.subjects.user_id(tenant.id, subject) if isinstance(subject, str) else None
    if claims.get("iss") != tenant.issuer or user_id is None:
        return None
    if not isinstance(claims.get("exp"), int | float) or not {"auth_time", "sid"} & claims.keys():
        return None
    if not isinstance(audience, list) or not audience or not all(isinstance(a, str) for a in audience):
        return None
    return Hint(user_id, tuple(audience), session_id if isinstance(session_id, str) else None)
