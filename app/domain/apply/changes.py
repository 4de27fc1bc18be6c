"""One pass over a file inside one transaction: what it changes, what it warns of, and the parts it needs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.apply.document import Faults, Path
from app.domain.models import Client, Tenant
from app.infra import audit
from app.infra.db import TenantOwned
from app.kernel.errors import Problem, Unavailable

Action = Literal["create", "update", "delete"]
_CHUNK = 400

_Row = TypeVar("_Row", bound=TenantOwned)
_DONE = {"create": "created", "update": "updated", "delete": "deleted"}


@dataclass(frozen=True, slots=True)
class Change:
    """One object the file changes. `members` names what changes of it, never the values."""

    action: Action
    kind: str
    tenant: str
    name: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A client secret as it is stored, and in the clear where it was made here and has to be shown once."""

    hash: str | None
    sealed: bytes | None
    shown: str | None = None


class Credentials(Protocol):
    """How secrets are judged, hashed and sealed. A preview gives placeholders instead of slow hashes."""

    def password_hash(self, tenant: Tenant, own: Sequence[str | None], password: str) -> str:
        """The stored form of a new person's password, `own` their user name and what else is known of them.

        Raises `Problem` when the tenant's policy refuses it.
        """
        ...

    def imported_hash(self, stored: str) -> str:
        """A hash another system made. Raises `Problem` when it is of no scheme this server verifies."""
        ...

    def is_client_secret(self, client: Client, secret: str) -> bool:
        """Whether this is the client's present secret."""
        ...

    def is_short_client_secret(self, secret: str) -> bool:
        """Whether this one is accepted only because no other machine reaches this server."""
        ...

    def client_secret(self, tenant: Tenant, client_id: str, secret: str | None, *, sealed: bool) -> NewSecret:
        """The stored form of a client's new secret; None makes one. Raises `Problem` when it is too weak."""
        ...

    def retire_client_secret(self, client: Client, grace_seconds: int) -> None:
        """Let the present secret of a client work for the grace beside the one it is about to get."""
        ...


class SectorCheck(Protocol):
    """Whether clients are what their sector's document says (`domain.sectors`)."""

    def check(self, metadata: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
        """Raises `Problem` where they are not."""
        ...


class Revocations(Protocol):
    """How everything issued to somebody who is deleted is taken back, once the session commits."""

    def revoke_user(self, session: Session, tenant_id: str, user_id: str) -> None:
        """Take back what a person has."""
        ...

    def revoke_client(self, session: Session, tenant_id: str, client_id: str) -> None:
        """Take back what a client has."""
        ...


@dataclass
class Pass:
    """One pass over the file. Nothing of it stays unless its transaction is committed."""

    session: Session
    faults: Faults
    credentials: Credentials
    revocations: Revocations
    sectors: SectorCheck
    prune: bool
    via: str
    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    new_secrets: dict[tuple[str, str], str] = field(default_factory=dict)
    """Client secrets made here, by tenant's slug and client id."""
    new_tenants: list[str] = field(default_factory=list)

    def warn(self, path: Path, message: str) -> None:
        """Tell the operator something that is no fault."""
        line = self.faults.document.line_of(path)
        self.warnings.append(f"{self.faults.name}:{line}: {message}")


@dataclass
class TenantScope:
    """A tenant within a pass. The session sees every tenant, so every statement here names this one."""

    run: Pass
    tenant: Tenant
    path: Path

    @property
    def session(self) -> Session:
        """The pass's database session."""
        return self.run.session

    def rows(self, model: type[_Row], column: Any = None, keys: Iterable[str] | None = None) -> list[_Row]:
        """This tenant's rows of a model: all, or those whose `column` is one of `keys`."""
        statement = select(model).where(model.tenant_id == self.tenant.id)
        if keys is None:
            return list(self.session.scalars(statement))
        return [
            row for part in _chunks(keys) for row in self.session.scalars(statement.where(column.in_(part)))
        ]

    def note(
        self,
        action: Action,
        kind: str,
        target: str,
        name: str,
        members: Sequence[str] = (),
        *,
        user_id: str | None = None,
        client_id: str | None = None,
    ) -> None:
        """Record that an object changes, in the report and in the audit."""
        self.run.changes.append(Change(action, kind, self.tenant.slug, name, tuple(members)))
        self.record(
            f"{kind}.{_DONE[action]}",
            target,
            name,
            changes=list(members),
            user_id=user_id,
            client_id=client_id,
        )

    def record(
        self,
        event: str,
        target: str,
        name: str,
        *,
        user_id: str | None = None,
        client_id: str | None = None,
        **data: Any,
    ) -> None:
        """Put an event on the audit, in this transaction."""
        audit.record(
            self.session,
            audit.Event(
                event,
                tenant_id=self.tenant.id,
                outcome="success",
                user_id=user_id,
                client_id=client_id,
                data={"target": target, "name": name, "via": self.run.via, **data},
            ),
        )

    def fault(self, path: Path, refusal: Problem | str) -> None:
        """Note that something in the file is refused. Passes on `Unavailable`, which is no fault of the file."""
        if isinstance(refusal, Unavailable):
            raise refusal
        said = refusal if isinstance(refusal, str) else refusal.public
        # Whoever applies a file is an operator.
        more = f" ({refusal.detail})" if isinstance(refusal, Problem) and refusal.detail else ""
        self.run.faults.add(path, said + more)


def differing(row: object, values: dict[str, Any]) -> list[str]:
    """Set the attributes that differ, and name them."""
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, values[name])
    return changed


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while part := list(islice(rest, _CHUNK)):
        yield part
