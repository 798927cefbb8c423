"""A list as one parameter: however long it is, the statement stays the same, and is compiled once.

SQLite limits how many parameters a statement may have, and a list of parameters makes another statement for each
length. So a list goes as JSON, which SQLite takes apart itself (https://sqlite.org/json1.html#jeach).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Text, TypeDecorator, bindparam, func, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, Dialect, Select


class _Listed(TypeDecorator["Iterable[int] | Iterable[str]"]):
    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Iterable[int] | Iterable[str] | None, dialect: Dialect) -> str:  # noqa: ARG002
        return listed(value or ())


def listed(values: Iterable[Any]) -> str:
    """Numbers of 64 bits, texts, or lists of them, as JSON."""
    return msgspec.json.encode(list(values)).decode()


def among(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a column is one of the numbers or texts of the list `rows_of` is given.

    Bytes cannot be listed, and SQLite cuts a text off at U+0000: only what was cleaned is asked for in this way.
    """
    values = func.json_each(bindparam("listed", type_=_Listed)).table_valued("value")
    return column.in_(select(values.c.value))


def rows_of(
    connection: Connection, statement: Select[Any], wanted: Iterable[int] | Iterable[str], **others: object
) -> Sequence[Any]:
    """The rows of a statement that has `among` in it, for this list; for an empty one nobody is asked."""
    values = list(wanted)
    return connection.execute(statement, {"listed": values, **others}).all() if values else []
