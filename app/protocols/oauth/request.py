"""What a protocol endpoint is given: a request already parsed, checked and stripped of its transport."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.tenants import TenantContext
from app.infra.certificates import Presented

REPEATABLE = frozenset({"resource", "audience"})
"""The parameters a request may carry more than once (RFC 8707 section 2, RFC 8693 section 2.1)."""


@dataclass(slots=True)
class ProtocolRequest:
    """One request to a protocol endpoint. The edge makes it, and nothing changes it afterwards.

    `form` holds the parameters of the body alone, each once and none of them empty: a parameter without a value counts
    as absent (RFC 6749 section 3.2). What may be repeated is in `repeated`. Text holds no control characters.
    `headers` has the names in lower case, and only those a protocol asks for.
    """

    method: str
    endpoint: str
    tenant: TenantContext
    form: Mapping[str, str]
    headers: Mapping[str, str]
    remote_address: str
    request_id: str
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    user_agent: str | None = None
    body: bytes = b""
    """The form as it came."""
    path: str = ""
    """Where it came in, below the issuer."""
    certificate: Presented | None = None
    """The certificate of its TLS connection, where the deployment asks clients for one."""
    content: Mapping[str, Any] | None = None
    """The JSON object of the body, at endpoints that take one."""
    segment: str = ""
    """The last segment of the path, at endpoints where it names something."""

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a parameter of `REPEATABLE`, in order."""
        return self.repeated.get(name, ())
