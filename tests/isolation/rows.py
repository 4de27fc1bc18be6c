"""One row of every table for a tenant: what tenant B then tries to reach with tenant A's ids."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, Integer, LargeBinary, String, inspect
from sqlalchemy.orm import Mapper, Session

from app.domain import models
from app.infra.db import Base, Instant, TenantRoot, TenantScoped

assert models.__all__

MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


def tenant_mappers() -> list[Mapper[Any]]:
    """Every mapped class whose rows belong to a tenant, parents before those that refer to them."""
    found = {m.local_table: m for m in Base.registry.mappers if issubclass(m.class_, TenantScoped)}
    return [found[table] for table in Base.metadata.sorted_tables if table in found]


TENANT_MODELS = [mapper.class_ for mapper in tenant_mappers()]
ROOT_MODELS = [m.class_ for m in Base.registry.mappers if issubclass(m.class_, TenantRoot)]


def fill(session: Session, tenant_id: str) -> dict[type, tuple[Any, ...]]:
    """Add one row of every model for the tenant, in a system session. Gives each row's identity."""
    made: dict[type, tuple[Any, ...]] = {}
    for mapper in tenant_mappers():
        row = mapper.class_(**values(mapper, tenant_id, made))
        session.add(row)
        session.flush()
        made[mapper.class_] = tuple(mapper.primary_key_from_instance(row))
    return made


def values(mapper: Mapper[Any], tenant_id: str, made: dict[type, tuple[Any, ...]]) -> dict[str, Any]:
    """A value for every column that has to have one; references go to the rows already made."""
    by_table = {inspect(model).local_table: (inspect(model), key) for model, key in made.items()}
    found: dict[str, Any] = {}
    for constraint in mapper.local_table.foreign_key_constraints:
        if constraint.referred_table not in by_table:
            continue
        target, key = by_table[constraint.referred_table]
        identity = dict(zip((c.name for c in target.primary_key), key, strict=True))
        for own, element in zip(constraint.columns, constraint.elements, strict=True):
            found[mapper.get_property_by_column(own).key] = identity[element.column.name]
    for column in mapper.local_table.columns:
        key_name = mapper.get_property_by_column(column).key
        if key_name in found or column.nullable or column.default is not None or column.autoincrement is True:
            continue
        found[key_name] = _value(column.type, f"{column.name}-{tenant_id}")
    return {**found, "tenant_id": tenant_id}


def _value(kind: Any, text: str) -> Any:
    if isinstance(kind, Instant):
        return MOMENT
    if isinstance(kind, LargeBinary):
        return text.encode()
    if isinstance(kind, Boolean):
        return False
    if isinstance(kind, Integer):
        return 1
    return text if isinstance(kind, String) else {}
