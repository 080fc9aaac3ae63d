"""Model bytes at any URL that fsspec knows: object stores, file servers, memory.

Objects cannot be appended to, so every publish (or every batch of a bulk one) makes a pack of its own; a pack is
written whole before the transaction that names it commits. One that no transaction names, left by a writer that was
killed, is written over by the next.

A place is one registry's: the object ``owner`` there holds the registry's id. Two would write over each other's packs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import fsspec
import sqlalchemy as sa
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy.engine import Connection

from worldsim.errors import ConfigurationError, IntegrityError, StorageError
from worldsim.registry.blobs import PackStore, whole
from worldsim.registry.database import meta, packs

__all__ = ["RemoteBlobs"]

_OWNER = "owner"


class RemoteBlobs(PackStore):
    """Blobs in objects ``pack-00000001.bin``, ``pack-00000002.bin`` ... under one URL."""

    def __init__(self, url: str) -> None:
        """Use `url`, for example ``s3://bucket/registry`` or ``file:///srv/registry``.

        Raises:
            ConfigurationError: no such protocol, or what speaks it is not installed.
        """
        self.url = url.rstrip("/")
        try:
            self._files, self._root = fsspec.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"blobs at {url!r}: {error}. Any URL that fsspec knows will do, for example file:///srv/registry, "
                "or s3://bucket/registry with the package s3fs."
            ) from error
        if isinstance(self._files, LocalFileSystem):  # which has its own switch for making folders as it writes
            self._files = LocalFileSystem(auto_mkdir=True)
        self._is_ours = False

    def claim(self, connection: Connection) -> None:
        """See that the place belongs to the registry of `connection`; where it is nobody's, take it.

        A place that was taken before there were owners has none: it is the registry's whose database knows its packs.

        Raises:
            ConfigurationError: it is another registry's.
            StorageError: it cannot be read or written.
        """
        if self._is_ours:
            return
        registry_id = str(connection.execute(sa.select(meta.c.value).where(meta.c.key == "id")).scalar_one())
        owner = self._owner()
        if owner is None:
            if self.lengths() and connection.execute(sa.select(packs.c.pack).limit(1)).first() is None:
                owner = "one that left no record of itself"
            else:
                self._write(f"{self._root}/{_OWNER}", registry_id.encode())
                owner = self._owner()  # another may have taken it at the same moment
        if owner != registry_id:
            raise ConfigurationError(
                f"what lies at {self.url} belongs to another registry ({owner}; this one is {registry_id}). Name a "
                "place of its own, or, where that registry is gone for good, empty this one first."
            )
        self._is_ours = True

    def put(self, connection: Connection, items: Mapping[str, bytes]) -> None:
        """Store as `PackStore.put` does; raises ConfigurationError where the place is another registry's."""
        self.claim(connection)
        super().put(connection, items)

    def rewrite_sparse(self, connection: Connection) -> list[int]:
        """Rewrite as `PackStore.rewrite_sparse` does; raises ConfigurationError as `put`."""
        self.claim(connection)
        return super().rewrite_sparse(connection)

    def name(self, pack: int) -> str:
        """Return the URL."""
        return f"{self.url}/pack-{pack:08d}.bin"

    def place(self, last: tuple[int, int] | None) -> tuple[int, int]:
        """Begin a new pack each time."""
        return (1 if last is None else last[0] + 1), 0

    def read(self, pack: int, start: int, length: int) -> bytes:
        """Read a part of the object; raises as `PackStore.read` does."""
        try:
            data = self._files.cat_file(self._path(pack), start=start, end=start + length)
        except FileNotFoundError as error:
            raise IntegrityError(f"{self.name(pack)} is missing; restore it from a copy.") from error
        except Exception as error:
            raise StorageError(f"cannot read {self.name(pack)}: {_said(error)}.") from error
        return whole(bytes(data), length, start, self.name(pack))

    def write(self, pack: int, start: int, data: bytes) -> None:
        """Write the whole object; raises as `PackStore.write` does."""
        assert start == 0, "objects are written whole"
        self._write(self._path(pack), data)

    def remove(self, pack: int) -> None:
        """Delete the object."""
        try:
            self._files.rm_file(self._path(pack))
        except FileNotFoundError:
            return
        except Exception as error:
            raise StorageError(
                f"cannot remove {self.name(pack)}: {_said(error)}. It may be removed by hand."
            ) from error

    def lengths(self) -> dict[int, int]:
        """List the objects."""
        try:
            listed: list[dict[str, Any]] = self._files.ls(self._root, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:
            raise StorageError(f"cannot list {self.url}: {_said(error)}.") from error
        found = {}
        for entry in listed:
            stem = str(entry["name"]).rpartition("/")[2]
            number = stem.removeprefix("pack-").removesuffix(".bin")
            if stem == f"pack-{number}.bin" and number.isdecimal():
                found[int(number)] = int(entry["size"] or 0)
        return found

    def _owner(self) -> str | None:
        try:
            return bytes(self._files.cat_file(f"{self._root}/{_OWNER}")).decode("ascii", "replace")[:64]
        except FileNotFoundError:
            return None
        except Exception as error:
            raise StorageError(f"cannot read {self.url}/{_OWNER}: {_said(error)}.") from error

    def _write(self, path: str, data: bytes) -> None:
        try:
            self._files.pipe_file(path, data)
            if isinstance(self._files, LocalFileSystem):
                with open(path, "rb") as file:
                    os.fsync(file.fileno())  # other stores say themselves when bytes are safe
        except Exception as error:
            raise StorageError(
                f"cannot store {len(data)} bytes in {self.url}/{path.rpartition('/')[2]}: {_said(error)}. What was "
                "stored before is intact."
            ) from error

    def _path(self, pack: int) -> str:
        return f"{self._root}/pack-{pack:08d}.bin"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
