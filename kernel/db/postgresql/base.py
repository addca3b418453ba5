"""Django's backend with metrics, and three additions: pinned sessions, a guarded pool, errors of a read-only server.

`OPTIONS["session"]` are the parameters of PostgreSQL that each session sets. The pool is a `GuardedPool` if the process
has a bulkhead (DATABASE_PLACES).
"""

from types import TracebackType
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper as DjangoWrapper
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from django_prometheus.db.backends.postgresql.base import DatabaseWrapper as InstrumentedWrapper
from psycopg import Connection, conninfo, sql
from psycopg.errors import ReadOnlySqlTransaction
from psycopg_pool import ConnectionPool

from kernel.db.postgresql.pool import GuardedPool


class _ErrorWrapper(DatabaseErrorWrapper):
    """A server that only reads is unavailable to whoever writes. For psycopg it is an internal error."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ReadOnlySqlTransaction):
            raise OperationalError(*error.args).with_traceback(traceback) from error
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(InstrumentedWrapper):  # type: ignore[misc]  # without types
    @cached_property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        return _ErrorWrapper(self)

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        parameters.pop("session", None)
        return parameters

    @property
    def pool(self) -> "ConnectionPool[Connection[Any]] | None":
        options = self.settings_dict["OPTIONS"].get("pool") or {}
        if self.alias in self._connection_pools or not options or not settings.DATABASE_PLACES:
            found: ConnectionPool[Connection[Any]] | None = DjangoWrapper.pool.fget(self)  # type: ignore[attr-defined]
            return found
        parameters = {**self.get_connection_params(), "autocommit": True}
        address = {name: value for name, value in parameters.items() if name in _ADDRESS}
        made = GuardedPool(
            address=conninfo.make_conninfo(**address),
            kwargs=parameters,
            open=False,
            configure=self._configure_connection,
            **options,
        )
        return self._connection_pools.setdefault(self.alias, made)  # type: ignore[no-any-return]  # as Django does

    def _configure_connection(self, connection: "Connection[Any]") -> bool:
        # After connecting, and not with the startup packet's `options`, which PgBouncer rejects.
        parameters = self.settings_dict["OPTIONS"].get("session")
        if parameters:
            assignments = [
                sql.SQL("set_config({}, {}, false)").format(name, str(value)) for name, value in parameters.items()
            ]
            connection.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(assignments)), prepare=False)
        return bool(super()._configure_connection(connection)) or bool(parameters)


# What of the parameters says where PostgreSQL is, and how to reach it.
_ADDRESS = {"host", "port", "dbname", "user", "password", "service", "sslmode", "sslrootcert", "sslcert", "sslkey"}
