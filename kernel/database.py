"""PostgreSQL: statements in SQL where one round trip must do the work of many, and effects that wait for the commit."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import orjson
from django.db import IntegrityError, connection, transaction

JSONB = 3802  # the type's number in PostgreSQL

logger = logging.getLogger(__name__)
Parameters = ParamSpec("Parameters")


def fetch_one(sql: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The only row of a statement, by column name. One round trip; outside a transaction it commits by itself."""
    rows = fetch_all(sql, parameters)
    if len(rows) != 1:
        raise AssertionError(f"{len(rows)} rows, not one")
    return rows[0]


def fetch_all(sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All rows of a statement, by column name; jsonb is decoded (Django has told psycopg to leave it as text)."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        columns = [(column.name, column.type_code == JSONB) for column in cursor.description or ()]
        return [
            {
                name: orjson.loads(value) if is_json and value is not None else value
                for (name, is_json), value in zip(columns, row, strict=True)
            }
            for row in cursor.fetchall()
        ]


def violated_constraint(error: IntegrityError) -> str | None:
    """The name of the constraint that refused a write."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return diagnosis.constraint_name if diagnosis else None


def after_commit(effect: Callable[Parameters, object], *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
    """Runs `effect` once the current transaction is durable; at once when there is none.

    Effects are hints (caches, messages, counters): one that fails is logged and lost, it never turns what is committed
    into an error.
    """

    def run() -> None:
        try:
            effect(*args, **kwargs)
        except Exception:
            logger.exception("effect %s failed", getattr(effect, "__qualname__", effect))

    transaction.on_commit(run)
