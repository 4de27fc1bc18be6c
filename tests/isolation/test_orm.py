"""The ORM filter, for every model there is: tenant B with tenant A's ids finds, counts and changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
    union,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import CompileError, IntegrityError
from sqlalchemy.orm import Session, aliased

from app.domain.models import DeploymentSecret, Role, Tenant, User, UserRole
from app.infra.tenancy import SystemReason, TenancyError
from tests.isolation.conftest import Pair
from tests.isolation.rows import ROOT_MODELS, TENANT_MODELS, values

every_model = pytest.mark.parametrize("model", [*TENANT_MODELS, *ROOT_MODELS], ids=lambda m: m.__name__)
every_tenant_model = pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda m: m.__name__)


def key_of_a(pair: Pair, model: type) -> tuple[Any, ...]:
    return (pair.a,) if model is Tenant else pair.rows_of_a[model]


def is_a(pair: Pair, model: type) -> list[Any]:
    """The conditions that name tenant A's row exactly."""
    owned = (getattr_column(model, c) for c in inspect(model).primary_key)
    return [c == v for c, v in zip(owned, key_of_a(pair, model), strict=True)]


def getattr_column(model: type, column: Any) -> Any:
    return getattr(model, inspect(model).get_property_by_column(column).key)


def first_column(model: type) -> Any:
    return getattr_column(model, inspect(model).primary_key[-1])


def owner_column(model: type) -> Any:
    return model.tenant_id if hasattr(model, "tenant_id") else model.id  # type: ignore[attr-defined]


def shapes(pair: Pair, model: type) -> dict[str, Select[Any]]:
    """Every way to ask that we could think of. Each gives no row, or one row of a 0."""
    mine, wanted = is_a(pair, model), first_column(model)
    cte = select(wanted.label("x")).where(*mine).cte()
    recursive = select(wanted.label("x")).where(*mine).cte(recursive=True)
    recursive = recursive.union(select(wanted).where(*mine))
    alias = aliased(model)
    derived = aliased(model, select(model).where(*mine).subquery())
    both = union_all(select(wanted.label("x")).where(*mine), select(wanted).where(*mine)).subquery()
    yes = func.coalesce
    return {
        "entity": select(model).where(*mine),
        "columns": select(wanted).where(*mine),
        "alias": select(alias).where(owner_column(alias) == pair.a),
        "count()": select(func.count()).select_from(model).where(*mine),
        "count(column)": select(func.count(wanted)).where(*mine),
        "exists": select(literal(1)).where(exists().where(*mine)),
        "exists(select)": select(literal(1)).where(select(wanted).where(*mine).exists()),
        "not filtered by not exists": select(literal(1)).where(~(~exists().where(*mine))),
        "scalar subquery": select(yes(select(func.count(wanted)).where(*mine).scalar_subquery(), 0)),
        "subquery": select(select(wanted.label("x")).where(*mine).subquery()),
        "derived entity": select(derived),
        "in subquery": select(literal(1)).where(literal(pair.a).in_(select(owner_column(model)))),
        "cte": select(cte.c.x),
        "recursive cte": select(recursive.c.x),
        "union in subquery": select(both),
        "join": select(Tenant.id).join(alias, owner_column(alias) == pair.a),
        "outer join": select(func.count(owner_column(alias)))
        .select_from(Tenant)
        .outerjoin(alias, literal(pair.a) == owner_column(alias)),
        "one condition": select(func.count(wanted)).where(wanted == key_of_a(pair, model)[-1], *mine),
        "order by subquery": select(wanted).where(*mine).order_by(select(func.max(wanted)).scalar_subquery()),
        "group by": select(wanted, func.count()).where(*mine).group_by(wanted),
        "from statement": select(model).from_statement(
            union(select(model).where(*mine), select(model).where(*mine))
        )
        if not has_json(model)
        else select(model).where(*mine),
        "window": select(func.count().over()).where(*mine),
        "for update": select(model).where(*mine).with_for_update(),
    }


def has_json(model: type) -> bool:
    """PostgreSQL cannot compare these for a UNION."""
    return any("JSON" in str(c.type) for c in inspect(model).columns)


@every_model
def test_reading(shared_pair: Pair, model: type) -> None:
    found = {}
    with shared_pair.tenancy.session(shared_pair.b, write=True) as session:
        for name, statement in shapes(shared_pair, model).items():
            found[name] = [tuple(row) for row in session.execute(statement) if tuple(row) != (0,)]
    assert [name for name, rows in found.items() if rows] == []


