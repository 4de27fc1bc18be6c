"""Mail, against a real SMTP server: sealed while it waits, one header per header, and honest about refusals."""

import dataclasses
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.infra import mail, master_key, outbox, smtp
from app.infra.mail import Mailer
from app.infra.outbox import DeliveryFailed, Outbox
from app.infra.vault import Vault
from app.kernel.errors import ConfigurationError, Problem
from app.kernel.settings import Settings
from tests.unit.infra.log_parts import Parts, parts_of

SECRET_LINK = "https://id.example.com/first-admin/s3cr3t-canary"


class Inbox:
    """What the server took, and what it is to refuse."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refusal = ""
        self.data_refusal = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.data_refusal:
            return self.data_refusal
        self.recipients += envelope.rcpt_tos
        found = message_from_bytes(envelope.content, policy=default_policy)
        assert isinstance(found, EmailMessage)
        self.messages.append(found)
        return "250 OK"


class Server(Controller):
    """aiosmtpd on a free port."""

    def __init__(self, inbox: Inbox, **options: Any) -> None:
        self._smtp_options = options
        super().__init__(inbox, hostname="127.0.0.1", port=_free_port())

    def factory(self) -> SMTP:
        return SMTP(self.handler, **self._smtp_options)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def server(inbox: Inbox) -> Iterator[Server]:
    found = Server(inbox)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def parts(deployment: Settings) -> Iterator[Parts]:
    with parts_of(deployment) as found:
        yield found


@pytest.fixture
def tenant_id(parts: Parts) -> str:
    return parts.tenant()


def mailer_of(parts: Parts, **changes: Any) -> Mailer:
    settings = dataclasses.replace(parts.settings, **changes)
    return Mailer(settings, Vault(master_key.load(settings)), parts.tenancy)


@pytest.fixture
def mailer(parts: Parts, server: Server) -> Mailer:
    return mailer_of(parts, smtp_url=f"smtp://127.0.0.1:{server.port}", mail_from="id@example.com")


def send(parts: Parts, mailer: Mailer, tenant_id: str, **changes: Any) -> str:
    message = {
        "to": "alice@example.com",
        "subject": "Your link",
        "text": f"Open {SECRET_LINK}",
        "html": f'<p><a href="{SECRET_LINK}">Open</a></p>',
        **changes,
    }
    with parts.tenancy.session(tenant_id, write=True) as session:
        return mailer.send(session, tenant=tenant_id, **message)


def waiting(parts: Parts, tenant_id: str) -> outbox.Claim:
    (claim,) = Outbox(parts.tenancy).claim(tenant_id)
    return claim


def deliver(parts: Parts, mailer: Mailer, tenant_id: str) -> Any:
    return mailer.deliver(tenant_id, waiting(parts, tenant_id).payload)


def test_a_message_arrives_as_text_and_html(
    parts: Parts, tenant_id: str, mailer: Mailer, inbox: Inbox
) -> None:
    message_id = send(parts, mailer, tenant_id)
    event = deliver(parts, mailer, tenant_id)
    (message,) = inbox.messages
    assert inbox.recipients == ["alice@example.com"]
    assert (message["From"], message["To"], message["Subject"]) == (
        "id@example.com",
        "alice@example.com",
        "Your link",
    )
    assert message["Message-ID"] == f"<{message_id}@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert datetime.now(UTC) - message["Date"].datetime < timedelta(minutes=1)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert SECRET_LINK in text.get_content()
    assert SECRET_LINK in html.get_content()
    assert (event.name, event.email, event.data["message_id"]) == (
        "mail.sent",
        "alice@example.com",
        message_id,
    )


def test_a_waiting_message_is_sealed_and_does_not_name_its_recipient(
    parts: Parts, tenant_id: str, mailer: Mailer
) -> None:
    send(parts, mailer, tenant_id)
    claim = waiting(parts, tenant_id)
    assert "canary" not in str(claim)
    assert "alice" not in str(claim)
    assert set(claim.payload) == {"id", "sealed"}


def test_a_message_moved_to_another_tenant_does_not_open(
    parts: Parts, tenant_id: str, mailer: Mailer
) -> None:
    send(parts, mailer, tenant_id)
    with pytest.raises(DeliveryFailed) as fault:
        mailer.deliver(parts.tenant(), waiting(parts, tenant_id).payload)
    assert fault.value.permanent


def test_messages_to_one_recipient_are_ordered(parts: Parts, tenant_id: str, mailer: Mailer) -> None:
    send(parts, mailer, tenant_id, subject="one")
    send(parts, mailer, tenant_id, subject="two", to="alice@EXAMPLE.com")
    send(parts, mailer, tenant_id, subject="three", to="bob@example.com")
    assert len(Outbox(parts.tenancy).claim(tenant_id)) == 2


@pytest.mark.parametrize(
    "subject",
    [
        "Hi\r\nBcc: eve@example.com",
        "Hi\nBcc: eve@example.com",
        "Hi\u2028Bcc: eve@example.com",
        "Hi\x00\x0b\x85",
    ],
)
def test_a_subject_is_one_header(
    parts: Parts, tenant_id: str, mailer: Mailer, inbox: Inbox, subject: str
) -> None:
    send(parts, mailer, tenant_id, subject=subject)
    deliver(parts, mailer, tenant_id)
    (message,) = inbox.messages
    assert message["Bcc"] is None
    assert message["Subject"].startswith("Hi")
    assert inbox.recipients == ["alice@example.com"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "alice",
        "alice@",
        "@example.com",
        "alice@example.com\r\nBcc: eve@example.com",
        "alice@example.com, eve@example.com",
        "Alice <alice@example.com>",
        "alice@example.com ",
        "alice@[127.0.0.1]",
        '"a b"@example.com',
        "a" * 300 + "@example.com",
        "alice@-example.com",
    ],
)
def test_what_is_no_address_is_refused(parts: Parts, tenant_id: str, mailer: Mailer, address: str) -> None:
    with pytest.raises(Problem, match=r"mail\.address_invalid"):
        send(parts, mailer, tenant_id, to=address)


def test_addresses_of_private_networks_and_other_scripts_are_taken() -> None:
    assert mail.normalized_address("alice@mail.corp") == "alice@mail.corp"
    assert mail.normalized_address("alice@Bücher.example") == "alice@xn--bcher-kva.example"


@pytest.mark.parametrize(("answer", "permanent"), [("550 no such mailbox", True), ("450 try later", False)])
def test_a_refused_recipient_is_told_from_a_busy_server(
    parts: Parts, tenant_id: str, mailer: Mailer, inbox: Inbox, answer: str, permanent: bool
) -> None:
    inbox.refusal = answer
    send(parts, mailer, tenant_id)
    with pytest.raises(DeliveryFailed) as fault:
        deliver(parts, mailer, tenant_id)
    assert fault.value.permanent is permanent
    assert answer[4:] in fault.value.reason
    assert fault.value.event is not None
    assert fault.value.event.name == "mail.failed"


@pytest.mark.parametrize(("answer", "permanent"), [("554 spam", True), ("451 later", False)])
def test_refused_content_likewise(
    parts: Parts, tenant_id: str, mailer: Mailer, inbox: Inbox, answer: str, permanent: bool
) -> None:
    inbox.data_refusal = answer
    send(parts, mailer, tenant_id)
    with pytest.raises(DeliveryFailed) as fault:
        deliver(parts, mailer, tenant_id)
    assert fault.value.permanent is permanent


def test_a_server_that_does_not_answer_is_tried_again(parts: Parts, tenant_id: str) -> None:
    mailer = mailer_of(parts, smtp_url="smtp://127.0.0.1:1")
    send(parts, mailer, tenant_id)
    with pytest.raises(DeliveryFailed) as fault:
        deliver(parts, mailer, tenant_id)
    assert not fault.value.permanent
    with pytest.raises(DeliveryFailed):
        mailer.check()


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(hours=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


@pytest.fixture
def tls_server(inbox: Inbox, tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """A server that offers STARTTLS and lets in `mailer` with its password, over TLS only."""
    certificate_file, key_file = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        right = (data.login, data.password) == (b"mailer", b"pass:w%rd")
        # Not handled: the server says no by itself.
        return AuthResult(success=right, handled=False)

    found = Server(inbox, tls_context=context, authenticator=authenticate, auth_required=True)
    found.start()
    yield found, certificate_file
    found.stop()


def test_starttls_is_used_and_the_password_sent_over_it(
    parts: Parts,
    tenant_id: str,
    tls_server: tuple[Server, Path],
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiosmtpd offers AUTH after STARTTLS alone."""
    server, certificate = tls_server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    mailer = mailer_of(parts, smtp_url=f"smtp://mailer:pass%3Aw%25rd@localhost:{server.port}")
    mailer.check()
    send(parts, mailer, tenant_id)
    deliver(parts, mailer, tenant_id)
    assert len(inbox.messages) == 1


