"""What a client's profile changes. Everything not named here is the same for all."""

from dataclasses import dataclass

from app.domain.clients import ClientRecord


@dataclass(frozen=True, slots=True)
class Profile:
    """The rules a client is held to."""

    name: str
    pkce_from_confidential: bool
    """Whether confidential clients have to use PKCE as well. Public ones always do (RFC 9700 section 2.1.1)."""


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("oauth2.1", pkce_from_confidential=True),
        # Plain OpenID Connect of 2014: its clients are told apart by their secret and bind the code by nonce.
        Profile("oidc-legacy", pkce_from_confidential=False),
    )
}


def demands_pkce(client: ClientRecord) -> bool:
    """Whether the client's authorization requests need a code challenge."""
    return client.is_public or PROFILES[client.profile].pkce_from_confidential
