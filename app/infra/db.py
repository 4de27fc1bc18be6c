"""The main database: declarative base, column types, engine (contracts: Flask-SQLAlchemy supplies them).

`db.session` and `Model.query` are not for use: every statement goes through `infra.tenancy`.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, ForeignKey, Integer, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry
from sqlalchemy.types import TypeDecorator

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant, on databases with and without time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        found: datetime = value
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


Counter = BigInteger().with_variant(Integer, "sqlite")
Json = JSON().with_variant(JSONB(), "postgresql")


class Base(DeclarativeBase):
    """The declarative base. Tables are named by their models, explicitly."""

    registry = registry(
        metadata=MetaData(naming_convention=NAMING_CONVENTION),
        type_annotation_map={datetime: Instant(), dict[str, Any]: Json, list[str]: Json, list[Any]: Json},
    )


db = SQLAlchemy(model_class=Base)

if TYPE_CHECKING:

    class Model(Base):
        __abstract__ = True
else:
    Model = db.Model


class TenantScoped:
    """Marker of every row that belongs to one tenant.

    `infra.tenancy` filters, stamps and guards by it; migrating puts row-level security on its table.
    """

    tenant_id: Mapped[str] = mapped_column()
    # The filter is written against this very class, so the attribute has to exist here; every heir replaces it.


class TenantRoot:
    """Marker of the one table that lists the tenants. A tenant's session sees its own row alone."""

    id: Mapped[str] = mapped_column(primary_key=True)


class TenantStamped(TenantScoped):
    """Mixin of a tenant's row in a log that is numbered over all tenants."""

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), index=True)


class TenantOwned(TenantScoped):
    """Mixin of every other row of a tenant. The tenant is part of the key, so that no reference can cross."""

    tenant_id: Mapped[str] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True, sort_order=-1
    )


def tenant_tables() -> dict[str, str]:
    """Every table with rows of tenants, and the column that says whose. The models have to be imported."""
    found = {}
    for mapper in Base.registry.mappers:
        name = str(mapper.local_table.name)  # type: ignore[attr-defined]
        if issubclass(mapper.class_, TenantScoped):
            found[name] = "tenant_id"
        elif issubclass(mapper.class_, TenantRoot):
            found[name] = "id"
    return dict(sorted(found.items()))