def test_a_certificate_nobody_vouches_for_is_refused(
    parts: Parts, tenant_id: str, tls_server: tuple[Server, Path], inbox: Inbox
) -> None:
    mailer = mailer_of(parts, smtp_url=f"smtp://mailer:pass%3Aw%25rd@localhost:{tls_server[0].port}")
    send(parts, mailer, tenant_id)
    with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
        deliver(parts, mailer, tenant_id)
    assert inbox.messages == []


def test_a_wrong_password_waits_for_the_operator(
    parts: Parts, tenant_id: str, tls_server: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = tls_server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    mailer = mailer_of(parts, smtp_url=f"smtp://mailer:wrong-canary@localhost:{server.port}")
    with pytest.raises(DeliveryFailed) as fault:
        mailer.check()
    assert not fault.value.permanent
    assert "refused our credentials: 535" in fault.value.reason
    assert "canary" not in fault.value.reason


def test_without_a_server_a_loopback_deployment_keeps_mail_once(parts: Parts, tenant_id: str) -> None:
    mailer = mailer_of(parts)
    assert mailer.uses_mailbox
    message_id = send(parts, mailer, tenant_id)
    payload = waiting(parts, tenant_id).payload
    for _ in range(2):
        event = mailer.deliver(tenant_id, payload)
        assert event.data["via"] == "mailbox"
    with parts.tenancy.session(tenant_id) as session:
        (kept,) = mail.mailbox(session)
    assert (kept.id, kept.recipient, kept.subject) == (message_id, "alice@example.com", "Your link")
    assert SECRET_LINK in kept.text
    assert kept.html is not None
    with parts.tenancy.session(parts.tenant()) as session:
        assert mail.mailbox(session) == []


def test_without_a_server_any_other_deployment_promises_no_mail(parts: Parts, tenant_id: str) -> None:
    mailer = mailer_of(parts, base_url="https://id.example.com")
    with pytest.raises(Problem, match=r"mail\.not_configured"):
        send(parts, mailer, tenant_id)
    with pytest.raises(DeliveryFailed):
        mailer.check()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 25, False, None)),
        ("smtp://u:p@mail.example.com", ("mail.example.com", 587, False, "u")),
        ("smtps://u%40x:p@mail.example.com", ("mail.example.com", 465, True, "u@x")),
        ("smtp://[::1]:2525/", ("::1", 2525, False, None)),
    ],
)
def test_smtp_urls(url: str, expected: tuple[str, int, bool, str | None]) -> None:
    found = smtp.parse_url(url)
    assert (found.host, found.port, found.implicit_tls, found.username) == expected
    assert "password" not in repr(found)


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://x/y", "smtp://x:port"])
def test_bad_smtp_urls(url: str) -> None:
    with pytest.raises(ConfigurationError):
        smtp.parse_url(url)


