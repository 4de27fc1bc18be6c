"""The one place that speaks SMTP (RFC 5321), with TLS whenever the server offers it."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from app.infra.outbox import DeliveryFailed
from app.kernel.errors import ConfigurationError
from app.kernel.uris import is_loopback_host

TIMEOUT_SECONDS = 15
"""For each answer of the server; a whole delivery stays within the outbox's lease."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over."""

    host: str
    port: int
    implicit_tls: bool
    username: str | None
    password: str | None = field(repr=False)


def parse_url(url: str) -> SmtpServer:
    """Read `smtp://` (STARTTLS when offered) or `smtps://` (TLS from the start), `[user:password@]host[:port]`.

    Raises `ConfigurationError`.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(["WATCHWORD_SMTP_URL: not a URL"]) from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigurationError(
            ["WATCHWORD_SMTP_URL: smtp://[user:password@]host[:port] or smtps:// is wanted"]
        )
    implicit = parts.scheme == "smtps"
    if port is None:
        port = 465 if implicit else 587 if parts.username else 25
    password = unquote(parts.password) if parts.password is not None else None
    return SmtpServer(parts.hostname, port, implicit, unquote(parts.username or "") or None, password)


def send(server: SmtpServer, message: EmailMessage) -> None:
    """Hand the message over. Raises `DeliveryFailed`, permanent when the server refused recipient or content."""
    with _failures(), _connected(server) as connection:
        connection.send_message(message)


def check(server: SmtpServer) -> None:
    """Connect and sign in. Raises `DeliveryFailed`."""
    with _failures(), _connected(server) as connection:
        connection.noop()


@contextmanager
def _connected(server: SmtpServer) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context()
    if server.implicit_tls:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=TIMEOUT_SECONDS, context=context
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    with connection:
        encrypted = server.implicit_tls
        connection.ehlo()
        if not encrypted and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
            encrypted = True
        if server.username is not None:
            if not encrypted and not is_loopback_host(server.host):
                raise DeliveryFailed("the mail server offers no TLS; the password is not sent in the clear")
            connection.login(server.username, server.password or "")
        yield connection


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPRecipientsRefused as fault:
        code, said = next(iter(fault.recipients.values()))
        raise DeliveryFailed(f"recipient refused: {code} {_text(said)}", permanent=code >= 500) from fault
    except smtplib.SMTPAuthenticationError as fault:
        # The operator can mend this, so the message waits.
        raise DeliveryFailed(f"the mail server refused our credentials: {fault.smtp_code}") from fault
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as fault:
        told = f"refused: {fault.smtp_code} {_text(fault.smtp_error)}"
        raise DeliveryFailed(told, permanent=fault.smtp_code >= 500) from fault
    except smtplib.SMTPNotSupportedError as fault:
        raise DeliveryFailed(f"the mail server cannot take this message: {fault}", permanent=True) from fault
    except OSError as fault:  # refused connections, timeouts, TLS faults, and every other SMTPException
        raise DeliveryFailed(f"{type(fault).__name__}: {fault}") from fault


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
