"""The ORM session of one tenant, or of none: every statement is filtered, every written row checked.

The filter is applied unconditionally. Applying it only where mappers are detected, as is often shown, leaks through
`count()`, `exists`, scalar subqueries, common table expressions and unions. What it still cannot reach is refused by
`filter_check`.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Delete,
    Insert,
    TextClause,
    Update,
    column,
    event,
    inspect,
    table,
    update,
)
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.orm.util import LoaderCriteriaOption

from app.infra.db import TenantRoot, TenantScoped
from app.infra.filter_check import FILTERED, TenancyError

_TENANTS = table("tenants", column("id"), column("config_version"))


class TenantSession(Session):
    """A session that belongs to one tenant for life, or with `tenant_id` None to the system.

    Obtained from `Tenancy` alone, which begins its one transaction. Objects stay readable after it has ended.
    """

    def __init__(self, bind: Any, *, tenant_id: str | None, write: bool) -> None:
        super().__init__(bind, autobegin=False, expire_on_commit=False, close_resets_only=False)
        self.tenant_id = tenant_id
        self.is_writable = write
        self.changed_tenants: set[str] = set()
        """Whose `config_version` rises when this transaction commits."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TenancyError("the legacy bulk operations pass by every check; use insert(), update() or add()")

    bulk_save_objects = bulk_insert_mappings = bulk_update_mappings = _refuse


@lru_cache(maxsize=4096)
def _filters(tenant_id: str) -> tuple[LoaderCriteriaOption, LoaderCriteriaOption]:
    return (
        with_loader_criteria(TenantScoped, lambda cls: cls.tenant_id == tenant_id, include_aliases=True),
        with_loader_criteria(TenantRoot, lambda cls: cls.id == tenant_id, include_aliases=True),
    )


@event.listens_for(TenantSession, "do_orm_execute")
def _on_execute(state: ORMExecuteState) -> None:
    session = state.session
    assert isinstance(session, TenantSession)
    if state.is_insert or state.is_update or state.is_delete:
        _check_statement(state, session)
    if session.tenant_id is None:
        return
    if isinstance(getattr(state.statement, "element", state.statement), TextClause):
        raise TenancyError("text() cannot be filtered: select from the model")
    statement: Any = state.statement
    state.statement = statement.options(*_filters(session.tenant_id)).execution_options(**{FILTERED: True})


def _check_statement(state: ORMExecuteState, session: TenantSession) -> None:
    """Bulk statements: `insert(Model)`, `update(Model)`, `delete(Model)`."""
    _require_write(session)
    mapper = state.bind_mapper
    if mapper is None:
        if session.tenant_id is not None:
            raise TenancyError("write through the model, not its table")
        return
    if session.tenant_id is not None:
        _check_bulk(state, session.tenant_id, mapper.class_)
    if getattr(mapper.class_, "bumps_config_version", False):
        if session.tenant_id is None:
            raise TenancyError(
                f"{mapper.class_.__name__} is cached per tenant: change it in each tenant's session"
            )
        session.changed_tenants.add(session.tenant_id)


def _check_bulk(state: ORMExecuteState, tenant_id: str, model: type) -> None:
    statement: Any = state.statement
    if not issubclass(model, TenantScoped) and isinstance(statement, Insert | Delete):
        raise TenancyError(f"only a system session creates or deletes a {model.__name__}")
    if isinstance(statement, Update):
        if state.is_executemany:
            raise TenancyError("update by a list of primary keys is not filtered; update with where()")
        values: dict[Any, Any] = dict(statement._values or {})
        _check_values([{c.key: v for c, v in values.items()}], tenant_id, model)
    elif isinstance(statement, Insert):
        _stamp_insert(state, statement, tenant_id, model)


