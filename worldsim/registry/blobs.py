"""Where model bytes lie: content-addressed by sha256, in packs (files here, objects elsewhere), or in the database.

A pack is a plain concatenation; the database says where each blob lies and how long each pack is. Bytes beyond that
length belong to a write that never committed: the next writer writes over them, so a crash heals by itself.
"""

from __future__ import annotations

import abc
import hashlib
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worldsim.errors import IntegrityError, StorageError
from worldsim.registry.database import blob_bytes, blobs, packs, pairs

__all__ = ["BlobStore", "DatabaseBlobs", "PackStore", "PackedBlobs", "looked_up"]

PACK_BYTES = 1 << 30
"""A pack that has reached this size is left alone and the next one begun."""

T = TypeVar("T")
_LOOKUP = 500  # keys in one IN list; SQLite's oldest limit on variables is 999


class BlobStore(abc.ABC):
    """Bytes by their sha256. `put` runs inside the writing transaction that also stores the cards.

    Attributes:
        table: which table lists the blobs, by its column ``sha256``.
        place_columns: columns of it that say where a blob lies.
    """

    table: sa.Table
    place_columns: tuple[sa.Column[Any], ...]

    @abc.abstractmethod
    def put(self, connection: Connection, items: Mapping[str, bytes]) -> None:
        """Store `items` (sha256 -> bytes); those that are there already are left as they are, unless they are damaged.

        Raises:
            StorageError: the disk refused; nothing that a reader could see has changed.
        """

    @abc.abstractmethod
    def bytes_at(self, places: Sequence[tuple[Any, ...]]) -> dict[str, bytes]:
        """Return the bytes at `places`, rows of ``sha256`` and `place_columns`. The caller checks the sha256.

        Raises:
            IntegrityError: a pack is missing or too short.
        """

    def get(self, connection: Connection, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the bytes of those `keys` that are there. Raises as `bytes_at`."""
        found: dict[str, bytes] = {}
        for part in _parts(keys):
            query = sa.select(self.table.c.sha256, *self.place_columns).where(self.table.c.sha256.in_(part))
            found.update(self.bytes_at([tuple(row) for row in connection.execute(query)]))
        return found

    @abc.abstractmethod
    def sizes(self, connection: Connection) -> tuple[int, int]:
        """Return (number of blobs, bytes in them)."""

    def close(self) -> None:  # noqa: B027 - a store without files has nothing to close
        """Let go of open files."""


class DatabaseBlobs(BlobStore):
    """Blobs as rows: for in-memory registries, and where several machines share one PostgreSQL."""

    table = blob_bytes
    place_columns = (blob_bytes.c.data,)

    def put(self, connection: Connection, items: Mapping[str, bytes]) -> None:
        """Insert what is not there yet."""
        there = present(connection, blob_bytes, items)
        rows = [{"sha256": key, "data": data} for key, data in items.items() if key not in there]
        if rows:
            connection.execute(blob_bytes.insert(), rows)

    def bytes_at(self, places: Sequence[tuple[Any, ...]]) -> dict[str, bytes]:
        """Return them: their place is they."""
        return {key: bytes(data) for key, data in places}

    def sizes(self, connection: Connection) -> tuple[int, int]:
        """Count rows and bytes."""
        count, total = connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.func.length(blob_bytes.c.data)), 0))
        ).one()
        return int(count), int(total)


class PackStore(BlobStore):
    """Blobs in numbered packs, which the database keeps the account of. Where packs lie is the subclass's."""

    table = blobs
    place_columns = (blobs.c.pack, blobs.c.start, blobs.c.length)

    @abc.abstractmethod
    def name(self, pack: int) -> str:
        """Return where a pack lies, as messages name it."""

    @abc.abstractmethod
    def read(self, pack: int, start: int, length: int) -> bytes:
        """Return `length` bytes of `pack` from `start`.

        Raises:
            IntegrityError: the pack is missing or too short.
            StorageError: it cannot be read.
        """

    def will_read(self, places: Sequence[tuple[int, int, int]]) -> None:
        """Say which (pack, start, length) are read next, so that a disk can fetch them side by side."""

    @abc.abstractmethod
    def remove(self, pack: int) -> None:
        """Delete a pack that nothing refers to any more; one that is gone already is no error."""

    @abc.abstractmethod
    def place(self, last: tuple[int, int] | None) -> tuple[int, int]:
        """Return (pack, start) of the next write, given number and length of the last pack, or None for no pack yet."""

    @abc.abstractmethod
    def write(self, pack: int, start: int, data: bytes) -> None:
        """Write `data` at `start` of `pack`, durably.

        Raises:
            StorageError: it could not; no committed byte is touched.
        """

    @abc.abstractmethod
    def lengths(self) -> dict[int, int]:
        """Return how long each pack is that lies there, committed or not."""

    def put(self, connection: Connection, items: Mapping[str, bytes]) -> None:
        """Append what is not there yet, or is damaged where it lies, make it durable, and note where it lies."""
        there = present(connection, blobs, items)
        damaged = self._damaged(connection, there)
        fresh = {key: data for key, data in items.items() if key not in there or key in damaged}
        if not fresh:
            return
        last = connection.execute(
            sa.select(packs.c.pack, packs.c.length).order_by(packs.c.pack.desc()).limit(1)
        ).first()
        pack, start = self.place(None if last is None else (last.pack, last.length))
        self.write(pack, start, b"".join(fresh.values()))
        end, rows = start, []
        for key, data in fresh.items():
            rows.append({"sha256": key, "pack": pack, "start": end, "length": len(data)})
            end += len(data)
        if last is None or pack != last.pack:
            connection.execute(packs.insert(), [{"pack": pack, "length": end}])
        else:
            connection.execute(packs.update().where(packs.c.pack == pack).values(length=end))
        for part in _parts(damaged):
            connection.execute(blobs.delete().where(blobs.c.sha256.in_(part)))
        connection.execute(blobs.insert(), rows)

    def _damaged(self, connection: Connection, there: Iterable[str]) -> list[str]:
        """Return which of the blobs that are there no longer have their sha256, or cannot be read at all."""
        found = []
        for part in _parts(sorted(there)):
            query = sa.select(blobs.c.sha256, *self.place_columns).where(blobs.c.sha256.in_(part))
            for key, *place in connection.execute(query):
                try:
                    whole = hashlib.sha256(self.read(*place)).hexdigest() == key
                except IntegrityError:
                    whole = False
                found += [] if whole else [key]
        return found

    def bytes_at(self, places: Sequence[tuple[Any, ...]]) -> dict[str, bytes]:
        """Read them from their packs."""
        self.will_read([(pack, start, length) for _, pack, start, length in places])
        return {key: self.read(pack, start, length) for key, pack, start, length in places}

    def sizes(self, connection: Connection) -> tuple[int, int]:
        """Count blobs and bytes by the database's account."""
        count, total = connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(blobs.c.length), 0))
        ).one()
        return int(count), int(total)

    def rewrite_sparse(self, connection: Connection) -> list[int]:
        """Copy what lives in packs that hold dead bytes into new packs; return the old ones, to be removed.

        Inside the writing transaction: until it commits, the old packs are the ones that count.
        """
        lengths = dict(pairs(connection.execute(sa.select(packs.c.pack, packs.c.length))))
        total = sa.func.sum(blobs.c.length)
        live = dict(pairs(connection.execute(sa.select(blobs.c.pack, total).group_by(blobs.c.pack))))
        sparse = [pack for pack, length in lengths.items() if live.get(pack, 0) < length]
        if not sparse:
            return []
        columns = (blobs.c.sha256, blobs.c.pack, blobs.c.start, blobs.c.length)
        moving = connection.execute(sa.select(*columns).where(blobs.c.pack.in_(sparse)).order_by(*columns[1:3])).all()
        # an empty pack beyond all others, so that nothing is appended to one that is about to go
        connection.execute(packs.insert(), [{"pack": max(lengths) + 1, "length": 0}])
        for part in _parts(moving):
            items = {key: self.read(pack, start, length) for key, pack, start, length in part}
            connection.execute(blobs.delete().where(blobs.c.sha256.in_(list(items))))
            self.put(connection, items)
        connection.execute(packs.delete().where(packs.c.pack.in_(sparse)))
        return sparse


