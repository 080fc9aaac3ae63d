"""Model bytes at any URL that fsspec knows: object stores, file servers, memory.

Objects cannot be appended to, so every publish (or every batch of a bulk one) makes a pack of its own; a pack is
written whole before the transaction that names it commits. One that no transaction names, left by a writer that was
killed, is written over by the next.
"""

from __future__ import annotations

import os
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from worldsim.errors import ConfigurationError, IntegrityError, StorageError
from worldsim.registry.blobs import PackStore, whole

__all__ = ["RemoteBlobs"]


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
        try:
            self._files.pipe_file(self._path(pack), data)
            if isinstance(self._files, LocalFileSystem):
                with open(self._path(pack), "rb") as file:
                    os.fsync(file.fileno())  # other stores say themselves when bytes are safe
        except Exception as error:
            raise StorageError(
                f"cannot store {len(data)} bytes in {self.name(pack)}: {_said(error)}. What was stored before is "
                "intact."
            ) from error

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

    def _path(self, pack: int) -> str:
        return f"{self._root}/pack-{pack:08d}.bin"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
