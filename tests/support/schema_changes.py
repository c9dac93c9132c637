"""What a migration takes away from programs that do not know it, by comparing the schema before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, inspect


@dataclass(frozen=True, slots=True)
class TableShape:
    """The columns of a table by their names, and the conditions that its rows have to meet."""

    columns: Mapping[str, Mapping[str, Any]]
    conditions: frozenset[str]


def shapes_of(connection: Connection) -> dict[str, TableShape]:
    """Return the shape of each table, but for Alembic's."""
    inspector = inspect(connection)
    shapes = {}
    for name in inspector.get_table_names():
        if name == "alembic_version":
            continue
        columns = {column["name"]: column for column in inspector.get_columns(name)}
        conditions = {f"check {check['sqltext']}" for check in inspector.get_check_constraints(name)}
        conditions |= {f"unique {unique['column_names']}" for unique in inspector.get_unique_constraints(name)}
        conditions |= {f"unique {index['column_names']}" for index in inspector.get_indexes(name) if index["unique"]}
        conditions |= {
            f"{key['constrained_columns']} refers to {key['referred_table']}"
            for key in inspector.get_foreign_keys(name)
        }
        shapes[name] = TableShape(columns, frozenset(conditions))
    return shapes


def taken_away(before: Mapping[str, TableShape], after: Mapping[str, TableShape]) -> list[str]:
    """Return in words what a program that knows `before` could not do with `after`."""
    problems = []
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            problems.append(f"the table {name} is gone")
            continue
        for column, was in old.columns.items():
            now = new.columns.get(column)
            if now is None:
                problems.append(f"the column {name}.{column} is gone")
            elif str(now["type"]) != str(was["type"]):
                problems.append(f"the column {name}.{column} is {now['type']}, and was {was['type']}")
            elif was["nullable"] and not now["nullable"]:
                problems.append(f"the column {name}.{column} may be empty no more")
        problems += [
            f"the new column {name}.{column} needs a value that an older program does not write"
            for column, now in new.columns.items()
            if column not in old.columns and not now["nullable"] and now["default"] is None
        ]
        problems += [f"rows of {name} have to meet more: {one}" for one in sorted(new.conditions - old.conditions)]
    return problems