class PackedBlobs(PackStore):
    """Blobs appended to ``pack-00000001.bin``, ``pack-00000002.bin`` ... in one folder of this machine."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is made when the first blob is stored."""
        self.folder = folder
        self._open: dict[int, _OpenPack] = {}

    def path(self, pack: int) -> Path:
        """Return where a pack lies."""
        return self.folder / f"pack-{pack:08d}.bin"

    def name(self, pack: int) -> str:
        """Return the path."""
        return str(self.path(pack))

    def place(self, last: tuple[int, int] | None) -> tuple[int, int]:
        """Append to the last pack until it is full."""
        if last is None or last[1] >= PACK_BYTES:
            return (1 if last is None else last[0] + 1), 0
        return last

    def read(self, pack: int, start: int, length: int) -> bytes:
        """Return `length` bytes of `pack` from `start`.

        Raises:
            IntegrityError: the pack is missing or too short.
            StorageError: it cannot be read.
        """
        try:
            opened = self._file(pack)
            data = os.pread(opened.file, length, start)
        except FileNotFoundError as error:
            raise IntegrityError(f"{self.path(pack)} is missing; restore it from a copy.") from error
        except OSError as error:
            raise StorageError(f"cannot read {self.path(pack)}: {error.strerror or error}.") from error
        return data if len(data) == length else whole(data, length, start, self.name(pack))

    def will_read(self, places: Sequence[tuple[int, int, int]]) -> None:
        """Ask the system to read ahead: of a million models few are in memory."""
        if len(places) < 2 or not hasattr(os, "posix_fadvise"):
            return
        with suppress(OSError):  # a pack that cannot be opened is told of when it is read
            for pack, start, length in places:
                opened = self._file(pack)
                os.posix_fadvise(opened.file, start, length, os.POSIX_FADV_WILLNEED)

    def _file(self, pack: int) -> _OpenPack:
        found = self._open.get(pack)
        return self._open.setdefault(pack, _OpenPack(self.path(pack))) if found is None else found

    def remove(self, pack: int) -> None:
        """Delete the file; whoever has it open reads on."""
        self.path(pack).unlink(missing_ok=True)
        self._open.pop(pack, None)

    def lengths(self) -> dict[int, int]:
        """Look at the files."""
        return {int(p.stem.removeprefix("pack-")): p.stat().st_size for p in self.folder.glob("pack-*.bin")}

    def close(self) -> None:
        """Close the packs, each when nobody reads it any more."""
        self._open.clear()

    def write(self, pack: int, start: int, data: bytes) -> None:
        """Write into the file; where the disk refuses, give the space back."""
        path = self.path(pack)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"cannot open {path} for writing: {error.strerror or error}.") from error
        try:
            _write_all(file, data, start)
            os.fsync(file)
            if start == 0:
                _sync_folder(self.folder)
        except OSError as error:
            os.ftruncate(file, start)  # gives the space back; no committed blob lies beyond `start`
            raise StorageError(
                f"cannot store {len(data)} bytes in {path}: {error.strerror or error}. Free space on its disk and "
                "publish again; what was stored before is intact."
            ) from error
        finally:
            os.close(file)


