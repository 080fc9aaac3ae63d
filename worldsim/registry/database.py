"""The database behind a registry: its tables, its transactions, and its errors in worldsim's words.

SQLite (one file, write-ahead log) or PostgreSQL; every statement is SQLAlchemy's, so both run the same code. A write
is one transaction that takes the writer's lock first: two writers wait for each other, they never collide.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from worldsim.errors import IntegrityError, RegistryError, StorageError, WorldsimError
from worldsim.extras import need

__all__ = [
    "NEWEST",
    "Database",
    "aliases",
    "blob_bytes",
    "blobs",
    "cards",
    "descriptors",
    "interactions",
    "meta",
    "models",
    "packs",
    "pairs",
    "tags",
]

FORMAT = "2"
_UPGRADED = frozenset({"1"})  # formats that differ by tables alone; what is there is left as it is
_LOCK_WAIT_S = 60.0  # a publish holds the writer's lock for milliseconds, an import for longer
_ADVISORY_LOCK = 0x776F726C64  # "world": PostgreSQL's lock is a number
_WRITING = "worldsim_writing"

_schema = sa.MetaData()
_row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # INTEGER is SQLite's own row number, no second index

meta = sa.Table("meta", _schema, sa.Column("key", sa.String(64), primary_key=True), sa.Column("value", sa.Text))
cards = sa.Table(
    "cards",
    _schema,
    sa.Column("row", _row_id, primary_key=True, autoincrement=False),
    sa.Column("model_id", sa.String(96), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("family", sa.String(64), nullable=False),
    sa.Column("licence", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("body_sha256", sa.String(64), nullable=False),
    sa.Column("blob", sa.String(64), nullable=False, index=True),
    sa.Column("published_s", sa.Float, nullable=False),
    sa.UniqueConstraint("model_id", "version"),
)
models = sa.Table(
    "models",
    _schema,
    sa.Column("model_id", sa.String(96), primary_key=True),
    sa.Column("row", _row_id, sa.ForeignKey("cards.row"), nullable=False),
    sqlite_with_rowid=False,
)
tags = sa.Table(
    "tags",
    _schema,
    sa.Column("tag", sa.String(64), primary_key=True),
    sa.Column("row", _row_id, sa.ForeignKey("cards.row"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)
aliases = sa.Table(
    "aliases",
    _schema,
    sa.Column("model_id", sa.String(96), primary_key=True),
    sa.Column("alias", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
descriptors = sa.Table(
    "descriptors",
    _schema,
    sa.Column("row", _row_id, primary_key=True, autoincrement=False),
    sa.Column("replaces", _row_id, nullable=True),
    sa.Column("model_id", sa.String(96), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)
packs = sa.Table(
    "packs",
    _schema,
    sa.Column("pack", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("length", sa.BigInteger, nullable=False),
)
NEWEST = (models.c.row == cards.c.row) & (models.c.model_id == cards.c.model_id)
"""Joins the pointers to the cards they point at; with both columns, whichever side has fewer rows may be read first."""

blobs = sa.Table(
    "blobs",
    _schema,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("pack", sa.Integer, nullable=False),
    sa.Column("start", sa.BigInteger, nullable=False),
    sa.Column("length", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
blob_bytes = sa.Table(
    "blob_bytes",
    _schema,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)


interactions = sa.Table(
    "interactions",
    _schema,
    sa.Column("row", _row_id, primary_key=True, autoincrement=False),
    sa.Column("model_id", sa.String(96), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False, index=True),
    sa.Column("family", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("body_sha256", sa.String(64), nullable=False),
    sa.Column("blob", sa.String(64), nullable=False, index=True),
    sa.Column("published_s", sa.Float, nullable=False),
    sa.UniqueConstraint("model_id", "version"),
)
"""Kinds of interaction; their bytes lie among the models' (since format 2)."""