@every_model
def test_the_same_questions_find_the_row_for_its_owner(shared_pair: Pair, model: type) -> None:
    """Otherwise the test above would prove nothing."""
    with shared_pair.tenancy.session(shared_pair.a, write=True) as session:
        for name, statement in shapes(shared_pair, model).items():
            rows = [tuple(row) for row in session.execute(statement)]
            assert rows, name
            assert rows != [(0,)], name


@every_model
def test_unions_at_the_top(shared_pair: Pair, model: type) -> None:
    part = select(first_column(model)).where(*is_a(shared_pair, model))
    for statement in (
        union(part, part),
        union_all(part, part),
        part.intersect(part),
        part.except_(select(literal("0"))),
    ):
        if "EXCEPT" in str(statement) and not str(first_column(model).type).startswith("VARCHAR"):
            continue
        with shared_pair.tenancy.session(shared_pair.b) as session:
            assert session.execute(statement).all() == []
        with shared_pair.tenancy.session(shared_pair.a) as session:
            assert session.execute(statement).all()


@every_model
def test_get_with_a_warm_identity_map(shared_pair: Pair, model: type) -> None:
    key = key_of_a(shared_pair, model)
    for tenant_id, is_found in ((shared_pair.a, True), (shared_pair.b, False), (shared_pair.a, True)):
        with shared_pair.tenancy.session(tenant_id) as session:
            session.scalars(select(model)).all()
            assert (session.get(model, key) is not None) is is_found
    with shared_pair.tenancy.session(shared_pair.a) as session:
        detached = session.get(model, key)
    with shared_pair.tenancy.session(shared_pair.b) as session:
        with pytest.raises(TenancyError):
            session.add(detached)
        assert session.get(model, key) is None
    with pytest.raises(TenancyError), shared_pair.tenancy.session(shared_pair.b, write=True) as session:
        session.merge(detached)


@every_model
def test_refreshing_a_stolen_object(shared_pair: Pair, model: type) -> None:
    with shared_pair.tenancy.session(shared_pair.a) as session:
        stolen = session.get(model, key_of_a(shared_pair, model))
    with (
        shared_pair.tenancy.session(shared_pair.b) as session,
        pytest.raises(Exception, match="not persistent"),
    ):
        session.refresh(stolen)


@every_model
def test_bulk_update_and_delete_touch_nothing(shared_pair: Pair, model: type) -> None:
    column = next(c for c in inspect(model).column_attrs if c.key not in ("tenant_id", "id")).class_attribute
    owner, changes = owner_column(model), {column.key: column}
    statements: list[Any] = [update(model).where(*is_a(shared_pair, model)).values(changes)]
    statements.append(update(model).where(owner == shared_pair.a).values(changes))
    statements.append(update(model).where(owner.in_(select(owner)), owner == shared_pair.a).values(changes))
    if model is not Tenant:
        statements.append(delete(model).where(*is_a(shared_pair, model)))
        statements.append(delete(model).where(owner.in_(select(owner)), owner == shared_pair.a))
    for statement in statements:
        for how in ("fetch", False):
            with shared_pair.tenancy.session(shared_pair.b, write=True) as session:
                done: Any = session.execute(statement.execution_options(synchronize_session=how))
                assert done.rowcount == 0, (statement, how)
    with shared_pair.tenancy.session(shared_pair.a) as session:
        assert session.get(model, key_of_a(shared_pair, model)) is not None


@every_tenant_model
def test_inserting_for_another_tenant(shared_pair: Pair, model: type) -> None:
    row = values(inspect(model), shared_pair.a, {})
    for write in (
        lambda session: session.add(model(**row)),
        lambda session: session.execute(insert(model).values(**row)),
        lambda session: session.execute(insert(model), [row]),
        lambda session: session.execute(insert(model), row),
        lambda session: session.execute(insert(model), [{**row, "tenant_id": shared_pair.b}, row]),
        lambda session: session.execute(insert(model).values([row])),
        lambda session: session.execute(
            insert(model).from_select(["tenant_id"], select(owner_column(model)))
        ),
        lambda session: session.execute(insert(model).returning(first_column(model)), [row]),
        lambda session: session.bulk_insert_mappings(inspect(model), [row]),
        lambda session: session.bulk_save_objects([model(**row)]),
    ):
        with pytest.raises(TenancyError), shared_pair.tenancy.session(shared_pair.b, write=True) as session:
            write(session)


