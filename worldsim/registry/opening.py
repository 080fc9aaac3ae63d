"""From a registry's address to the registry."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.registry.blobs import DatabaseBlobs, PackedBlobs
from worldsim.registry.builtin import shipped_models
from worldsim.registry.client import HttpRegistry
from worldsim.registry.database import Database
from worldsim.registry.store import StoredRegistry

__all__ = ["SCHEMES", "open_registry", "open_stored"]

SCHEMES = ("builtin", "sqlite:///file.db", "postgresql://user@host/database", "http://host:port")


def open_registry(url: str = "builtin") -> StoredRegistry | HttpRegistry:
    """Open the registry at `url`.

    ``"builtin"`` is a private copy of the shipped cards in memory: a search, a fetch and a publish work, and what was
    published is gone when it is closed. ``"sqlite:///file.db"`` keeps (relative path; four slashes for an absolute
    one): the file is made, empty, where there is none; ``worldsim registry init`` makes it with the shipped cards.
    ``"postgresql://..."`` is one database for many machines; ``"http://host:port"`` is what ``worldsim registry serve``
    serves there, and ``"http://host:port?offline=1"`` what was fetched from it before.

    Raises:
        UnknownNameError: `url` is of no known form.
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
    database = Database(parsed)
    if backend == "sqlite" and not database.in_memory:
        return StoredRegistry(database, PackedBlobs(Path(f"{parsed.database}.blobs")), Path(f"{parsed.database}.index"))
    return StoredRegistry(database, DatabaseBlobs())


def open_stored(url: str) -> StoredRegistry:
    """Open a registry that lies in a database, as `open_registry` does.

    Raises:
        ConfigurationError: `url` is a server's.
    """
    found = open_registry(url)
    if not isinstance(found, StoredRegistry):
        found.close()
        raise ConfigurationError(f"{url} is served by another process; do this where its database lies.")
    return found


def _http(url: str) -> HttpRegistry:
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    if not parts.hostname or set(options) - {"offline"}:
        raise ConfigurationError(f"registry address {url!r}, expected http://host:port or http://host:port?offline=1.")
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
        parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise UnknownNameError("registry address", url, SCHEMES) from error
    return parsed
