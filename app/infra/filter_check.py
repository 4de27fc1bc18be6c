"""The proof that the ORM filter did its work: read in the SQL that is about to be sent, once per compiled statement.

The filter reaches every place where SQLAlchemy recognises a model. Where it does not, a condition is missing and
nothing says so: a subquery whose only condition is an `and_()`, a table in place of its model. Such a statement is
refused here, on both databases, the first time it is used.
"""

import re
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import Compiled

from app.infra.db import Base, tenant_tables

FILTERED = "watchword_filtered"
"""The execution option of a statement that one tenant's filter was put on."""

_checked: "WeakSet[Compiled]" = WeakSet()


class TenancyError(Exception):
    """Code tried to reach across tenants, or past the filter. Always a fault of ours, never of a caller."""


def check(
    connection: Connection, _cursor: object, _sql: str, _values: object, context: Any, _many: bool
) -> None:
    """The engine's `before_cursor_execute`. Raises `TenancyError`."""
    if context is None or not context.execution_options.get(FILTERED):
        return
    compiled = context.compiled
    if compiled is None or compiled in _checked:
        return
    if missing := unfiltered(compiled.string):
        raise TenancyError(
            f"not filtered by tenant: {', '.join(missing)}. Write subqueries as select(Model.column).where(...)"
        )
    _checked.add(compiled)


def unfiltered(sql: str) -> list[str]:
    """The tables (or their aliases) a statement reads or changes more often than it asks whose rows they are.

    The deployment's own tables, which nobody's rows are, are always among them.
    """
    owners = tenant_tables()
    deployment = sorted(set(Base.metadata.tables) - set(owners))
    missing = [table for table in deployment if re.search(_OCCURS.format(table=table), sql)]
    for table, owner in owners.items():
        names = re.findall(_OCCURS.format(table=table), sql)
        for name in sorted({alias or table for alias in names}):
            asked = re.findall(_ASKED.format(name=name, owner=owner), sql)
            if len(asked) < sum((alias or table) == name for alias in names):
                missing.append(name)
    return missing


_OCCURS = r"""(?:\bFROM|\bJOIN|\bUPDATE|\bUSING|,)[\s(]*"?\b{table}\b(?!["\w]*\.)"?(?:\s+AS\s+"?(\w+)"?)?"""
_ASKED = r"""(?<![\w"])"?{name}"?\."?{owner}"? = (?:\?|%\()"""