def test_a_password_is_not_sent_in_the_clear(
    inbox: Inbox, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "is_loopback_host", lambda host: False)
    with pytest.raises(DeliveryFailed, match="no TLS"):
        smtp.check(smtp.parse_url(f"smtp://u:p@127.0.0.1:{server.port}"))


HOSTILE_NAMES = [
    "Acme\r\nBcc: eve@example.com",
    "Acme\nReply-To: eve@example.com",
    "Acme\u2028Bcc: eve@example.com",
    'Acme" <eve@example.com>, "',
    "eve@example.com",
    "<eve@example.com>",
    "Acme, eve@example.com",
    "=?utf-8?q?Acme=0ABcc=3A_eve=40example=2Ecom?=",
    "\\",
    "\x00",
    "ö" * 300,
    "صديق <eve@example.com>",
    "\u202emoc.elpmaxe@evE",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_no_header_and_no_address(
    parts: Parts, tenant_id: str, mailer: Mailer, inbox: Inbox, name: str
) -> None:
    """RFC 5322 section 3.4: whatever a tenant is called, mail comes from the deployment's one address."""
    send(parts, mailer, tenant_id, from_name=name)
    deliver(parts, mailer, tenant_id)
    (message,) = inbox.messages
    assert [address.addr_spec for address in message["From"].addresses] == ["id@example.com"]
    assert message["Bcc"] is None
    assert message["Reply-To"] is None
    assert len(message.get_all("From")) == 1
    assert message["From"].addresses[0].display_name.isprintable()


def test_a_name_and_where_answers_go(parts: Parts, tenant_id: str, mailer: Mailer, inbox: Inbox) -> None:
    send(parts, mailer, tenant_id, from_name="Bäckerei Sonnenschein", reply_to="hallo@example.org")
    deliver(parts, mailer, tenant_id)
    (message,) = inbox.messages
    assert message["From"].addresses[0].display_name == "Bäckerei Sonnenschein"
    assert message["From"].addresses[0].addr_spec == "id@example.com"
    assert message["Reply-To"] == "hallo@example.org"
    with pytest.raises(Problem):
        send(parts, mailer, tenant_id, reply_to="hallo@example.org\r\nBcc: eve@example.com")
