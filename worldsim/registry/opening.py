"""From a registry's address to the registry."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from worldsim.errors import ConfigurationError, StorageError, UnknownNameError
from worldsim.registry.blobs import BlobStore, DatabaseBlobs, PackedBlobs
from worldsim.registry.builtin import shipped_models
from worldsim.registry.client import HttpRegistry
from worldsim.registry.database import Database, cards, meta
from worldsim.registry.remote_blobs import RemoteBlobs
from worldsim.registry.store import StoredRegistry

__all__ = ["SCHEMES", "open_existing", "open_registry", "open_stored"]

_BLOBS = "blobs"
_HTTP = "http://host:port or http://host:port?offline=1"
_DRIVERS = frozenset({"sqlite", "sqlite+pysqlite"})
SCHEMES = ("builtin", "sqlite:///file.db", "postgresql://user@host/database", "http://host:port")


def open_registry(url: str = "builtin") -> StoredRegistry | HttpRegistry:
    """Open the registry at `url`.

    ``"builtin"`` is a private copy of the shipped cards in memory: a search, a fetch and a publish work, and what was
    published is gone when it is closed. ``"sqlite:///file.db"`` keeps (relative path; four slashes for an absolute
    one): the file is made, empty, where there is none; ``worldsim registry init`` makes it with the shipped cards.
    ``"postgresql://..."`` is one database for many machines; ``"http://host:port"`` is what ``worldsim registry serve``
    serves there, and ``"http://host:port?offline=1"`` what was fetched from it before.

    A database of either kind may keep the models' bytes elsewhere: ``"sqlite:///file.db?blobs=s3://bucket/folder"``
    puts them at any URL that fsspec knows. It is said once, when the registry is new, and remembered in the database.

    Raises:
        UnknownNameError: `url` is of no known form.
        ConfigurationError: the blobs are asked for in another place than where they lie, or in another registry's.
        StorageError: it cannot be opened.
        IntegrityError: it is damaged.
    """
    if url == "builtin":
        return _builtin()
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        return _http(url)
    parsed = _parse(url)
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise UnknownNameError("registry address", url, SCHEMES)
    asked = parsed.query.get("blobs")
    if asked is not None and not isinstance(asked, str):
        raise ConfigurationError(f"registry address {url!r} names {len(asked)} places for blobs, expected one.")
    database = Database(parsed.difference_update_query(["blobs"]))
    try:
        return _stored(database, asked)
    except BaseException:
        database.close()
        raise


def open_existing(url: str = "builtin") -> StoredRegistry | HttpRegistry:
    """Open the registry at `url` as `open_registry` does, but make none: for those who read, and may mistype a name.

    Raises:
        StorageError: there is no file of that name, or it cannot be opened.
        UnknownNameError, ConfigurationError, IntegrityError: as `open_registry`.
    """
    if isinstance(url, str) and url.startswith("sqlite:"):
        file = _parse(url).database
        if file and file != ":memory:" and not Path(file).is_file():
            raise StorageError(
                f"no registry at {url}: there is no file {file}. 'worldsim registry init {url}' makes it, with the "
                "shipped cards (--empty: without)."
            )
    return open_registry(url)


def _stored(database: Database, asked: str | None) -> StoredRegistry:
    file = database.url.database
    in_file = database.url.get_backend_name() == "sqlite" and not database.in_memory
    known = _blobs_url(database, asked)
    blobs: BlobStore
    if known is not None:
        blobs = RemoteBlobs(known)
    else:
        blobs = PackedBlobs(Path(f"{file}.blobs")) if in_file else DatabaseBlobs()
    return StoredRegistry(database, blobs, Path(f"{file}.index") if in_file else None)


def _blobs_url(database: Database, asked: str | None) -> str | None:
    """Return where the blobs lie, None for the usual place; note in a new registry where they shall lie."""
    with database.reading() as connection:
        known = connection.execute(sa.select(meta.c.value).where(meta.c.key == _BLOBS)).scalar()
        is_new = connection.execute(sa.select(cards.c.row).limit(1)).first() is None
    if asked is None or asked == known:
        return known
    if known is not None or not is_new:
        raise ConfigurationError(
            f"registry {database.name} keeps its models' bytes {f'at {known}' if known else 'beside its database'}, "
            f"not at {asked}. To move them, export it and import it into a new registry."
        )
    place = RemoteBlobs(asked)  # refuses a place that cannot be
    with database.writing() as connection:
        place.claim(connection)
        connection.execute(meta.delete().where(meta.c.key == _BLOBS))
        connection.execute(meta.insert(), {"key": _BLOBS, "value": asked})
    return asked


def open_stored(url: str, *, existing: bool = False) -> StoredRegistry:
    """Open a registry that lies in a database, as `open_registry` does, or where `existing` as `open_existing` does.

    Raises:
        ConfigurationError: `url` is a server's.
    """
    found = open_existing(url) if existing else open_registry(url)
    if not isinstance(found, StoredRegistry):
        found.close()
        raise ConfigurationError(f"{url} is served by another process; do this where its database lies.")
    return found


def _http(url: str) -> HttpRegistry:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
        options = parse_qs(parts.query)
    except ValueError as error:
        raise ConfigurationError(f"registry address {url!r}: {error}; expected {_HTTP}.") from error
    if not parts.hostname or set(options) - {"offline"}:
        raise ConfigurationError(f"registry address {url!r}, expected {_HTTP}.")
    bare = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    return HttpRegistry(bare, offline=options.get("offline", ["0"])[0] not in ("0", "false", ""))


def _builtin() -> StoredRegistry:
    registry = StoredRegistry(Database(make_url("sqlite://")), DatabaseBlobs())
    registry.store_checked(list(shipped_models()))
    return registry


def _parse(url: str) -> URL:
    if not isinstance(url, str) or not url:
        raise ConfigurationError(f"registry address {url!r}, expected one of {', '.join(SCHEMES)}.")
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise UnknownNameError("registry address", url, SCHEMES) from error
    if backend == "sqlite" and parsed.drivername not in _DRIVERS:
        raise UnknownNameError("registry address", url, SCHEMES)
    return parsed
