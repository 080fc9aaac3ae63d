"""The index that a registry searches: an inverted file where there are many models, the rest exactly, in memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from jaxtyping import Bool, Int
from sqlalchemy.engine import Connection

from worldsim.errors import RegistryError
from worldsim.registry.database import Database, descriptors
from worldsim.registry.descriptor import DIM, QueryVector, distances
from worldsim.registry.filters import among
from worldsim.registry.index import ExactIndex, Nearest
from worldsim.registry.ivf import InvertedFile, Told, build, faiss_or_none, newest_file

__all__ = ["EXACT_BELOW", "SearchIndex"]

EXACT_BELOW = 50_000
"""With fewer models every search is exact; a comparison with all of them takes a few milliseconds."""

_SHORTLIST = 128  # candidates of the inverted file that are compared exactly
_FILTERED = 4096  # candidates of the inverted file when a filter takes some of them away again
_WIDER = 4  # times as many cells are looked into then
_STALE_SHARE = 0.05  # a file that lacks more than this share of the models is built anew
_log = logging.getLogger(__name__)


class SearchIndex:
    """Follows the database: reads what is new before each search.

    Where more than `EXACT_BELOW` models are in the registry and no inverted file serves them, one is built in the
    background; until it is there, the search is exact and slower.

    Attributes:
        turn: held while the index follows a connection. Who reads by a connection before `nearest` takes it around
            both: the index must not have followed another connection further than this one sees.
    """

    def __init__(self, database: Database, folder: Path | None) -> None:
        """Keep inverted files in `folder`; None searches exactly at any size."""
        self._database, self._folder = database, folder
        self.turn = threading.RLock()
        self._builder: threading.Thread | None = None
        self.reset()

    def __len__(self) -> int:
        """Return the number of searchable models, as of the last search."""
        return len(self._recent) + int(np.count_nonzero(~self._gone))

    @property
    def is_exact(self) -> bool:
        """Whether the last search compared the query with every model."""
        return self._file is None

    def reset(self) -> None:
        """Forget what was read; the next search reads anew."""
        self._file: InvertedFile | None = None
        self._looked = False
        self._kinds: dict[str, int] = {}
        self._recent = ExactIndex(self._kinds)
        self._gone: Bool[np.ndarray, " N"] = np.zeros(0, dtype=bool)  # of the file's models, those published anew since

    def build(self, told: Told | None = None) -> Path:
        """Build an inverted file of all models now and use it.

        Raises:
            StorageError: there is no place for it, or faiss is not installed.
        """
        if self._folder is None:
            raise RegistryError(f"registry {self._database.name} has no place for an index on disk.")
        with self._database.reading() as connection:
            made = build(connection, self._folder, self._database.registry_id, told)
        with self.turn:
            self.reset()
        return made

    def build_if_stale(self, told: Told | None = None) -> None:
        """Build an inverted file where the registry is large and has none that serves it. Raises as `build`."""
        with self._database.reading() as connection, self.turn:
            self._follow(connection, background=False)
            stale = self._is_stale()
        if stale:
            self.build(told)

    def nearest(
        self,
        connection: Connection,
        query: QueryVector,
        n: int,
        kind: str | None = None,
        exclude: Collection[int] = (),
        only: Int[np.ndarray, " m"] | None = None,
    ) -> Nearest:
        """Return the `n` nearest as `ExactIndex.nearest` does, near enough where the registry is large."""
        with self.turn:
            self._follow(connection)
            found = self._recent.nearest(query, n, kind, exclude, only)
            if self._file is not None:
                large = self._from_file(self._file, query, n, kind, exclude, only)
                found = _merged(found, large, n) if len(found.row) else large
        return found

    def _follow(self, connection: Connection, background: bool = True) -> None:
        if not self._looked and self._folder is not None:
            self._looked = True
            count = connection.execute(sa.select(sa.func.count()).select_from(descriptors)).scalar_one()
            if count > EXACT_BELOW:
                self._use(newest_file(self._folder, self._database.registry_id))
        replaced = self._recent.refresh(connection)
        if replaced and self._file is not None:
            rows = np.array(replaced, dtype=np.int64)
            at = np.minimum(np.searchsorted(self._file.rows, rows), len(self._file.rows) - 1)
            self._gone[at[self._file.rows[at] == rows]] = True
        if background and self._is_stale():
            self._build_in_background()

    def _is_stale(self) -> bool:
        old = 0 if self._file is None else len(self._file.rows)
        return self._folder is not None and len(self._recent) > max(EXACT_BELOW, _STALE_SHARE * old)

    def _use(self, file: InvertedFile | None) -> None:
        self._file = file
        if file is not None:
            self._kinds.update({kind: code for code, kind in enumerate(file.kinds)})
            self._recent.last_row = file.last_row
            self._gone = np.zeros(len(file.rows), dtype=bool)

    def _build_in_background(self) -> None:
        if (self._builder is not None and self._builder.is_alive()) or faiss_or_none() is None:
            return

        def work() -> None:
            try:
                self.build()
            except RegistryError as error:
                _log.warning("the registry's index could not be built, searches stay exact: %s", error)

        self._builder = threading.Thread(target=work, name="worldsim-registry-index", daemon=True)
        self._builder.start()

    def _from_file(
        self,
        file: InvertedFile,
        query: QueryVector,
        n: int,
        kind: str | None,
        exclude: Collection[int],
        only: Int[np.ndarray, " m"] | None,
    ) -> Nearest:
        if kind is None and only is None:
            position = file.candidates(query, min(_SHORTLIST, n) + len(exclude))
        else:
            position = self._filtered(file, query, kind, only)
        position = position[~self._gone[position]]
        row = file.rows[position]
        if exclude:
            keep: Bool[np.ndarray, " n"] = ~np.isin(row, list(exclude))
            position, row = position[keep], row[keep]
        vectors = file.vectors[position]
        gap = distances(query, vectors[:, :DIM], vectors[:, DIM:])
        order = np.lexsort((row, gap))[:n]
        return Nearest(
            row[order], gap[order], file.kind_codes[position[order]], vectors[order, :DIM], vectors[order, DIM:]
        )

    def _filtered(
        self, file: InvertedFile, query: QueryVector, kind: str | None, only: Int[np.ndarray, " m"] | None
    ) -> Int[np.ndarray, " n"]:
        """Return the positions that a filter leaves: all of them, or where they are many, enough of the nearest."""
        code = None if kind is None else self._kinds.get(kind, -1)
        left = len(file.rows) if only is None else len(only)
        if code is not None:
            left = min(left, int(np.count_nonzero(file.kind_codes == code)))
        if left > EXACT_BELOW:
            near = file.candidates(query, _FILTERED, wider=_WIDER)
            near = near[self._passes(file.rows[near], file.kind_codes[near], code, only)]
            if len(near) >= _SHORTLIST:
                return near
        return np.flatnonzero(self._passes(file.rows, file.kind_codes, code, only))

    @staticmethod
    def _passes(
        rows: Int[np.ndarray, " n"],
        kind_codes: Int[np.ndarray, " n"],
        code: int | None,
        only: Int[np.ndarray, " m"] | None,
    ) -> Bool[np.ndarray, " n"]:
        wanted = np.ones(len(rows), dtype=bool) if only is None else among(rows, only)
        return wanted if code is None else wanted & (kind_codes == code)


def _merged(a: Nearest, b: Nearest, n: int) -> Nearest:
    distance, row = np.concatenate([a.distance, b.distance]), np.concatenate([a.row, b.row])
    order = np.lexsort((row, distance))[:n]
    return Nearest(
        row[order],
        distance[order],
        np.concatenate([a.kind, b.kind])[order],
        np.concatenate([a.value, b.value])[order],
        np.concatenate([a.variance, b.variance])[order],
    )
