"""The descriptors of a large registry on disk: an inverted file (faiss) for a quick look, and all for the last word.

A query weighs every number anew (missing parts, its own spread, the surprise's channels), so the distance is not one
fixed norm. It is linear in ``[x, x^2, has appearance, has motion]`` though::

    -sum_d w_d (q_d - x_d)^2  =  sum_d 2 w_d q_d x_d  -  sum_d w_d x_d^2  -  sum_d w_d q_d^2

so the lists hold these 44 numbers and faiss takes inner products; the cells to look into are chosen with the query's
own weights. What it brings is compared again by the exact distance, card by card.

A file is never changed: what was published after it was built is kept beside it in memory (see `search_index`), and
a new file replaces it when that has grown long. It is made of the database and can be thrown away at any time.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import sqlalchemy as sa
from jaxtyping import Bool, Float, Int
from sqlalchemy.engine import Connection

from worldsim.errors import IntegrityError, StorageError
from worldsim.registry.database import descriptors
from worldsim.registry.descriptor import DIM, FLOOR_VARIANCE, MISSING_DISTANCE, PARTS, QueryVector
from worldsim.registry.index import unpack_vectors

__all__ = ["InvertedFile", "build", "faiss_or_none", "newest_file"]

_FORMAT = 1
_OPTIONAL = [(i, part) for i, (name, part) in enumerate(PARTS.items()) if name in ("appearance", "motion")]
"""Parts that a card may lack: their place in `QueryVector.weights`, and their numbers."""

_AUGMENTED = 2 * DIM + len(_OPTIONAL)
_PROBES = 48  # cells looked into when the query has every part
_PROBES_PARTIAL = 192  # when it lacks one: cells were made with all
_TRAINING_POINTS = 64  # for each cell
_REPRESENTATIVES = 8  # of each kind: the first published, so that other kinds stay in sight
_READ_ROWS = 50_000
_FILES = ("vectors.npy", "rows.npy", "kinds.npy", "centroids.npy", "scale.npy", "lists.faiss")
Told = Callable[[str], None]


@dataclass(frozen=True)
class InvertedFile:
    """One built index, memory-mapped.

    Attributes:
        folder: where it lies.
        last_row: newest row of the cards table that it knows.
        kinds: kind names behind `kind_codes`.
        vectors: [N, 2 D] descriptors and variances; rows: [N] of the cards table, ascending; kind_codes: [N].
        cells: [L, 2 D] centroids in scaled coordinates and their squares; centre, scale: [D],
            x_scaled = (x - centre) / scale.
        representatives: [R] positions of the first cards of each kind; is_representative: [N].
        lists: the faiss index.
    """

    folder: Path
    last_row: int
    kinds: tuple[str, ...]
    vectors: Float[np.ndarray, "N D2"]
    rows: Int[np.ndarray, " N"]
    kind_codes: Int[np.ndarray, " N"]
    cells: Float[np.ndarray, "L D2"]
    centre: Float[np.ndarray, " D"]
    scale: Float[np.ndarray, " D"]
    representatives: Int[np.ndarray, " R"]
    is_representative: Bool[np.ndarray, " N"]
    lists: Any

    def candidates(self, query: QueryVector, n: int, wider: int = 1) -> Int[np.ndarray, " n"]:
        """Return positions of about the `n` nearest and of every kind's representatives, each once.

        Args:
            query: what is compared.
            n: how many.
            wider: look into so many times as many cells.
        """
        known = query.number_weights > 0.0
        value = np.where(known, (query.value - self.centre) / self.scale, 0.0)
        # the scale is the usual spread of a comparison
        weights = query.number_weights / (query.variance / self.scale**2 + 1.0)
        pull = weights * value
        cost = pull * value
        # a card that lacks a part pays a constant in its place
        instead = [cost[part].sum() - query.weights[i] * MISSING_DISTANCE for i, part in _OPTIONAL]
        augmented = np.concatenate([2.0 * pull, -weights, instead]).astype(np.float32)
        cells_gap = self.cells @ -augmented[: 2 * DIM]
        probes = min(wider * (_PROBES if (query.weights > 0.0).all() else _PROBES_PARTIAL), len(cells_gap))
        cells = np.argpartition(cells_gap, probes - 1)[:probes]
        self.lists.nprobe = probes
        _, found = self.lists.search_preassigned(
            augmented[None], n, cells[None], np.zeros((1, probes), dtype=np.float32)
        )
        near = found[0]
        near = near[near >= 0]
        near = near[~self.is_representative[near]]
        return np.concatenate([near, self.representatives])


def faiss_or_none() -> ModuleType | None:
    """Return faiss, or None where it is not installed (then every search is exact)."""
    try:
        import faiss
    except ImportError:
        return None
    module: ModuleType = faiss
    return module


def build(connection: Connection, folder: Path, registry_id: str, told: Told | None = None) -> Path:
    """Build an inverted file of everything that `connection` sees; return its folder.

    Raises:
        StorageError: it cannot be written; what was there before is left.
    """
    faiss = faiss_or_none()
    if faiss is None:
        raise StorageError("an index of a large registry needs faiss: pip install 'worldsim-lab[server]'.")
    say = told or (lambda _: None)
    part = folder / f".part-{uuid.uuid4().hex}"
    try:
        part.mkdir(parents=True)
        meta = _write(connection, part, faiss, say)
        meta |= {"format": _FORMAT, "registry": registry_id, "sizes": {f: (part / f).stat().st_size for f in _FILES}}
        (part / "meta.json").write_text(json.dumps(meta))
        final = folder / f"ivf-{meta['last_row']:012d}-{uuid.uuid4().hex[:8]}"
        os.replace(part, final)
        for old in folder.glob("ivf-*"):
            if old != final:
                shutil.rmtree(old, ignore_errors=True)  # open maps of it stay valid until they are dropped
    except OSError as error:
        raise StorageError(f"cannot build the index in {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return final


def newest_file(folder: Path, registry_id: str) -> InvertedFile | None:
    """Return the newest whole inverted file of the registry in `folder`, or None where there is none."""
    for found in sorted(folder.glob("ivf-*"), reverse=True):
        try:
            return _open(found, registry_id)
        except (OSError, ValueError, KeyError, RuntimeError, IntegrityError):
            continue  # damaged or another registry's: as good as lost
    return None


def _open(folder: Path, registry_id: str) -> InvertedFile | None:
    faiss = faiss_or_none()
    if faiss is None:
        return None
    meta = json.loads((folder / "meta.json").read_text())
    sizes = {name: (folder / name).stat().st_size for name in _FILES}
    if meta["format"] != _FORMAT or meta["registry"] != registry_id or meta["sizes"] != sizes:
        raise IntegrityError(f"{folder} is not this registry's, or is damaged")
    centre, scale = np.load(folder / "scale.npy")
    codes = np.load(folder / "kinds.npy")
    centroids = np.load(folder / "centroids.npy")
    first = _first_of_each(codes)
    is_first = np.zeros(len(codes), dtype=bool)
    is_first[first] = True
    return InvertedFile(
        folder,
        int(meta["last_row"]),
        tuple(meta["kinds"]),
        np.load(folder / "vectors.npy", mmap_mode="r").view(np.ndarray),  # the subclass costs more than a look-up
        np.load(folder / "rows.npy"),
        codes,
        np.concatenate([centroids, centroids**2], axis=1),
        centre,
        scale,
        first,
        is_first,
        faiss.read_index(str(folder / "lists.faiss"), faiss.IO_FLAG_MMAP),
    )


def _write(connection: Connection, part: Path, faiss: ModuleType, say: Told) -> dict[str, Any]:
    say("reading descriptors")
    rows, codes, vectors, kinds = _read(connection)
    np.save(part / "rows.npy", rows)
    np.save(part / "kinds.npy", codes)
    np.save(part / "vectors.npy", vectors)
    value, variance = vectors[:, :DIM], vectors[:, DIM:]
    known = ~np.isnan(value)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, value, 0.0).sum(axis=0, dtype=np.float64) / count
    scale = np.sqrt(FLOOR_VARIANCE + np.where(known, variance, 0.0).sum(axis=0, dtype=np.float64) / count)
    np.save(part / "scale.npy", np.stack([centre, scale]))
    scaled = np.where(known, (value - centre) / scale, 0.0).astype(np.float32)
    cells = max(int(2 ** np.round(np.log2(4.0 * np.sqrt(len(rows))))), 16) if len(rows) > 256 else 1
    say(f"training {cells} cells")
    metric = np.concatenate(
        [np.full(p.stop - p.start, 1.0 / np.sqrt(p.stop - p.start), dtype=np.float32) for p in PARTS.values()]
    )  # every part counts alike, as in a query
    means = faiss.Kmeans(
        DIM, cells, niter=10, seed=0, max_points_per_centroid=_TRAINING_POINTS, min_points_per_centroid=1
    )
    means.train(scaled * metric)
    np.save(part / "centroids.npy", means.centroids / metric)
    say("filling the lists")
    quantizer = faiss.IndexFlatIP(_AUGMENTED)
    quantizer.add(np.zeros((cells, _AUGMENTED), dtype=np.float32))  # never asked: the cells are chosen here
    lists = faiss.IndexIVFFlat(quantizer, _AUGMENTED, cells, faiss.METRIC_INNER_PRODUCT)
    lists.is_trained = True
    for start in range(0, len(rows), _READ_ROWS):
        piece = slice(start, start + _READ_ROWS)
        _, assigned = means.index.search(scaled[piece] * metric, 1)
        lacking = np.stack([~known[piece, part].any(axis=1) for _, part in _OPTIONAL], axis=1)
        augmented = np.ascontiguousarray(
            np.concatenate([scaled[piece], scaled[piece] ** 2, lacking.astype(np.float32)], axis=1)
        )
        # where a part is missing its numbers are 0, that is the mean; the constant replaces what they would cost
        ids = np.arange(start, start + len(augmented), dtype=np.int64)
        cell = np.ascontiguousarray(assigned[:, 0].astype(np.int64))
        lists.add_core(len(ids), faiss.swig_ptr(augmented), faiss.swig_ptr(ids), faiss.swig_ptr(cell))
    faiss.write_index(lists, str(part / "lists.faiss"))
    return {"last_row": int(rows[-1]) if len(rows) else 0, "kinds": list(kinds)}


def _read(
    connection: Connection,
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], Float[np.ndarray, "N D2"], dict[str, int]]:
    kinds: dict[str, int] = {}
    rows, codes, vectors = [], [], []
    query = sa.select(descriptors.c.row, descriptors.c.kind, descriptors.c.vector).order_by(descriptors.c.row)
    for part in connection.execute(query).partitions(_READ_ROWS):
        rows.append(np.array([r[0] for r in part], dtype=np.int64))
        codes.append(np.array([kinds.setdefault(r[1], len(kinds)) for r in part], dtype=np.int32))
        vectors.append(unpack_vectors([r[2] for r in part]))
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, 2 * DIM), np.float32), kinds
    return np.concatenate(rows), np.concatenate(codes), np.concatenate(vectors), kinds


def _first_of_each(codes: Int[np.ndarray, " N"]) -> Int[np.ndarray, " R"]:
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(codes) else np.zeros(0, np.int64)
    ends = np.r_[starts[1:], len(codes)]
    firsts = [order[s : min(e, s + _REPRESENTATIVES)] for s, e in zip(starts, ends, strict=True)]
    return np.sort(np.concatenate(firsts)) if firsts else np.zeros(0, np.int64)
