"""Client credentials requests that were granted before, and come again word for word.

A service asks for the same token with the same words all day, from the same place. Who it is and what it may have are
then known, and stay so while the configuration of its tenant has the version it had then: any change to the tenant, its
resources or the client's registration makes it another (`infra.versions`). Limits are asked, and the token and the
record of it made anew, every time: from templates, which hold what is the same each time.

Only what says everything by itself is remembered: a secret, and nothing that is good once (an assertion) or shown by
the connection or a proof (a certificate, DPoP). A request is kept as a digest under a key that dies with the process.
"""

import hashlib
import secrets
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.clients import ClientRecord
from app.infra import audit
from app.infra.state import Op
from app.protocols.oauth.errors import Case
from app.protocols.oauth.request import ProtocolRequest

if TYPE_CHECKING:
    from app.protocols.oauth.issuance import Template

GRANT_TYPE = "client_credentials"
MAX_ENTRIES = 4096

_METHODS = ("client_secret_basic", "client_secret_post")
_KNOWN = frozenset({"grant_type", "scope", "client_id", "client_secret"})


@dataclass(frozen=True, slots=True)
class Granted:
    """What a request came to, and what it was found out under."""

    version: int
    """Of the tenant's configuration, read before anything was found out."""
    client: ClientRecord
    first: tuple[tuple[Op, Case | None], ...]
    """What is asked every time before it is granted (`client_auth.each_time`)."""
    token: "Template"
    record: audit.Template


class Repeated:
    """Remembers granted requests. Bounded; the least recently used go first. Safe for threads."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._key = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, Granted] = OrderedDict()

    def digest_of(
        self, tenant_id: str, authorization: str, address: str, user_agent: str, body: bytes
    ) -> bytes:
        """What a request is called here."""
        # No header holds a NUL, so that the words cannot be divided in another way.
        words = "\0".join((tenant_id, authorization, address, user_agent, ""))
        return hashlib.blake2b(words.encode("utf-8", "surrogatepass") + body, key=self._key).digest()

    def recall(self, digest: bytes) -> Granted | None:
        """What the request came to before. Whether its version is still the one in force is the caller's to see."""
        found = self._entries.get(digest)
        if found is not None:
            with suppress(KeyError):  # another thread may have made room meanwhile
                self._entries.move_to_end(digest)
        return found

    def remember(self, request: ProtocolRequest, granted: Granted) -> None:
        """Keep what a request came to.

        Not where the client's secret may end without its registration changing. Nor where the tenant was seen before
        its configuration had this version: a client takes its time over a request's body.
        """
        client = granted.client
        if client.former_secret_expires_at is not None or request.tenant.version != granted.version:
            return
        if client.token_endpoint_auth_method not in _METHODS:
            return
        digest = self.digest_of(
            request.tenant.id,
            request.headers.get("authorization", ""),
            request.remote_address,
            request.user_agent or "",
            request.body,
        )
        self._entries[digest] = granted
        while len(self._entries) > self._max_entries:
            with suppress(KeyError):
                self._entries.popitem(last=False)


def may_be(request: ProtocolRequest) -> bool:
    """Whether a request says everything by itself, so that the same words may have the same answer."""
    form = request.form
    is_plain = "dpop" not in request.headers and request.certificate is None
    return is_plain and form.get("grant_type") == GRANT_TYPE and _KNOWN.issuperset(form)
