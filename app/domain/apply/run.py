"""Applying a file: a preview that is rolled back, the slow hashing, then the one transaction that counts."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.domain.apply.changes import Change, Credentials, Pass, Revocations, SectorCheck
from app.domain.apply.document import Faults
from app.domain.apply.reconcile import reconcile
from app.domain.apply.schema import ApplyFile
from app.kernel.errors import Problem


class PreparedCredentials(Credentials, Protocol):
    """Credentials that can do their slow part ahead of the transaction."""

    def prepare(self) -> None:
        """Hash what the preview asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What applying needs of the deployment."""

    transaction: Callable[[], AbstractContextManager[Session]]
    """Opens a writing transaction that sees every tenant; commits, or rolls back on an exception."""
    credentials: PreparedCredentials
    revocations: Revocations
    sectors: SectorCheck
    ensure_keys: Callable[[str], object]
    """Makes a tenant's signing keys, safe to call again."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a file changed, or would change."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    new_secrets: tuple[tuple[str, str, str], ...]
    """Tenant's slug, client id and the secret made for it: to be shown once."""


class _RolledBack(Exception):
    """Raised through the transaction so that nothing of a preview stays."""


def apply(
    parts: Parts,
    file: ApplyFile,
    faults: Faults,
    *,
    dry_run: bool = False,
    prune: bool = False,
    via: str = "apply",
) -> Report:
    """Make the deployment what the file says, in one transaction.

    Raises `Refused` with every fault, and `Problem` (`apply.conflict`) when somebody else changes the same.

    The preview finds faults and slow work, so that the transaction does not hold up sign-ins while it hashes.
    """
    preview = _pass(parts, file, faults, prune=prune, via=via, commit=False)
    if dry_run or not preview.changes:
        return _report(preview, ())
    parts.credentials.prepare()
    done = _pass(parts, file, faults, prune=prune, via=via, commit=True)
    for tenant_id in done.new_tenants:
        parts.ensure_keys(tenant_id)
    return _report(done, done.new_secrets.items())


def _pass(parts: Parts, file: ApplyFile, faults: Faults, *, prune: bool, via: str, commit: bool) -> Pass:
    try:
        with parts.transaction() as session:
            run = Pass(session, faults, parts.credentials, parts.revocations, parts.sectors, prune, via)
            reconcile(run, file)
            faults.check()
            session.flush()
            if not commit:
                raise _RolledBack
    except _RolledBack:
        pass
    except IntegrityError:
        raise Problem(
            "apply.conflict",
            "Somebody else changed the same objects at the same time, or two of the file want one name. Nothing was "
            "applied; try again.",
            status=409,
        ) from None
    return run


def _report(run: Pass, secrets: Iterable[tuple[tuple[str, str], str]]) -> Report:
    shown = tuple((slug, client_id, secret) for (slug, client_id), secret in secrets)
    return Report(tuple(run.changes), tuple(run.warnings), shown)