class _OpenPack:
    """A pack's file, open for as long as somebody holds this: another thread may close the store meanwhile."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.file)


def looked_up(look: Callable[[], T]) -> T:
    """Return what `look` returns, which finds out where bytes lie and reads them; where they are gone, look again.

    Between the two they may have been moved to another pack (`worldsim.registry.maintenance.collect_garbage`), and
    again before the next look: what is gone from the same place twice is lost.
    """
    gone = ""
    while True:
        try:
            return look()
        except IntegrityError as error:
            if str(error) == gone:
                raise
            gone = str(error)


def whole(data: bytes, length: int, start: int, name: str) -> bytes:
    """Return `data`, read from `start` of the pack `name`, if all `length` bytes of it are there.

    Raises:
        IntegrityError: they are not.
    """
    if len(data) != length:
        raise IntegrityError(
            f"{name} is truncated: {length} bytes expected at {start}, {len(data)} found. Restore it from a copy; "
            "'worldsim registry verify' lists what is lost."
        )
    return data


def present(connection: Connection, table: sa.Table, keys: Iterable[str]) -> set[str]:
    """Return those of `keys` that `table` holds in its column ``sha256``."""
    found: set[str] = set()
    for part in _parts(list(keys)):
        found.update(connection.execute(sa.select(table.c.sha256).where(table.c.sha256.in_(part))).scalars())
    return found


def _parts(keys: Sequence[T]) -> Iterable[Sequence[T]]:
    return (keys[i : i + _LOOKUP] for i in range(0, len(keys), _LOOKUP))


def _write_all(file: int, data: bytes, start: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, start)
        view, start = view[written:], start + written


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
