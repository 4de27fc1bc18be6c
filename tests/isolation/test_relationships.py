"""Related rows and loader strategies. Watchword's models have no relationships; should one get any, they are safe."""

from collections.abc import Iterator

import pytest
from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    lazyload,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
)

from app.infra.db import TenantScoped
from app.infra.tenant_guard import TenantSession


class Base(DeclarativeBase):
    pass


class Parent(TenantScoped, Base):
    __tablename__ = "parents"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column()
    children: Mapped[list["Child"]] = relationship()


class Child(TenantScoped, Base):
    __tablename__ = "children"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column()
    parent_id: Mapped[int] = mapped_column(ForeignKey("parents.id"))


@pytest.fixture
def mixed() -> Iterator[TenantSession]:
    """Tenant B's parent has a child of its own and, by an accident, one of tenant A's."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as plain:
        plain.add(Parent(id=1, tenant_id="b"))
        plain.add_all([Child(id=1, tenant_id="b", parent_id=1), Child(id=2, tenant_id="a", parent_id=1)])
        plain.commit()
    session = TenantSession(engine, tenant_id="b", write=False)
    with session, session.begin():
        yield session
    engine.dispose()


@pytest.mark.parametrize("strategy", [lazyload, selectinload, joinedload, subqueryload])
def test_related_rows_are_filtered(mixed: TenantSession, strategy: object) -> None:
    found = mixed.scalars(select(Parent).options(strategy(Parent.children))).unique().one()  # type: ignore[operator]
    assert [child.id for child in found.children] == [1]


def test_expired_objects_are_filtered(mixed: TenantSession) -> None:
    parent = mixed.scalars(select(Parent)).one()
    mixed.expire(parent)
    assert [child.id for child in parent.children] == [1]
    mixed.refresh(parent, ["children"])
    assert [child.id for child in parent.children] == [1]
