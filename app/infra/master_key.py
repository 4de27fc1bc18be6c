"""Where the master key comes from: the settings, or a file made once beside SQLite (contracts 6)."""

import contextlib
import os
import re
import secrets
import sqlite3
from pathlib import Path

from sqlalchemy import make_url

from app.kernel.errors import ConfigurationError
from app.kernel.secrets import b64url, unb64url
from app.kernel.settings import Settings

KEY_BYTES = 32
FILE_NAME = "master.key"

_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SEALED_TABLES = ("deployment_secrets", "signing_keys")

MasterKeys = dict[str, bytes]
"""Key by its id, in order: the first seals, all open."""


def new_master_line() -> str:
    """A fresh line for `WATCHWORD_MASTER_KEY`. The id is random, so that lines of two deployments never look alike."""
    return f"mk-{secrets.token_hex(4)}:{b64url(secrets.token_bytes(KEY_BYTES))}"


def parse(text: str, *, source: str) -> MasterKeys:
    """The keys of lines `id:base64url(32 bytes)`; blanks and commas separate as well as line ends do.

    Raises `ConfigurationError` naming `source` and the line's number, never its content.
    """
    keys: MasterKeys = {}
    faults = []
    for number, line in enumerate(re.split(r"[\s,]+", text.strip()), 1):
        name, _, encoded = line.partition(":")
        try:
            key = unb64url(encoded.rstrip("="))
        except ValueError:
            key = b""
        if not _ID.fullmatch(name) or len(key) != KEY_BYTES:
            faults.append(f"{source}: key {number} is not `id:base64url(32 bytes)`")
        elif name in keys or key in keys.values():
            faults.append(f"{source}: key {number} repeats an earlier one")
        else:
            keys[name] = key
    if faults:
        raise ConfigurationError(faults)
    return keys


def load(settings: Settings) -> MasterKeys:
    """The deployment's master keys.

    On SQLite without the setting, the key of `master.key` in the data folder, made on the first start.
    Raises `ConfigurationError` when there is none and none may be made: what is sealed stays as it is.
    """
    if settings.master_key:
        return parse(settings.master_key, source="WATCHWORD_MASTER_KEY")
    if not settings.is_sqlite:
        raise ConfigurationError(
            ["WATCHWORD_MASTER_KEY: required with PostgreSQL; `watchword keys new-master` prints one"]
        )
    path = settings.data_dir / FILE_NAME
    return _read(path) or _first(path, settings)


def _read(path: Path) -> MasterKeys | None:
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationError([f"{path}: cannot read the master key: {fault}"]) from None
    if mode & 0o077:
        raise ConfigurationError([f"{path}: others may read the master key; run `chmod 600 {path}`"])
    return parse(text, source=str(path))


def _first(path: Path, settings: Settings) -> MasterKeys:
    if _holds_sealed_data(settings):
        # Another process may have made the key, and sealed with it, since we looked for the file.
        if found := _read(path):
            return found
        fault = (
            f"{path}: missing, but the database holds data sealed with it. Put the file back, or its content "
            "into WATCHWORD_MASTER_KEY: without it nothing sealed can be opened"
        )
        raise ConfigurationError([fault])
    try:
        _create(path)
    except OSError as fault:
        raise ConfigurationError([f"{path}: cannot make the master key: {fault}"]) from None
    found = _read(path)
    if found is None:
        raise ConfigurationError([f"{path}: vanished while it was being made"])
    return found


def _create(path: Path) -> None:
    """Make the key file unless somebody else does first. Whoever sees the file sees all of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(new_master_line() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A hard link is made entirely or not at all, and never over an existing file.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _holds_sealed_data(settings: Settings) -> bool:
    database = make_url(settings.effective_database_url).database
    if not database or not Path(database).exists():
        return False
    with contextlib.closing(sqlite3.connect(database, timeout=5)) as connection:
        existing = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        return any(
            connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608 - constants
            for table in _SEALED_TABLES
            if table in existing
        )