@every_tenant_model
def test_moving_a_row_to_another_tenant(shared_pair: Pair, model: type) -> None:
    key = shared_pair.rows_of_b[model]

    def change(session: Session) -> None:
        session.get(model, key).tenant_id = shared_pair.a  # type: ignore[attr-defined]

    for write in (
        change,
        lambda session: session.execute(update(model).values(tenant_id=shared_pair.a)),
        lambda session: session.execute(update(model).values({owner_column(model): shared_pair.a})),
        lambda session: session.execute(update(model), [{"tenant_id": shared_pair.a}]),
        lambda session: session.bulk_update_mappings(inspect(model), [{"tenant_id": shared_pair.a}]),
    ):
        with pytest.raises(TenancyError), shared_pair.tenancy.session(shared_pair.b, write=True) as session:
            write(session)
    with shared_pair.tenancy.session(shared_pair.b) as session:
        assert session.get(model, key) is not None


def test_rows_are_stamped(pair: Pair) -> None:
    with pair.tenancy.session(pair.b, write=True) as session:
        session.add(Role(id="1", name="one"))
        session.execute(insert(Role).values(id="2", name="two"))
        session.execute(insert(Role), [{"id": "3", "name": "three"}, {"id": "4", "name": "four"}])
        session.execute(insert(Role), {"id": "5", "name": "five"})
        found = (
            session.execute(insert(Role).returning(Role.tenant_id), [{"id": "6", "name": "six"}])
            .scalars()
            .all()
        )
        assert found == [pair.b]
    with pair.tenancy.session(pair.b) as session:
        assert len(session.scalars(select(Role).where(Role.id.in_(list("123456")))).all()) == 6


def upsert(pair: Pair, *, targets: list[str], **changes: Any) -> Any:
    dialect: Any = sqlite if pair.tenancy.engine.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(Role).values(id="r", name="new")
    return statement.on_conflict_do_update(index_elements=targets, set_=changes)


def test_upserts_stay_within_the_tenant(pair: Pair) -> None:
    for _ in range(2):
        with pair.tenancy.session(pair.b, write=True) as session:
            session.execute(upsert(pair, targets=["tenant_id", "id"], name="changed"))
    with pair.tenancy.session(pair.b) as session:
        assert session.scalars(select(Role.name).where(Role.id == "r")).all() == ["changed"]
    with (
        pytest.raises(TenancyError, match="index_elements"),
        pair.tenancy.session(pair.b, write=True) as session,
    ):
        session.execute(upsert(pair, targets=["id"], name="changed"))
    with (
        pytest.raises(TenancyError, match="another tenant"),
        pair.tenancy.session(pair.b, write=True) as session,
    ):
        session.execute(upsert(pair, targets=["tenant_id", "id"], tenant_id=pair.a))


def test_only_the_system_makes_tenants(pair: Pair) -> None:
    for write in (
        lambda session: session.add(Tenant(slug="x", name="x")),
        lambda session: session.add(Tenant(id=pair.b, slug="x", name="x")),
        lambda session: session.execute(insert(Tenant).values(id=pair.b, slug="x", name="x")),
        lambda session: session.execute(delete(Tenant)),
        lambda session: session.execute(update(Tenant).values(id=pair.a)),
    ):
        with pytest.raises(TenancyError), pair.tenancy.session(pair.b, write=True) as session:
            write(session)