class Database:
    """One registry's database. Safe to use from several threads and several processes.

    Attributes:
        lock_wait_s: a writer waits this long for another. Who serves others sets it to less than they wait.
    """

    def __init__(self, url: URL) -> None:
        """Open the database at `url`; make its tables where it has none.

        Raises:
            StorageError: it cannot be opened, or was made by a newer worldsim.
            IntegrityError: the file is no database, or is damaged.
        """
        self.url = url
        self.lock_wait_s = _LOCK_WAIT_S
        self.in_memory = url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")
        # one connection serves every thread of an in-memory database, so they take turns
        self._turn: Any = threading.RLock() if self.in_memory else _NoLock()
        self.engine = _engine(url, self.in_memory)
        try:
            self._make_tables()
        except BaseException:
            self.engine.dispose()
            raise

    @property
    def name(self) -> str:
        """The database as messages name it, without a password."""
        return "in memory" if self.in_memory else self.url.render_as_string(hide_password=True)

    @property
    def registry_id(self) -> str:
        """A name that no other registry has, given when it was made."""
        with self.reading() as connection:
            return str(connection.execute(sa.select(meta.c.value).where(meta.c.key == "id")).scalar_one())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one consistent state."""
        with self._turn, self._translated("read"), self.engine.connect() as connection:
            if connection.dialect.name == "postgresql":  # whose own choice is a new state for every statement
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose statements are stored together at the end, or not at all.

        Raises:
            StorageError: another writer held the lock for longer than `lock_wait_s`.
        """
        with self._turn, self._translated("write"), self.engine.connect() as plain:
            connection = plain.execution_options(**{_WRITING: self.lock_wait_s})
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    wait_ms = f"{1e3 * self.lock_wait_s:.0f}"
                    connection.execute(sa.text("SELECT set_config('lock_timeout', :ms, true)"), {"ms": wait_ms})
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
                yield connection

    def close(self) -> None:
        """Close every connection; an in-memory database is gone."""
        self.engine.dispose()

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except WorldsimError:
            raise
        except SQLAlchemyError as error:
            raise _in_our_words(error, what, self.name, self.lock_wait_s) from error

    def _make_tables(self) -> None:
        with self.reading() as connection:
            made = sa.inspect(connection).has_table("meta")
            found = made and connection.execute(sa.select(meta.c.value).where(meta.c.key == "format")).scalar()
        if not found:
            if self.url.get_backend_name() == "sqlite" and not self.in_memory:
                self._use_write_ahead_log()
            with self.writing() as connection:
                _schema.create_all(connection)
                if connection.execute(sa.select(sa.func.count()).select_from(meta)).scalar() == 0:
                    connection.execute(
                        meta.insert(), [{"key": "format", "value": FORMAT}, {"key": "id", "value": uuid.uuid4().hex}]
                    )
            return
        if found in _UPGRADED:
            self._upgrade()
        elif found != FORMAT:
            raise StorageError(
                f"registry {self.name} has format {found}, this worldsim reads format {FORMAT}. Update worldsim, or "
                "export it with the version that made it."
            )

    def _upgrade(self) -> None:
        """Add the tables that an older format lacks, in one transaction; two processes that do it take turns.

        The format's number is raised with them, so that an older worldsim, whose clearing away knows nothing of the
        new tables, keeps its hands off what they refer to.
        """
        with self.writing() as connection:
            _schema.create_all(connection)
            connection.execute(meta.update().where(meta.c.key == "format").values(value=FORMAT))

    def _use_write_ahead_log(self) -> None:
        with self._translated("create"), self.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            try:
                raw.execute("PRAGMA journal_mode = WAL")
            except Exception as error:  # sqlite3's own, outside SQLAlchemy's wrapping
                raise _in_our_words(error, "create", self.name, self.lock_wait_s) from error


class _NoLock:
    """Stands in for a lock where the database itself keeps threads apart."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def pairs(rows: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Return the first two columns of `rows` as plain tuples."""
    return [(row[0], row[1]) for row in rows]


def _engine(url: URL, in_memory: bool) -> Engine:
    if url.get_backend_name() != "sqlite":
        need("psycopg", "a registry in PostgreSQL")
        return sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": _LOCK_WAIT_S}}
    if in_memory:
        options["poolclass"] = StaticPool
    engine = sa.create_engine(url, **options)

    def prepare(raw: Any, _: Any) -> None:
        raw.isolation_level = None  # transactions begin where we say, see `begin`
        cursor = raw.cursor()
        cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged publish survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA cache_size = -65536")  # 64 MiB
        cursor.close()

    def begin(connection: Connection) -> None:
        lock_wait_s = connection.get_execution_options().get(_WRITING)
        if lock_wait_s is None:
            connection.exec_driver_sql("BEGIN")
        else:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {1e3 * lock_wait_s:.0f}").close()
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", begin)
    return engine


def _in_our_words(error: Exception, what: str, name: str, lock_wait_s: float) -> RegistryError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = " ".join(str(cause).split())
    low = said.lower()
    if "malformed" in low or "not a database" in low:
        return IntegrityError(
            f"registry {name} is damaged ({said}); restore the file from a copy, or make a new one with "
            "'worldsim registry init' and import an export."
        )
    held = f"Another process held it for more than {lock_wait_s:g} s; end that one and try again."
    hints = {
        "disk is full": "Free space on its disk and publish again; what was stored before is intact.",
        "no space left": "Free space on its disk and publish again; what was stored before is intact.",
        "disk i/o error": "Its disk refuses; check space and health. What was stored before is intact.",
        "locked": held,
        "lock timeout": held,
        "readonly": "Make the file and its folder writable.",
        "unable to open": "Does its folder exist, and may you read and write it?",
        "connection": "Is the database server running, and reachable from here?",
    }
    for sign, hint in hints.items():
        if sign in low:
            return StorageError(f"cannot {what} registry {name}: {said}. {hint}")
    return StorageError(f"cannot {what} registry {name}: {type(cause).__name__}: {said}.")
