"""Many rows at once: the driver gets plain tuples and SQL compiled once, half the cost of naming every parameter."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam
from sqlalchemy.dialects.sqlite import insert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Dialect, Table
    from sqlalchemy.sql.dml import UpdateBase

Row = dict[str, Any]
Values = tuple[Any, ...]


def put_rows(connection: Connection, table: Table, rows: Sequence[Values], *, keep: bool = False) -> None:
    """Insert rows in the order of the table's columns; one that exists is overwritten, or kept as it is."""
    if rows:
        sql, names = _compiled(_put(table, keep), connection.dialect)
        assert names == tuple(table.columns.keys())
        connection.exec_driver_sql(sql, list(rows))


def execute_rows(connection: Connection, statement: UpdateBase, rows: Sequence[Row]) -> None:
    """Execute a statement, which has to be a constant, for each row of its parameters."""
    if rows:
        sql, names = _compiled(statement, connection.dialect)
        connection.exec_driver_sql(sql, [tuple([row[name] for name in names]) for row in rows])


@cache
def _put(table: Table, keep: bool) -> UpdateBase:
    statement = insert(table).values({column.name: bindparam(column.name) for column in table.columns})
    if keep:
        return statement.on_conflict_do_nothing()
    keys = [column.name for column in table.primary_key]
    others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


@cache
def _compiled(statement: UpdateBase, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """The SQL of a statement and its parameters in order."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), tuple(compiled.positiontup or ())
