"""Deployment settings: what an operator decides once for a server, from the environment or one file.

What a tenant decides lives in the database (`domain.tenants`). There is no third kind.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.kernel.errors import ConfigurationError
from app.kernel.uris import is_loopback_host

PREFIX = "WATCHWORD_"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every deployment setting. The name in the environment is `WATCHWORD_` and the field's name in capitals."""

    base_url: str = _setting(
        "http://localhost:8000",
        "The origin people and clients reach this server at, and the default tenant's issuer. "
        "Origin only; https unless it is a loopback address. Unset: localhost, at the port below.",
    )
    host: str = _setting("127.0.0.1", "The address to listen on.")
    port: int = _setting(8000, "The port to listen on.")
    workers: int = _setting(0, "Web worker processes; 0 means one per core.")
    data_dir: Path = _setting(Path("data"), "The folder of SQLite's files and the generated master key.")
    database_url: str = _setting(
        "", "SQLAlchemy URL of the main database, as the application role. Empty: SQLite in the data folder."
    )
    migration_database_url: str = _setting(
        "", "SQLAlchemy URL of the same database, as the role that owns the tables. Empty: the database URL."
    )
    redis_url: str = _setting("", "Redis for short-lived state. Empty: the database holds it.")
    master_key: str = _setting(
        "",
        "Lines of `id:base64url(32 bytes)`; the first seals, all open. Empty on SQLite: made once in the data folder.",
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        (), "Networks (CIDR, comma-separated) whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    fetch_allow: tuple[str, ...] = _setting(
        (),
        "Special-use networks (CIDR) or host names, comma-separated, that outbound fetches may reach all the same.",
    )
    mtls_url: str = _setting(
        "",
        "The origin of a proxy's address that asks clients for TLS certificates (`mtls_endpoint_aliases`), "
        "such as https://mtls.id.example.com. Empty: none, or the base URL asks for them itself.",
    )
    mtls_proxy_secret: str = _setting(
        "",
        "What a trusted proxy shows in X-Watchword-Proxy-Secret to be believed about client certificates; "
        "at least 32 characters. Empty: nobody is.",
    )
    tls_cert: Path | None = _setting(None, "Certificate chain (PEM) for TLS of our own.")
    tls_key: Path | None = _setting(None, "Private key (PEM) for TLS of our own.")
    tls_client_ca: Path | None = _setting(
        None,
        "Certificates (PEM) of the authorities whose client certificates TLS of our own accepts, with gunicorn. "
        "Unset: clients are not asked.",
    )
    smtp_url: str = _setting(
        "", "smtp://[user:password@]host:port or smtps://…; empty on loopback: the mailbox page."
    )
    sms_url: str = _setting(
        "",
        "The https URL of a service that sends text messages, asked by POST. Empty: there are none, and people are not "
        "offered codes by text message.",
    )
    sms_token: str = _setting("", "Sent to it as `Authorization: Bearer`. Empty: no such header.")
    sms_body: str = _setting(
        '{"to": "{to}", "text": "{text}"}',
        "What is posted: JSON, or a form such as `To={to}&Body={text}`. `{to}` becomes the number (E.164) and `{text}` "
        "the message, each written as the format wants it.",
    )
    mail_from: str = _setting("", "The sender's address. Empty: no-reply at the base URL's host.")
    geoip_file: Path | None = _setting(
        None,
        "A file in the MaxMind DB format with cities or countries, such as GeoLite2-City.mmdb: the places of sessions "
        "are named from it. Replaced by a newer one, it is read anew within a minute.",
    )
    attestation_roots: Path | None = _setting(
        None,
        "Certificates (PEM), a file or a folder of them, of manufacturers whose attestation says which model a passkey "
        "is of. Read at the start.",
    )
    fido_metadata: Path | None = _setting(
        None,
        "The FIDO Metadata Service's BLOB (version 3), a file: the certificates of each model's manufacturer, and "
        "which models are known to be broken. Read at the start.",
    )
    fido_metadata_root: Path | None = _setting(
        None, "The certificate (PEM) the signature of that file has to lead to."
    )
    breached_passwords: str = _setting(
        "",
        "Known leaked passwords no new password may be one of: a file of SHA-1 hashes in order, as Have I Been Pwned "
        "gives it, or the https URL of a range service, which is asked by five characters of the hash. Empty: none.",
    )
    conformance: bool = _setting(
        False,
        "1 while a certification suite tests this server, never otherwise: `POST /conformance/rotate-keys` rotates a "
        "tenant's keys for whoever shows the token that `watchword serve` prints, and every page says so.",
    )
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR.")

    @property
    def is_loopback(self) -> bool:
        """Whether the base URL is one only this machine can reach: development."""
        return is_loopback_host(urlsplit(self.base_url).hostname)

    @property
    def is_https(self) -> bool:
        """Whether people reach us over TLS, so that cookies may be `__Host-` and `Secure`."""
        return self.base_url.startswith("https://")

    @property
    def has_certificates_from_proxy(self) -> bool:
        """Whether a proxy may hand on clients' certificates."""
        return bool(self.mtls_proxy_secret and self.trusted_proxies)

    @property
    def effective_database_url(self) -> str:
        """The main database's URL, SQLite in the data folder by default."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'watchword.db').resolve()}"

    @property
    def is_sqlite(self) -> bool:
        """Whether the main database is SQLite."""
        return self.effective_database_url.startswith("sqlite")


SETTING_NAMES = tuple(PREFIX + f.name.upper() for f in fields(Settings))

Parse = Callable[[str], Any]


def load(environ: Mapping[str, str], *, parse_yaml: Callable[[str], Any]) -> Settings:
    """Read the settings from the environment, over those of the YAML file `WATCHWORD_CONFIG` names.

    Raises `ConfigurationError` with every fault: unknown names, bad values, unreadable files.
    """
    faults: list[str] = []
    raw = {
        **_from_file(environ.get(PREFIX + "CONFIG", ""), parse_yaml, faults),
        **_from_environ(environ, faults),
    }
    values: dict[str, Any] = {}
    for name, text in raw.items():
        try:
            values[name] = _PARSERS[name](text)
        except (ValueError, TypeError) as fault:
            faults.append(f"{PREFIX}{name.upper()}: {fault}")
    if "base_url" not in raw and "port" in values:
        values["base_url"] = _origin(f"http://localhost:{values['port']}")
    settings = Settings(**values)
    faults += _contradictions(settings)
    if faults:
        raise ConfigurationError(faults)
    return settings


def _from_environ(environ: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    given: set[str] = set()
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == PREFIX + "CONFIG":
            continue
        name = variable.removeprefix(PREFIX).lower()
        from_file = name not in _PARSERS and name.endswith("_file")
        name = name.removesuffix("_file") if from_file else name
        if name not in _PARSERS:
            faults.append(f"{variable}: no such setting")
            continue
        if name in given:
            faults.append(f"{variable}: given twice, as a value and as a file")
        given.add(name)
        if from_file:
            try:
                found[name] = Path(value).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as fault:
                faults.append(f"{variable}: cannot read {value}: {fault}")
        else:
            found[name] = value
    return found


def _from_file(path: str, parse_yaml: Callable[[str], Any], faults: list[str]) -> dict[str, str]:
    if not path:
        return {}
    try:
        content = parse_yaml(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as fault:
        faults.append(f"{PREFIX}CONFIG: cannot read {path}: {fault}")
        return {}
    if not isinstance(content, dict):
        faults.append(f"{PREFIX}CONFIG: {path} is not a mapping")
        return {}
    known: dict[str, str] = {}
    for name, value in content.items():
        if name not in _PARSERS:
            faults.append(f"{path}: {name}: no such setting")
        else:
            known[name] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return known


def _contradictions(settings: Settings) -> list[str]:
    faults = []
    if bool(settings.tls_cert) != bool(settings.tls_key):
        faults.append("WATCHWORD_TLS_CERT and WATCHWORD_TLS_KEY go together")
    if settings.tls_cert and not settings.is_https:
        faults.append("WATCHWORD_TLS_CERT is set, so WATCHWORD_BASE_URL has to be https")
    if settings.tls_client_ca and not settings.tls_cert:
        faults.append("WATCHWORD_TLS_CLIENT_CA is for TLS of our own: it needs WATCHWORD_TLS_CERT and _KEY")
    if settings.mtls_proxy_secret and not settings.trusted_proxies:
        faults.append("WATCHWORD_MTLS_PROXY_SECRET needs WATCHWORD_TRUSTED_PROXIES: only they are believed")
    if settings.mtls_proxy_secret and len(settings.mtls_proxy_secret) < 32:
        faults.append("WATCHWORD_MTLS_PROXY_SECRET: at least 32 characters are wanted")
    if settings.mtls_url and not settings.mtls_proxy_secret:
        faults.append("WATCHWORD_MTLS_URL is a proxy's address: it needs WATCHWORD_MTLS_PROXY_SECRET")
    if bool(settings.fido_metadata) != bool(settings.fido_metadata_root):
        faults.append("WATCHWORD_FIDO_METADATA and WATCHWORD_FIDO_METADATA_ROOT go together")
    if settings.mtls_url and not settings.mtls_url.startswith("https://"):
        faults.append("WATCHWORD_MTLS_URL: https is required")
    if not settings.is_sqlite and not settings.master_key:
        faults.append(
            "WATCHWORD_MASTER_KEY: required with PostgreSQL; `watchword keys new-master` prints one. "
            "Keep it: nothing sealed can be opened without it"
        )
    return faults


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(
            "an origin is wanted: scheme, host and perhaps a port, such as https://id.example.com"
        )
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("an origin has no query, fragment or user name")
    if parts.scheme == "http" and not is_loopback_host(parts.hostname):
        raise ValueError("https is required unless the host is a loopback address")
    # Browsers leave the default port out of Host and Origin, which are compared with this.
    default_port = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(default_port)}"


def _integer(low: int, high: int) -> Parse:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ValueError(f"a number from {low} to {high} is wanted")
        return number

    return parse


def _listed(parse: Callable[[str], Any]) -> Parse:
    return lambda text: tuple(parse(part.strip()) for part in text.split(",") if part.strip())


def _log_level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise ValueError(f"one of {', '.join(LOG_LEVELS)} is wanted")
    return text.upper()


def _database(text: str) -> str:
    if text.startswith(("postgresql://", "postgres://")):
        return "postgresql+psycopg://" + text.partition("://")[2]
    if text and not text.startswith(("postgresql+psycopg://", "sqlite:///")):
        raise ValueError("a postgresql:// or sqlite:/// URL is wanted")
    return text


def _scheme(*schemes: str) -> Parse:
    def parse(text: str) -> str:
        if text and urlsplit(text).scheme not in schemes:
            raise ValueError(f"a URL of {', '.join(schemes)} is wanted")
        return text

    return parse


def _flag(text: str) -> bool:
    known = {"": False, "0": False, "false": False, "1": True, "true": True}
    if text.lower() not in known:
        raise ValueError("1 or 0 is wanted")
    return known[text.lower()]


def _sms_body(text: str) -> str:
    if "{to}" not in text or "{text}" not in text:
        raise ValueError("a text with {to} and {text} is wanted")
    return text


def _optional_path(text: str) -> Path | None:
    return Path(text) if text else None


def _file_or_https(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme == "http" and not is_loopback_host(parts.hostname):
        raise ValueError("a file or an https URL is wanted")
    if parts.scheme not in ("http", "https") and text and not Path(text).is_file():
        raise ValueError(f"there is no file {text}")
    return text


_PARSERS: dict[str, Parse] = {
    "base_url": _origin,
    "host": str,
    "port": _integer(1, 65535),
    "workers": _integer(0, 256),
    "data_dir": Path,
    "database_url": _database,
    "migration_database_url": _database,
    "redis_url": _scheme("redis", "rediss", "unix"),
    "master_key": str,
    "trusted_proxies": _listed(ipaddress.ip_network),
    "fetch_allow": _listed(str),
    "mtls_url": lambda text: _origin(text) if text else "",
    "mtls_proxy_secret": str,
    "tls_client_ca": _optional_path,
    "tls_cert": _optional_path,
    "tls_key": _optional_path,
    "smtp_url": _scheme("smtp", "smtps"),
    "mail_from": str,
    "sms_url": _scheme("https", "http"),
    "sms_token": str,
    "sms_body": _sms_body,
    "geoip_file": _optional_path,
    "attestation_roots": _optional_path,
    "fido_metadata": _optional_path,
    "fido_metadata_root": _optional_path,
    "breached_passwords": _file_or_https,
    "conformance": _flag,
    "log_level": _log_level,
}
