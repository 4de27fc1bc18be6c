"""Text messages: committed to the outbox with the change that causes them, handed over by the worker.

The seam is `Sender`: one ships, which posts to a URL of the operator's choice (`HttpSender`). Without a URL there are
no text messages, and nobody is offered any. A waiting message is sealed: the code in it is as good as a password.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote_plus, urlsplit

from sqlalchemy.orm import Session

from app.infra import outbox
from app.infra.audit import Event
from app.infra.fetch import Fetcher, FetchFailed
from app.infra.outbox import DeliveryFailed
from app.infra.vault import SealError, Vault
from app.kernel import ids, secrets
from app.kernel.errors import Problem
from app.kernel.settings import Settings

TOPIC = "sms"
PURPOSE = "sms"
_TOO_MANY = 429
_TIMEOUT = 408


class Sender(Protocol):
    """Whatever takes a text message to a telephone."""

    def send(self, to: str, text: str) -> None:
        """Send a text to a number (E.164). Raises `DeliveryFailed`."""


class HttpSender:
    """Posts each message to one URL, in the shape the operator gave (`Settings.sms_body`)."""

    def __init__(self, fetcher: Fetcher, url: str, token: str, body: str) -> None:
        self._fetcher = fetcher
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._body = body
        self._is_json = body.lstrip().startswith(('{"', "{ ", "{\n", "["))

    def send(self, to: str, text: str) -> None:
        """Post it. Anything but a 2xx is a failure; a 4xx, but for 408 and 429, is one for good."""
        kind = "application/json" if self._is_json else "application/x-www-form-urlencoded"
        try:
            answer = self._fetcher.post(
                self._url,
                self._filled(to, text).encode(),
                content_type=kind,
                headers=self._headers,
                accept="*/*",
            )
        except FetchFailed as fault:
            raise DeliveryFailed(f"sms: {fault.code}") from fault
        if not 200 <= answer.status < 300:
            is_final = 400 <= answer.status < 500 and answer.status not in (_TOO_MANY, _TIMEOUT)
            raise DeliveryFailed(f"sms: the service answered {answer.status}", permanent=is_final)

    def _filled(self, to: str, text: str) -> str:
        write = (lambda value: json.dumps(value)[1:-1]) if self._is_json else quote_plus
        # In one pass, so that nothing in a value is taken for a place.
        return "".join(
            {"to": write(to), "text": write(text)}.get(part, part) if at % 2 else part
            for at, part in enumerate(_split(self._body))
        )


class Texter:
    """Promises text messages inside a transaction (`send`) and keeps the promise in the worker (`deliver`)."""

    def __init__(self, vault: Vault, sender: Sender | None) -> None:
        self._vault = vault
        self._sender = sender

    @property
    def is_on(self) -> bool:
        """Whether text messages can be sent at all."""
        return self._sender is not None

    def send(self, session: Session, *, tenant: str, to: str, text: str) -> str:
        """Have a text sent to a number once the session's transaction is committed. Gives the message's id.

        Raises `Problem` (`sms.not_configured`, 503).
        """
        if self._sender is None:
            raise Problem(
                "sms.not_configured",
                "This service cannot send text messages.",
                detail="set WATCHWORD_SMS_URL to send text messages",
                status=503,
            )
        message_id = ids.new_id()
        content = json.dumps({"to": to, "text": text}).encode()
        sealed = self._vault.seal(PURPOSE, content, **_place(tenant, message_id))
        payload = {"id": message_id, "sealed": base64.b64encode(sealed).decode("ascii")}
        outbox.put(session, TOPIC, secrets.lookup_hash(to), payload, tenant_id=tenant)
        return message_id

    def deliver(self, tenant_id: str, payload: Mapping[str, Any]) -> Event | None:
        """The outbox handler. Raises `DeliveryFailed`."""
        message_id = str(payload["id"])
        try:
            sealed = base64.b64decode(payload["sealed"])
            content = json.loads(self._vault.open(PURPOSE, sealed, **_place(tenant_id, message_id)))
        except SealError as fault:
            raise DeliveryFailed(fault.detail, permanent=True) from fault
        if self._sender is None:
            raise DeliveryFailed("no SMS service is configured")
        try:
            self._sender.send(content["to"], content["text"])
        except DeliveryFailed as fault:
            fault.event = _event("sms.failed", tenant_id, message_id)
            raise
        return _event("sms.sent", tenant_id, message_id)


def sender_of(settings: Settings) -> Sender | None:
    """The sender the settings describe; None: there are no text messages. The operator's own URL may be anywhere."""
    if not settings.sms_url:
        return None
    host = urlsplit(settings.sms_url).hostname or ""
    fetcher = Fetcher((*settings.fetch_allow, host))
    return HttpSender(fetcher, settings.sms_url, settings.sms_token, settings.sms_body)


def _split(body: str) -> list[str]:
    """Literal text and the names of places, by turns."""
    found: list[str] = []
    rest = body
    while True:
        at, name = min(
            ((rest.find("{" + name + "}"), name) for name in ("to", "text") if "{" + name + "}" in rest),
            default=(-1, ""),
        )
        if at < 0:
            return [*found, rest]
        found += [rest[:at], name]
        rest = rest[at + len(name) + 2 :]


def _place(tenant_id: str, message_id: str) -> dict[str, str]:
    return {"tenant": tenant_id, "table": "outbox", "column": "payload", "row": message_id}


def _event(name: str, tenant_id: str, message_id: str) -> Event:
    failed = name == "sms.failed"
    return Event(
        name,
        tenant_id=tenant_id,
        outcome="failure" if failed else "success",
        reason="sms.undeliverable" if failed else None,
        data={"message_id": message_id},
    )