@pytest.mark.parametrize(
    "statement",
    [
        text("SELECT 1"),
        select(text("1")).select_from(text("users")),
        select(User).from_statement(text("SELECT * FROM users")),
        select(User.__table__),
        select(func.count()).select_from(User.__table__),
        select(literal(1)).where(select(User.__table__.c.id).exists()),
        union(select(User.__table__.c.id), select(User.__table__.c.id)),
        update(User.__table__).values(username="x"),
        delete(User.__table__),
        insert(User.__table__).values(tenant_id="x", id="x"),
    ],
    ids=str,
)
def test_text_and_tables_are_refused(shared_pair: Pair, statement: Any) -> None:
    """They are not filtered, so nothing but `infra` may use them, and not through a tenant's session."""
    with pytest.raises(TenancyError), shared_pair.tenancy.session(shared_pair.b, write=True) as session:
        session.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        select(User.id).where(exists().where(and_(Role.id == "x", Role.name == "x"))),
        select(User.id, select(func.count()).where(and_(Role.id == "x", Role.name == "x")).scalar_subquery()),
        select(literal(1)).where(exists().where(and_(Role.id == "x", Role.name == "x"))),
        select(func.count()).where(and_(Role.id == "x", Role.name == "x")),
        select(User.id).join(Role.__table__, Role.__table__.c.id == User.id),
        select(User.id).where(Role.__table__.c.id == User.id),
        select(User.id).where(User.id.in_(select(Role.__table__.c.id))),
        update(User).where(UserRole.user_id == User.id).values(username="x"),
        update(User)
        .where(exists().where(and_(UserRole.user_id == User.id, UserRole.role_id == "x")))
        .values(epoch=1),
        delete(User).where(UserRole.user_id == User.id),
        delete(User).where(User.id.in_(select(Role.__table__.c.id))),
    ],
    ids=str,
)
def test_what_the_filter_cannot_reach_is_refused(shared_pair: Pair, statement: Any) -> None:
    """Shapes in which SQLAlchemy does not recognise the model: found by looking at the SQL itself."""
    if statement.is_dml:
        statement = statement.execution_options(synchronize_session=False)
    with (
        pytest.raises((TenancyError, CompileError, NotImplementedError)),
        shared_pair.tenancy.session(shared_pair.b, write=True) as session,
    ):
        session.execute(statement)


def test_expressions_without_a_table_are_fine(shared_pair: Pair) -> None:
    with shared_pair.tenancy.session(shared_pair.b) as session:
        assert session.scalar(select(literal(1))) == 1
        assert session.scalar(select(exists().where(User.tenant_id == shared_pair.a))) is False


def test_correlated_subqueries_in_writes(pair: Pair) -> None:
    with pair.tenancy.session(pair.b, write=True) as session:
        stolen = select(func.max(Tenant.name)).where(Tenant.id == pair.a).scalar_subquery()
        session.execute(update(Role).values(description=func.coalesce(stolen, "nothing")))
        session.execute(insert(Role).values(id="s", name="s", description=func.coalesce(stolen, "nothing")))
        lured = select(UserRole.role_id).where(UserRole.tenant_id == pair.a)
        assert session.execute(delete(Role).where(Role.id.in_(lured))).rowcount == 0
    with pair.tenancy.session(pair.b) as session:
        assert set(session.scalars(select(Role.description))) == {"nothing"}


def test_the_filter_of_one_tenant_is_never_used_for_another(pair: Pair) -> None:
    """Compiled statements are cached; the tenant has to be a parameter of them, not a part."""
    ask: Callable[[Session], Any] = lambda session: session.scalars(select(User.tenant_id)).all()  # noqa: E731
    for _ in range(3):
        for tenant_id in (pair.a, pair.b):
            with pair.tenancy.session(tenant_id) as session:
                assert ask(session) == [tenant_id]


def test_the_deployments_own_table_is_out_of_reach(shared_pair: Pair) -> None:
    with pytest.raises(TenancyError), shared_pair.tenancy.session(shared_pair.b) as session:
        session.scalars(select(DeploymentSecret.name)).all()


def test_the_system_session_is_not_filtered(shared_pair: Pair) -> None:
    with shared_pair.tenancy.system(SystemReason.MAINTENANCE) as session:
        found = set(session.scalars(select(User.tenant_id)))
    assert {shared_pair.a, shared_pair.b} <= found


def test_references_cannot_cross(pair: Pair) -> None:
    """The tenant is part of every key, so that not even the database would accept it."""
    (_, role_of_a), (_, user_of_b) = pair.rows_of_a[Role], pair.rows_of_b[User]
    with pytest.raises(IntegrityError), pair.tenancy.session(pair.b, write=True) as session:
        session.add(UserRole(user_id=user_of_b, role_id=role_of_a))


def test_a_deleted_tenant_takes_everything_along_and_nothing_else(pair: Pair) -> None:
    with pair.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        session.delete(session.get(Tenant, pair.a))
    with pair.tenancy.system(SystemReason.MAINTENANCE) as session:
        for model in TENANT_MODELS:
            counted = select(func.count()).select_from(model)
            assert session.scalar(counted.where(owner_column(model) == pair.a)) == 0
            assert session.scalar(counted.where(owner_column(model) == pair.b)) == 1
