"""The authorization code grant, its token request (RFC 6749 section 4.1.3, RFC 7636, contracts 3)."""

import hashlib
import re
from typing import Any

from app.domain import codes
from app.domain.codes import CodeRecord
from app.infra.state import Delete
from app.kernel.secrets import b64url, equal
from app.protocols.oauth import errors
from app.protocols.oauth.authlib_seam import AuthorizationCodeGrant, TokenResponse
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.grants.redeeming import Redeeming
from app.protocols.oauth.issuance import Issuance, issue

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
MAX_CODE = 200


class _Code:
    """A code's record as Authlib asks about it."""

    def __init__(self, record: CodeRecord) -> None:
        self.record = record

    def get_redirect_uri(self) -> str | None:
        """What the token request's redirect URI has to be, if the authorization request named one."""
        return self.record.redirect_uri if self.record.redirect_uri_given else None

    def get_scope(self) -> str:
        """What was granted."""
        return " ".join(self.record.scopes)


class AuthorizationCode(AuthorizationCodeGrant, Redeeming):
    """Read, verify client, redirect URI and PKCE, and only then take: one write that the database decides."""

    PARAMETERS = frozenset({"code", "redirect_uri", "code_verifier", "authorization_details"})

    def query_authorization_code(self, code: str, client: object) -> _Code:
        """Authlib's question for the code: everything a wrong presenter may get wrong is checked here."""
        exchange = self.exchange
        tenant_id = exchange.request.tenant.id
        place = exchange.trip.add(codes.look_up(tenant_id, code[:MAX_CODE]))
        stored = exchange.trip.go()[place]
        if stored is None:
            raise errors.CODE_UNKNOWN()
        record = CodeRecord.from_bytes(stored)
        try:
            self._check_presenter(record)
        except OAuthError:
            self._count_wrong_attempt(code)
            raise
        return _Code(record)

    def authenticate_user(self, authorization_code: _Code) -> Issuance:
        """Authlib's question for the person: where the code is taken."""
        return self.redeem(authorization_code.record)

    def generate_token(self, user: Issuance | None = None, *_: Any, **__: Any) -> TokenResponse:
        """Issue what the redeeming transaction settled."""
        if user is None:
            raise RuntimeError("the code was not redeemed")
        exchange = self.exchange
        response = issue(user, exchange.parts.keyring, exchange.resources, exchange.trip)
        exchange.trip.go()
        return response

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """The record stays as a tombstone until it expires: a late replay has to be known for what it is."""

    def _check_presenter(self, record: CodeRecord) -> None:
        if record.client_id != self.exchange.known_client.client_id:
            raise errors.CODE_WRONG_CLIENT(f"issued to {record.client_id}")
        redirect_uri = self.parameter("redirect_uri")
        if (record.redirect_uri_given or redirect_uri) and redirect_uri != record.redirect_uri:
            raise errors.CODE_REDIRECT_URI(ascii(redirect_uri)[:300])
        if record.dpop_jkt is not None and self.exchange.binding.jkt != record.dpop_jkt:
            raise errors.CODE_WRONG_KEY("another DPoP key, or none")
        verifier = self.parameter("code_verifier")
        if record.code_challenge is None:
            # RFC 9700 section 4.8.2: a verifier where there was no challenge is the sign of a downgrade.
            if verifier is not None:
                raise errors.CODE_VERIFIER_UNEXPECTED()
            return
        if verifier is None:
            raise errors.CODE_VERIFIER_MISSING()
        if not _VERIFIER.fullmatch(verifier) or not equal(_s256(verifier), record.code_challenge):
            raise errors.CODE_VERIFIER()

    def _count_wrong_attempt(self, code: str) -> None:
        tenant_id, state = self.exchange.request.tenant.id, self.exchange.parts.state
        outcome = state.execute(codes.count_wrong_attempt(tenant_id, code[:MAX_CODE]))
        if outcome.results[0] >= codes.WRONG_ATTEMPTS:
            state.execute(Delete(codes.key(tenant_id, code[:MAX_CODE])))


def _s256(verifier: str) -> str:
    return b64url(hashlib.sha256(verifier.encode("ascii")).digest())
