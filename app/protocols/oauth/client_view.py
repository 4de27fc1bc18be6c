"""A client as Authlib's grants ask about it."""

from typing import Any

from app.domain.clients import ClientRecord
from app.protocols.oauth.authlib_seam import ClientMixin


class ClientView(ClientMixin):
    """Answers Authlib's questions from a `ClientRecord`. Prints as the client's id and nothing else."""

    __slots__ = ("record",)

    def __init__(self, record: ClientRecord) -> None:
        self.record = record

    def __repr__(self) -> str:
        return f"<client {self.record.client_id}>"

    def get_client_id(self) -> str:
        """The client identifier."""
        return self.record.client_id

    def get_default_redirect_uri(self) -> str | None:
        """None: redirect URIs are the authorization steps' business."""
        return None

    def get_allowed_scope(self, scope: str) -> str:
        """The part of a scope the client is registered for."""
        return " ".join(s for s in scope.split() if s in self.record.scopes)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether the redirect URI is registered."""
        return self.record.allows_redirect(redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        """Never: clients are authenticated by `client_auth` alone."""
        return False

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Whether the method is the registered one."""
        return method == self.record.token_endpoint_auth_method

    def check_response_type(self, response_type: str) -> bool:
        """Whether the client is registered for the response type."""
        return response_type in self.record.response_types

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether the client is registered for the grant type."""
        return grant_type in self.record.grant_types

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, ClientView) and other.record == self.record

    __hash__ = None  # type: ignore[assignment]