def _stamp_insert(state: ORMExecuteState, statement: Any, tenant_id: str, model: type) -> None:
    if statement.select is not None or statement._multi_values:
        raise TenancyError(
            "insert().from_select() and lists in values() are not stamped; pass the rows as parameters"
        )
    _check_conflict(statement, tenant_id, model)
    if statement._values:
        _check_values([{c.key: v for c, v in statement._values.items()}], tenant_id, model)
        state.statement = statement.values(tenant_id=tenant_id)
        return
    rows: Any = state.parameters or {}
    if isinstance(rows, dict):
        rows = [rows]
    _check_values(rows, tenant_id, model)
    state.parameters = [{**row, "tenant_id": tenant_id} for row in rows]


def _check_conflict(statement: Any, tenant_id: str, model: type) -> None:
    """`ON CONFLICT DO UPDATE` would change whichever tenant's row is in the way."""
    clause = statement._post_values_clause
    changes = getattr(clause, "update_values_to_set", None)
    if changes is None:
        return
    targets = {getattr(t, "name", t) for t in clause.inferred_target_elements or ()}
    if "tenant_id" not in targets:
        raise TenancyError("on_conflict_do_update() needs index_elements that include tenant_id")
    _check_values([{getattr(key, "key", key): value for key, value in changes.items()}], tenant_id, model)


def _check_values(rows: Iterable[dict[str, Any]], tenant_id: str, model: type) -> None:
    column_name = "tenant_id" if issubclass(model, TenantScoped) else "id"
    for row in rows:
        if column_name in row and getattr(row[column_name], "value", row[column_name]) != tenant_id:
            raise TenancyError(f"a {model.__name__} of another tenant")


@event.listens_for(TenantSession, "before_attach")
def _on_attach(session: Session, instance: object) -> None:
    assert isinstance(session, TenantSession)
    if session.tenant_id is not None:
        _require_own(instance, session.tenant_id)


def _require_own(instance: object, tenant_id: str) -> None:
    if isinstance(instance, TenantScoped):
        owner = inspect(instance).dict.get("tenant_id")
    elif isinstance(instance, TenantRoot):
        owner = inspect(instance).dict.get("id", "")
    else:
        raise TenancyError(
            f"{type(instance).__name__} belongs to the deployment: only a system session has it"
        )
    if owner is not None and owner != tenant_id:
        raise TenancyError(f"a {type(instance).__name__} of another tenant")


@event.listens_for(TenantSession, "before_flush")
def _on_flush(session: Session, _context: object, _instances: object) -> None:
    assert isinstance(session, TenantSession)
    changed = [o for o in session.dirty if session.is_modified(o)]
    changed += [*session.new, *session.deleted]
    if changed:
        _require_write(session)
    for instance in changed:
        if session.tenant_id is not None:
            _stamp(instance, session.tenant_id)
        elif isinstance(instance, TenantScoped) and instance.tenant_id is None:
            raise TenancyError(f"a new {type(instance).__name__} in a system session has to name its tenant")
        if getattr(instance, "bumps_config_version", False):
            session.changed_tenants.add(_owner(instance))


def _stamp(instance: object, tenant_id: str) -> None:
    _require_own(instance, tenant_id)
    if isinstance(instance, TenantScoped):
        instance.tenant_id = tenant_id
    elif inspect(instance).pending:
        raise TenancyError("only a system session creates tenants")


def _owner(instance: Any) -> str:
    owner: str = instance.tenant_id if isinstance(instance, TenantScoped) else instance.id
    return owner


def _require_write(session: TenantSession) -> None:
    if not session.is_writable:
        raise TenancyError("this session was opened for reading; open it with write=True")


@event.listens_for(TenantSession, "before_commit")
def _on_commit(session: Session) -> None:
    assert isinstance(session, TenantSession)
    if session.in_nested_transaction():
        return
    session.flush()
    # Last of all: the row stays locked from here to the end of the transaction, and versions rise in commit order.
    if changed := sorted(filter(None, session.changed_tenants)):
        raised = update(_TENANTS).where(_TENANTS.c.id.in_(changed))
        session.connection().execute(raised.values(config_version=_TENANTS.c.config_version + 1))
