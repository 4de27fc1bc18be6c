"""SQLite's files, looked at before they are opened: whether there is a deployment, and whether it is ours to use.

Opening makes what is missing, so a command in the wrong folder would leave an empty deployment behind; and SQLite says
of a file it may not open neither where it lies nor whose it is.
"""

import contextlib
import os
import pwd
import sqlite3
from pathlib import Path

from sqlalchemy import make_url

from app.infra.master_key import FILE_NAME
from app.kernel.errors import ConfigurationError
from app.kernel.settings import Settings

STATE_FILE = "state.db"


def require_deployment(settings: Settings) -> None:
    """See that there is a deployment, and that this account may use it; nothing is written.

    Raises `ConfigurationError`. On PostgreSQL there are no files, and the database answers for itself.
    """
    require_access(settings)
    if not exists(settings):
        raise ConfigurationError([missing(settings)])


def require_access(settings: Settings) -> None:
    """See that this account may use the files there are. Raises `ConfigurationError` naming each path and its owner."""
    if found := faults(settings):
        raise ConfigurationError(found)


def exists(settings: Settings) -> bool:
    """Whether there is a database with tables in it; what is not SQLite counts as one."""
    path = _database(settings)
    if path is None:
        return True
    if not path.is_file():
        return False
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        try:
            return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
        except sqlite3.DatabaseError:  # Damaged or busy: there is something, and whoever opens it says what.
            return True


def missing(settings: Settings) -> str:
    """What to say when there is no deployment."""
    path = _database(settings)
    folder = settings.data_dir.resolve() if path is None else path.parent.resolve()
    return (
        f"There is no deployment in {folder}. Go to its folder, or set WATCHWORD_DATA_DIR. "
        "`watchword migrate` begins one."
    )


def faults(settings: Settings) -> list[str]:
    """A sentence for each file and folder of the deployment that this account may not use."""
    path = _database(settings)
    if path is None:
        return []
    found: list[str] = []
    for folder in dict.fromkeys((path.parent, settings.data_dir)):
        if fault := _fault(folder, os.W_OK | os.X_OK):
            found.append(fault)
    if found:
        return found
    files = (path, settings.data_dir / STATE_FILE)
    beside = [file.with_name(file.name + ending) for file in files for ending in ("-wal", "-shm")]
    found += filter(None, (_fault(file, os.R_OK | os.W_OK) for file in (*files, *beside)))
    if not settings.master_key:
        found += filter(None, [_fault(settings.data_dir / FILE_NAME, os.R_OK)])
    return found


def _database(settings: Settings) -> Path | None:
    if not settings.is_sqlite:
        return None
    named = make_url(settings.effective_database_url).database
    return Path(named) if named and named != ":memory:" else None


def _fault(path: Path, mode: int) -> str | None:
    """What keeps this account from a path; None where nothing does, or there is nothing there."""
    path = path.resolve()
    for at in (*reversed(path.parents), path):
        try:
            owner = at.stat().st_uid
        except FileNotFoundError:
            return None
        except OSError as fault:
            return f"{at} cannot be looked at: {fault.strerror}."
        wanted = mode if at == path else os.X_OK
        if not os.access(at, wanted):
            verb = "read" if wanted == os.R_OK else "entered" if wanted == os.X_OK else "written"
            return (
                f"{at} cannot be {verb} by this account, {_name(os.geteuid())}: it belongs to {_name(owner)}. "
                "Run this as its owner, or change the owner of the folder and what is in it."
            )
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
