"""What `watchword doctor` looks at, one function per subject. Each finding is a sentence and what to do."""

import ipaddress
import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine, func, select

from app import wiring
from app.commands import examining_models
from app.commands.runtime import settings as load_settings
from app.domain.models import Tenant
from app.infra import data_files, heartbeat, migrations, row_security
from app.infra.database import make_engine, outages
from app.infra.master_key import FILE_NAME
from app.infra.outbox import DeliveryFailed
from app.infra.tenancy import SystemReason
from app.infra.vault import SealError
from app.kernel import clock
from app.kernel.errors import ConfigurationError, Problem
from app.kernel.settings import Settings
from app.web.services import Services

State = Literal["good", "advice", "broken"]

_LITTLE_DISK, _NO_DISK = 1 << 30, 64 << 20
_CLOCK_SECONDS = 5
_BACKLOG_SECONDS = 300
_CERTIFICATE_DAYS = 14
_FOLDER = "data folder"
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a subject."""

    subject: str
    state: State
    sentence: str


def examine(address: str | None = None) -> list[Finding]:
    """Everything, from the settings inwards; what stands on something broken is not looked at."""
    try:
        settings = load_settings()
    except ConfigurationError as fault:
        return [_broken("settings", sentence) for sentence in fault.faults]
    found = [_good("settings", "They can be read and do not contradict each other.")]
    for check in (_base_url, _proxies, _certificate, _files, _clock, _development):
        found += check(settings)
    if any(f.subject == _FOLDER and f.state == "broken" for f in found):
        return found
    database = list(_database(settings))
    found += database
    if not any(f.state == "broken" for f in database):
        found += _inside(settings, address)
    return found


def _good(subject: str, sentence: str) -> Finding:
    return Finding(subject, "good", sentence)


def _advice(subject: str, sentence: str) -> Finding:
    return Finding(subject, "advice", sentence)


def _broken(subject: str, sentence: str) -> Finding:
    return Finding(subject, "broken", sentence)


def _base_url(settings: Settings) -> Iterator[Finding]:
    if settings.is_loopback:
        yield _advice(
            "base URL",
            f"{settings.base_url} is reachable from this machine alone; set WATCHWORD_BASE_URL to the origin "
            "people use before others are let in.",
        )
    elif settings.is_https and not settings.tls_cert and not settings.trusted_proxies:
        yield _broken(
            "base URL",
            f"{settings.base_url} is https, but this server speaks http and trusts no proxy. Set "
            "WATCHWORD_TLS_CERT and WATCHWORD_TLS_KEY, or WATCHWORD_TRUSTED_PROXIES to the proxy's address.",
        )
    else:
        yield _good("base URL", f"{settings.base_url} is the default tenant's issuer.")


def _proxies(settings: Settings) -> Iterator[Finding]:
    wide = [n for n in settings.trusted_proxies if n.prefixlen < (8 if n.version == 4 else 32)]
    if wide:
        yield _broken(
            "trusted proxies",
            f"{', '.join(map(str, wide))} lets nearly anybody choose the address they are seen under, and with it "
            "pass every rate limit. Name the proxies alone in WATCHWORD_TRUSTED_PROXIES.",
        )
    is_open = not ipaddress.ip_address(settings.host).is_loopback if _is_address(settings.host) else False
    if is_open and settings.trusted_proxies and not settings.tls_cert:
        yield _advice(
            "trusted proxies",
            f"The server listens on {settings.host} without TLS: see that only the proxy reaches port {settings.port}.",
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _certificate(settings: Settings) -> Iterator[Finding]:
    if not settings.tls_cert or not settings.tls_key:
        return
    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        certificate = x509.load_pem_x509_certificates(settings.tls_cert.read_bytes())[0]
    except (OSError, ValueError) as fault:
        yield _broken("TLS", f"WATCHWORD_TLS_CERT and WATCHWORD_TLS_KEY cannot be used: {fault}.")
        return
    days = (certificate.not_valid_after_utc - clock.now()).days
    if days < 0:
        yield _broken("TLS", "The certificate has expired. Renew it and send SIGHUP to `watchword serve`.")
    elif days < _CERTIFICATE_DAYS:
        yield _advice("TLS", f"The certificate expires in {days} days. Renew it.")
    else:
        yield _good("TLS", f"The certificate is good for {days} days.")


def _files(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    if faults := data_files.faults(settings):
        yield from (_broken(_FOLDER, sentence) for sentence in faults)
        return
    if not os.path.isdir(folder):
        return
    if settings.is_sqlite and folder.stat().st_mode & 0o077:
        yield _advice(_FOLDER, f"Others on this machine may look into {folder.resolve()}: chmod 700 it.")
    yield from _key_file(settings, folder / FILE_NAME)
    free = shutil.disk_usage(folder).free
    if free < _NO_DISK:
        yield _broken("disk", f"Only {free >> 20} MiB are free at {folder.resolve()}: make room now.")
    elif free < _LITTLE_DISK:
        yield _advice("disk", f"Only {free >> 20} MiB are free at {folder.resolve()}.")


def _key_file(settings: Settings, path: Path) -> Iterator[Finding]:
    if settings.master_key or not settings.is_sqlite or not path.exists():
        return
    if path.stat().st_mode & 0o077:
        yield _broken("master key", f"Others on this machine may read {path.resolve()}: chmod 600 it.")
        return
    yield _advice(
        "master key",
        f"It lies beside the data it protects ({path.resolve()}). Back it up apart: nothing sealed can be opened "
        "without it. WATCHWORD_MASTER_KEY or WATCHWORD_MASTER_KEY_FILE takes it from elsewhere.",
    )


def _clock(settings: Settings) -> Iterator[Finding]:
    if clock.now() < _EARLIEST:
        yield _broken("clock", f"This machine thinks it is {clock.now():%Y-%m-%d}. Set it, and run NTP.")


def _development(settings: Settings) -> Iterator[Finding]:
    if settings.log_level == "DEBUG" and not settings.is_loopback:
        yield _advice(
            "logs", "WATCHWORD_LOG_LEVEL is DEBUG, which writes a lot. INFO is meant for production."
        )
    if settings.conformance:
        yield _advice(
            "conformance",
            "WATCHWORD_CONFORMANCE is set: whoever has the token rotates keys, and every page warns people off. "
            "Unset it when the certification suite is done.",
        )


def _database(settings: Settings) -> Iterator[Finding]:
    if not data_files.exists(settings):
        yield _broken("database", data_files.missing(settings))
        return
    engine = make_engine(settings.effective_database_url, pool_size=1)
    try:
        if not migrations.is_current(engine):
            yield _broken("database", "Its tables are not those of this version. Run `watchword migrate`.")
            return
        row_security.check_roles(engine)
        yield _good("database", f"It answers and is migrated ({engine.dialect.name}).")
        yield from _database_clock(engine)
    except Problem as refusal:
        yield _broken("database", f"It does not answer: {refusal.detail}. See WATCHWORD_DATABASE_URL.")
    except ConfigurationError as fault:
        yield from (_broken("database", sentence) for sentence in fault.faults)
    finally:
        engine.dispose()


def _database_clock(engine: Engine) -> Iterator[Finding]:
    if engine.dialect.name != "postgresql":
        return
    with outages(), engine.connect() as connection:
        there = connection.execute(select(func.clock_timestamp())).scalar_one()
    apart = abs((there - clock.now()).total_seconds())
    if apart > _CLOCK_SECONDS:
        yield _broken(
            "clock", f"This machine and the database are {apart:.0f} seconds apart. Run NTP on both."
        )


def _inside(settings: Settings, address: str | None) -> Iterator[Finding]:
    try:
        services = wiring.build(settings)
    except (ConfigurationError, Problem) as fault:
        sentences = fault.faults if isinstance(fault, ConfigurationError) else [str(fault)]
        yield from (_broken("start", sentence) for sentence in sentences)
        return
    try:
        for check in _CHECKS:
            try:
                yield from check(services)
            except Problem as refusal:
                yield _broken(check.__name__.strip("_"), f"{refusal.public} {refusal.detail}".strip())
        yield from _mail(services, address)
    finally:
        services.close()


def _master_key(services: Services) -> Iterator[Finding]:
    try:
        services.deployment_secrets.check()
        for tenant in services.tenants.all():
            services.keyring.check(tenant.id)
    except ConfigurationError as fault:
        yield from (_broken("master key", sentence) for sentence in fault.faults)
    except SealError as fault:
        yield _broken("master key", f"A signing key cannot be opened with it: {fault.detail}.")
    else:
        yield _good("master key", "It opens what is sealed.")


def _tenants(services: Services) -> Iterator[Finding]:
    with services.tenancy.system(SystemReason.TENANT_DIRECTORY) as session:
        count = session.scalar(select(func.count(Tenant.id))) or 0
    if services.tenants.by_slug("default") is None:
        yield _broken(
            "tenants", "The default tenant is missing or disabled. `watchword migrate` makes a missing one."
        )
    if count > 1 and services.settings.is_sqlite:
        yield _advice(
            "tenants",
            f"{count} tenants share SQLite, which has no row-level security: only the code keeps them apart. "
            "PostgreSQL adds a second belt.",
        )


def _state(services: Services) -> Iterator[Finding]:
    services.state.check()
    advice = services.state.doctor()
    yield from (_advice("state store", sentence) for sentence in advice)
    if not advice:
        yield _good("state store", "It answers and is set up well.")


def _passkeys(services: Services) -> Iterator[Finding]:
    yield from (Finding("passkeys", state, sentence) for state, sentence in examining_models.look(services))


def _worker(services: Services) -> Iterator[Finding]:
    if heartbeat.age_seconds(services.state) is None:
        yield _advice(
            "worker",
            "No background worker is alive: mail waits and the audit is not appended. `watchword serve` runs one "
            "unless told not to; otherwise start `watchword worker`.",
        )
    else:
        yield _good("worker", "A background worker is alive.")
    backlog = services.outbox.backlog()
    waiting, dead = sum(backlog.waiting.values()), sum(backlog.dead.values())
    if dead:
        topics = ", ".join(f"{count} of {topic}" for topic, count in sorted(backlog.dead.items()))
        yield _advice(
            "outbox", f"{dead} messages were given up on ({topics}). See the admin API for their errors."
        )
    if backlog.oldest_seconds > _BACKLOG_SECONDS:
        yield _advice(
            "outbox", f"{waiting} messages wait, the oldest for {backlog.oldest_seconds / 60:.0f} minutes."
        )


def _mail(services: Services, address: str | None) -> Iterator[Finding]:
    settings = services.settings
    if not settings.smtp_url:
        if services.mailer.uses_mailbox:
            yield _advice(
                "mail", "It is kept at /dev/mailbox in place of being sent. Set WATCHWORD_SMTP_URL to send."
            )
        else:
            yield _broken("mail", "It cannot be sent. Set WATCHWORD_SMTP_URL and WATCHWORD_MAIL_FROM.")
            return
    try:
        if settings.smtp_url:
            services.mailer.check()
            yield _good("mail", "The SMTP server answers and lets us in.")
        if address is not None:
            _send(services, address)
            yield _good("mail", f"A message to {address} has left.")
    except DeliveryFailed as fault:
        yield _broken("mail", f"It was not taken: {fault.reason}. See WATCHWORD_SMTP_URL.")
    except Problem as refusal:
        yield _broken("mail", refusal.public)


def _send(services: Services, address: str) -> None:
    """Send a message now, by the way every message takes. Raises `DeliveryFailed` or `Problem`."""
    payloads: list[dict[str, object]] = []
    tenant = services.tenants.default()
    with services.tenancy.session(tenant.id, write=True) as session:
        services.mailer.send(
            session,
            tenant=tenant.id,
            to=address,
            subject=f"Mail from {services.settings.base_url} works",
            text="`watchword doctor --mail` sent this message. There is nothing to do.\n",
        )
        # Taken out of the outbox again: the answer is wanted now, not when a worker comes by.
        for message in list(session.new):
            payloads.append(getattr(message, "payload"))  # noqa: B009
            session.expunge(message)
    for payload in payloads:
        services.mailer.deliver(tenant.id, payload)


_CHECKS: tuple[Callable[[Services], Iterator[Finding]], ...] = (
    _master_key,
    _tenants,
    _passkeys,
    _state,
    _worker,
)
