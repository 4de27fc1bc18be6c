"""The documents clients configure themselves from: made once per configuration, answered as bytes."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.domain.authorization_details import DetailsTypes
from app.domain.tenants import TenantContext
from app.infra.cache import ConfigCache
from app.infra.keyring import Document, Keyring
from app.protocols.oauth import metadata
from app.protocols.oauth.reply import Reply, encode
from app.protocols.oauth.request import ProtocolRequest
from app.web.endpoints import ENDPOINTS

CACHE_SECONDS = 300
"""How long others may keep a document. A key is published (`next`) long before it signs."""

_CHALLENGE = "authorization_challenge_endpoint"
"""No registered name, so it is for those who look for it, where there are any (contracts 21)."""
_BY_MEMBER: Mapping[str, str] = {e.member: e.path for e in ENDPOINTS if e.member}
_PATHS: Mapping[str, str] = {member: path for member, path in _BY_MEMBER.items() if member != _CHALLENGE}

Build = Callable[
    [TenantContext, Mapping[str, str], tuple[str, ...], metadata.Transport, Iterable[str]], dict[str, Any]
]


class WellKnown:
    """Answers discovery and JWKS. Neither the database nor the state store is asked."""

    def __init__(
        self,
        cache: ConfigCache,
        keyring: Keyring,
        grant_types: Callable[[str], tuple[str, ...]],
        transport: metadata.Transport,
        details_types: DetailsTypes,
        challenges: Callable[[str], bool],
    ) -> None:
        self._challenges = challenges
        self._details_types = details_types
        self._transport = transport
        self._cache = cache
        self._keyring = keyring
        self._grant_types = grant_types

    def openid_configuration(self, request: ProtocolRequest) -> Reply:
        """OpenID Connect Discovery 1.0 section 4."""
        return _answer(request, self._document(request.tenant, "openid", metadata.openid_document))

    def oauth_metadata(self, request: ProtocolRequest) -> Reply:
        """RFC 8414 section 3."""
        return _answer(request, self._document(request.tenant, "oauth", metadata.oauth_document))

    def jwks(self, request: ProtocolRequest) -> Reply:
        """The JWK Set (RFC 7517 section 5)."""
        return _answer(request, self._keyring.jwks(request.tenant.id))

    def _document(self, tenant: TenantContext, name: str, build: Build) -> Document:
        def make() -> Document:
            types = self._details_types.all(tenant.id)
            paths = _paths(tenant)
            if name == "oauth" and self._challenges(tenant.id):
                paths = {**paths, _CHALLENGE: _BY_MEMBER[_CHALLENGE]}
            body = encode(build(tenant, paths, self._grant_types(tenant.id), self._transport, types))
            return Document(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

        return self._cache.get(tenant.id, "metadata", (name, tenant.issuer), make)


def _paths(tenant: TenantContext) -> Mapping[str, str]:
    """The endpoints of a tenant by their metadata members: what is off is not spoken of."""
    if tenant.settings.registration.clients != "off":
        return _PATHS
    return {member: path for member, path in _PATHS.items() if member != "registration_endpoint"}


def _answer(request: ProtocolRequest, document: Document) -> Reply:
    headers = (
        ("Content-Type", "application/json"),
        ("Cache-Control", f"public, max-age={CACHE_SECONDS}"),
        ("ETag", document.etag),
    )
    if _matches(request.headers.get("if-none-match"), document.etag):
        return Reply(304, headers[1:], b"")
    return Reply(200, headers, document.body)


def _matches(if_none_match: str | None, etag: str) -> bool:
    """RFC 9110 section 13.1.2: weak comparison, any of a list, or `*`."""
    if if_none_match is None:
        return False
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in if_none_match.split(","))
