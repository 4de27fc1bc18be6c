"""Cookies: one tenant's each, readable by no script, sent along on no request another site makes but a navigation.

Over https their names begin with `__Host-`, which makes the browser refuse a cookie another host or path set
(RFC 6265bis section 4.1.3.2). On http, which is a loopback address, that prefix and `Secure` are not to be had.
"""

import json
import re
from dataclasses import asdict, dataclass

from flask import Response, after_this_request, g, request

from app.domain.tenants import TenantContext
from app.infra.vault import SealError, Vault
from app.kernel import clock
from app.kernel.secrets import b64url, lookup_hash, unb64url

INTERACTION_SECONDS = 86400
"""The cookie outlives the interaction, so that an expired one is no dead end (contracts 18)."""
MAX_INTERACTIONS = 5
MAX_STUB_BYTES = 2500

_PURPOSE = "interaction-cookie"
_STAMPED = re.compile(r"[0-9]{1,12}\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Stub:
    """What the browser keeps of an interaction: its own secret, and enough to find the way back to the client."""

    secret: str
    client_id: str | None = None
    redirect_uri: str | None = None
    response_mode: str = "query"
    state: str | None = None


class Cookies:
    """Reads the cookies of the current request, and puts cookies on answers."""

    def __init__(self, vault: Vault, *, https: bool) -> None:
        self._vault = vault
        self._https = https

    def name(self, tenant: TenantContext, suffix: str = "") -> str:
        """The name of a tenant's cookie; without suffix, that of the session."""
        prefix = "__Host-" if self._https else ""
        return f"{prefix}ww-{tenant.id}{'-' + suffix if suffix else ''}"

    def read(self, tenant: TenantContext, suffix: str = "") -> str | None:
        """The value the browser sent, or the one `put` gave it just now, if any."""
        name = self.name(tenant, suffix)
        put: dict[str, str | None] = g.get("cookies_put", {})
        return put[name] if name in put else request.cookies.get(name) or None

    def put(self, tenant: TenantContext, value: str | None, suffix: str = "") -> None:
        """Give the browser a cookie for as long as it runs, or take it away (None), with whatever is answered. What is
        left of this request reads it so already."""
        put: dict[str, str | None] = g.setdefault("cookies_put", {})
        is_first = self.name(tenant, suffix) not in put
        put[self.name(tenant, suffix)] = value
        if is_first:

            @after_this_request
            def deliver(response: Response) -> Response:
                latest = put[self.name(tenant, suffix)]
                if latest is None:
                    self.delete(response, tenant, suffix)
                else:
                    self.set(response, tenant, latest, suffix=suffix)
                return response

    def set(
        self,
        response: Response,
        tenant: TenantContext,
        value: str,
        *,
        suffix: str = "",
        seconds: int | None = None,
    ) -> None:
        """Set a cookie for `seconds`, or for as long as the browser runs."""
        response.set_cookie(
            self.name(tenant, suffix),
            value,
            max_age=seconds,
            path="/",
            secure=self._https,
            httponly=True,
            samesite="Lax",
        )

    def delete(self, response: Response, tenant: TenantContext, suffix: str = "") -> None:
        """Make the browser forget a cookie."""
        response.delete_cookie(
            self.name(tenant, suffix), path="/", secure=self._https, httponly=True, samesite="Lax"
        )

    def set_stub(self, response: Response, tenant: TenantContext, interaction_id: str, stub: Stub) -> None:
        """Bind an interaction to this browser. Each has a cookie of its own, so that tabs do not disturb each other."""
        content = _encode(stub)
        if len(content) > MAX_STUB_BYTES:
            content = _encode(Stub(stub.secret, stub.client_id))
        sealed = b64url(self._vault.seal(_PURPOSE, content, **_place(tenant, interaction_id)))
        stamped = f"{clock.timestamp(clock.now())}.{sealed}"
        for suffix in self._oldest(tenant):
            self.delete(response, tenant, suffix)
        self.set(response, tenant, stamped, suffix=_suffix(interaction_id), seconds=INTERACTION_SECONDS)

    def stub(self, tenant: TenantContext, interaction_id: str) -> Stub | None:
        """What this browser keeps of an interaction; None when it never was there."""
        value = self.read(tenant, _suffix(interaction_id))
        if value is None or not _STAMPED.fullmatch(value):
            return None
        try:
            sealed = unb64url(value.partition(".")[2])
            content = self._vault.open(_PURPOSE, sealed, **_place(tenant, interaction_id))
        except (SealError, ValueError):
            return None
        return Stub(**json.loads(content))

    def delete_stub(self, response: Response, tenant: TenantContext, interaction_id: str) -> None:
        """Forget an interaction."""
        self.delete(response, tenant, _suffix(interaction_id))

    def _oldest(self, tenant: TenantContext) -> list[str]:
        """The interactions that have to go for a new one: a browser's headers are not endless."""
        prefix = self.name(tenant, "i")
        mine = sorted(
            (int(value.partition(".")[0]) if _STAMPED.fullmatch(value) else 0, name)
            for name, value in request.cookies.items()
            if name.startswith(prefix)
        )
        cut = len(self.name(tenant)) + 1
        return [name[cut:] for _, name in mine[: max(0, len(mine) - MAX_INTERACTIONS + 1)]]


def _encode(stub: Stub) -> bytes:
    return json.dumps(asdict(stub), separators=(",", ":")).encode()


def _suffix(interaction_id: str) -> str:
    return "i" + lookup_hash(interaction_id)[:12]


def _place(tenant: TenantContext, interaction_id: str) -> dict[str, str]:
    return {
        "tenant": tenant.id,
        "table": "cookies",
        "column": "interaction",
        "row": lookup_hash(interaction_id),
    }
