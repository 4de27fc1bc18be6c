"""Mail: committed to the outbox with the change that causes it, sent by the worker over SMTP.

A waiting message is sealed: links in it are as good as passwords. Without an SMTP server a loopback deployment
keeps what it would have sent in a mailbox page; any other refuses to promise mail it cannot send.
"""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.infra import outbox, smtp
from app.infra.audit import Event
from app.infra.log_tables import MailboxMessage
from app.infra.outbox import DeliveryFailed
from app.infra.tenancy import Tenancy
from app.infra.vault import SealError, Vault
from app.kernel import clock, ids, secrets
from app.kernel.errors import Problem
from app.kernel.settings import Settings

TOPIC = "mail"
PURPOSE = "mail"
_MAX_SUBJECT = 200


class Mailer:
    """Promises mail inside a transaction (`send`) and keeps the promise in the worker (`deliver`)."""

    def __init__(self, settings: Settings, vault: Vault, tenancy: Tenancy) -> None:
        self._vault = vault
        self._tenancy = tenancy
        self._server = smtp.parse_url(settings.smtp_url) if settings.smtp_url else None
        self._sender = settings.mail_from or f"no-reply@{_host_of(settings.base_url)}"
        self._to_mailbox = self._server is None and settings.is_loopback

    @property
    def uses_mailbox(self) -> bool:
        """Whether mail is kept for the mailbox page in place of being sent."""
        return self._to_mailbox

    @property
    def can_send(self) -> bool:
        """Whether mail goes anywhere. What depends on it is not offered where it does not."""
        return self._server is not None or self._to_mailbox

    def send(
        self,
        session: Session,
        *,
        tenant: str,
        to: str,
        subject: str,
        text: str,
        html: str | None = None,
        from_name: str = "",
        reply_to: str | None = None,
    ) -> str:
        """Have a message sent to one address once the session's transaction is committed. Gives its id.

        `tenant` is the tenant's id. `from_name` stands beside the deployment's own address. Raises `Problem`:
        `mail.not_configured` (503), `mail.address_invalid`.
        """
        if not self.can_send:
            raise Problem(
                "mail.not_configured",
                "This service cannot send mail at the moment.",
                detail="set WATCHWORD_SMTP_URL (and WATCHWORD_MAIL_FROM) to send mail",
                status=503,
            )
        message_id = ids.new_id()
        content = {
            "to": normalized_address(to),
            "subject": _one_line(subject),
            "from_name": _one_line(from_name),
            "reply_to": normalized_address(reply_to) if reply_to else None,
            "text": text,
            "html": html,
            "at": clock.now().isoformat(),
        }
        sealed = self._vault.seal(PURPOSE, json.dumps(content).encode(), **_place(tenant, message_id))
        payload = {"id": message_id, "sealed": base64.b64encode(sealed).decode("ascii")}
        # The subject orders the messages of one recipient, without naming whom they go to.
        outbox.put(session, TOPIC, secrets.lookup_hash(content["to"] or ""), payload, tenant_id=tenant)
        return message_id

    def deliver(self, tenant_id: str, payload: Mapping[str, Any]) -> Event:
        """The outbox handler: send one message, or keep it for the mailbox page. Raises `DeliveryFailed`."""
        message_id = str(payload["id"])
        try:
            sealed = base64.b64decode(payload["sealed"])
            content = json.loads(self._vault.open(PURPOSE, sealed, **_place(tenant_id, message_id)))
        except SealError as fault:
            raise DeliveryFailed(fault.detail, permanent=True) from fault
        if self._server is not None:
            try:
                smtp.send(self._server, self._message(message_id, content))
            except DeliveryFailed as fault:
                fault.event = _event("mail.failed", tenant_id, message_id, content["to"])
                raise
            return _event("mail.sent", tenant_id, message_id, content["to"], via="smtp")
        if not self._to_mailbox:
            raise DeliveryFailed("no SMTP server is configured")
        self._keep(tenant_id, message_id, content)
        return _event("mail.sent", tenant_id, message_id, content["to"], via="mailbox")

    def check(self) -> None:
        """Greet the SMTP server and sign in to it, without sending anything. Raises `DeliveryFailed`."""
        if self._server is None:
            raise DeliveryFailed("no SMTP server is configured")
        smtp.check(self._server)

    def _message(self, message_id: str, content: Mapping[str, Any]) -> EmailMessage:
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = _address(self._sender, content.get("from_name") or "")
        if content.get("reply_to"):
            message["Reply-To"] = _address(content["reply_to"])
        message["To"] = _address(content["to"])
        message["Subject"] = content["subject"]
        message["Date"] = format_datetime(datetime.fromisoformat(content["at"]))
        # The same for every attempt, so that a repeated delivery is told from a second message.
        message["Message-ID"] = f"<{message_id}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: no vacation replies
        message.set_content(content["text"])
        if content["html"]:
            message.add_alternative(content["html"], subtype="html")
        return message

    def _keep(self, tenant_id: str, message_id: str, content: Mapping[str, Any]) -> None:
        with self._tenancy.session(tenant_id, write=True) as session:
            if session.scalar(select(MailboxMessage.id).where(MailboxMessage.id == message_id)) is None:
                session.add(
                    MailboxMessage(
                        tenant_id=tenant_id,
                        id=message_id,
                        recipient=content["to"],
                        subject=content["subject"],
                        text=content["text"],
                        html=content["html"],
                    )
                )


def mailbox(session: Session, limit: int = 50) -> list[MailboxMessage]:
    """The newest messages of the session's tenant that were kept in place of being sent."""
    return list(session.scalars(select(MailboxMessage).order_by(MailboxMessage.id.desc()).limit(limit)))


def kept(session: Session, message_id: str) -> MailboxMessage | None:
    """One of those messages."""
    return session.scalar(select(MailboxMessage).where(MailboxMessage.id == message_id))


def normalized_address(text: str) -> str:
    """An e-mail address as mail is sent to it. Raises `Problem` (`mail.address_invalid`) when it is none.

    Addresses of private networks (`alice@mail.corp`) are addresses; whether a server takes them is its decision.
    """
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as fault:
        raise Problem(
            "mail.address_invalid", "This is not an e-mail address.", detail=str(fault)[:200]
        ) from None
    return found.ascii_email or found.normalized


def _address(text: str, name: str = "") -> Address:
    """An address as a header says it: the name quoted or encoded, so that it is never another address."""
    user, _, domain = text.rpartition("@")
    return Address(name, username=user, domain=domain)


def _one_line(text: str) -> str:
    """What can be nothing but one header, and reads as it is written: no line breaks, no control characters, and no
    encoded words (RFC 2047 section 2), which would be decoded into either."""
    printable = "".join(c if c.isprintable() else " " for c in text).replace("=?", "= ?")
    return " ".join(printable.split())[:_MAX_SUBJECT]


def _place(tenant_id: str, message_id: str) -> dict[str, str]:
    return {"tenant": tenant_id, "table": "outbox", "column": "payload", "row": message_id}


def _host_of(base_url: str) -> str:
    return urlsplit(base_url).hostname or "localhost"


def _event(name: str, tenant_id: str, message_id: str, to: str, **data: str) -> Event:
    failed = name == "mail.failed"
    return Event(
        name,
        tenant_id=tenant_id,
        outcome="failure" if failed else "success",
        reason="mail.undeliverable" if failed else None,
        email=to,
        data={"message_id": message_id, **data},
    )
