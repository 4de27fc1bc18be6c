"""Clients that authenticate with a token of a trusted issuer instead of a secret (RFC 7523 section 2.2).

A pod shows its service account's token, a build job the one its CI system made for it. Which issuer, subject and claims
that has to be is part of the client's registration (`federated_credentials`).
"""

from app.domain.claim_match import matches
from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext
from app.infra.state import PutIfAbsent
from app.protocols.oauth import errors, foreign
from app.protocols.oauth.foreign import ForeignRefused, ForeignTokens


class FederatedCredentials:
    """Verifies federated client assertions."""

    def __init__(self, tokens: ForeignTokens) -> None:
        self._tokens = tokens

    def verify(self, assertion: str, client: ClientRecord, tenant: TenantContext) -> PutIfAbsent | None:
        """Check everything but reuse; gives the operation that says whether it is a first use, where that counts.

        Raises `OAuthError`.
        """
        issuer = foreign.issuer_of(assertion)
        registered = [one for one in client.federated_credentials if one.issuer == issuer]
        if not registered:
            raise errors.FEDERATED_REFUSED(f"{client.client_id} has no credential of {issuer!r:.300}")
        audiences = {one.audience or tenant.issuer for one in registered}
        try:
            token = self._tokens.verify(assertion, tenant, audiences=audiences, strict=True)
        except ForeignRefused as refusal:
            raise errors.because(errors.FEDERATED_REFUSED, refusal.code)(refusal.detail) from None
        aud = token.claims.get("aud")
        meant_for = {aud} if isinstance(aud, str) else set(aud or ())
        for one in registered:
            is_meant = (one.audience or tenant.issuer) in meant_for
            if is_meant and one.subject == token.subject and matches(token.claims, one.claims):
                return token.used
        raise errors.FEDERATED_REFUSED(f"no credential of {client.client_id} for {token.subject[:300]!r}")
