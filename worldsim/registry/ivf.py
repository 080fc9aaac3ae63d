"""The descriptors of a large registry on disk: an inverted file (faiss) for a quick look, and all for the last word.

Cards lie in cells of like cards, like in what they say and in how sure of it they are. The cells to look into and what
to bring from them are chosen by `linear_form`; what is brought is compared again by the exact distance, card by card.

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
import scipy.sparse
import sqlalchemy as sa
from jaxtyping import Bool, Float, Int
from sqlalchemy.engine import Connection

from worldsim.errors import IntegrityError, StorageError
from worldsim.extras import advice
from worldsim.registry.database import descriptors
from worldsim.registry.descriptor import DIM, FLOOR_VARIANCE, PARTS, QueryVector
from worldsim.registry.index import unpack_vectors
from worldsim.registry.linear_form import LENGTH, LinearForm

__all__ = ["InvertedFile", "build", "faiss_or_none", "newest_file"]

_FORMAT = 2
_PROBES = 40  # cells looked into when the query has every part
_PROBES_PARTIAL = 192  # when it lacks one: cells were made with all
_TRAINING_POINTS = 64  # for each cell
_LACK = 3.0  # how far apart, in usual deviations, cells keep cards that have a part from those that lack it
_REPRESENTATIVES = 8  # of each kind: the first published, so that other kinds stay in sight
_READ_ROWS = 50_000
_FILES = ("vectors.npy", "rows.npy", "kinds.npy", "cells.npy", "scale.npy", "lists.faiss")
Told = Callable[[str], None]


@dataclass(frozen=True)
class InvertedFile:
    """One built index, memory-mapped.

    Attributes:
        folder: where it lies.
        last_row: newest row of the cards table that it knows.
        kinds: kind names behind `kind_codes`.
        vectors: [N, 2 D] descriptors and variances; rows: [N] of the cards table, ascending; kind_codes: [N].
        form: coordinates of the linear forms.
        cells: [L, 45] the form of a card in the middle of each cell.
        representatives: [R] positions of the first cards of each kind; is_representative: [N].
        lists: the faiss index.
    """

    folder: Path
    last_row: int
    kinds: tuple[str, ...]
    vectors: Float[np.ndarray, "N D2"]
    rows: Int[np.ndarray, " N"]
    kind_codes: Int[np.ndarray, " N"]
    form: LinearForm
    cells: Float[np.ndarray, "L F"]
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
        asked = self.form.of_query(query)
        nearness = self.cells @ asked
        probes = min(wider * (_PROBES if (query.weights > 0.0).all() else _PROBES_PARTIAL), len(nearness))
        cells = np.argpartition(nearness, -probes)[-probes:]
        self.lists.nprobe = probes
        _, found = self.lists.search_preassigned(asked[None], n, cells[None], np.zeros((1, probes), dtype=np.float32))
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
        raise StorageError(f"an index of a large registry needs faiss: {advice('faiss')}.")
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
    codes = np.load(folder / "kinds.npy")
    for name in ("vectors.npy", "lists.faiss"):
        _read_ahead(folder / name)
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
        LinearForm(*np.load(folder / "scale.npy")),
        np.load(folder / "cells.npy"),
        first,
        is_first,
        faiss.read_index(str(folder / "lists.faiss"), faiss.IO_FLAG_MMAP),
    )


def _read_ahead(file: Path) -> None:
    """Ask the system to read the whole of `file`: looks into it would fetch it page by page."""
    if hasattr(os, "posix_fadvise"):
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _write(connection: Connection, part: Path, faiss: ModuleType, say: Told) -> dict[str, Any]:
    say("reading descriptors")
    rows, codes, vectors, kinds = _read(connection)
    np.save(part / "rows.npy", rows)
    np.save(part / "kinds.npy", codes)
    np.save(part / "vectors.npy", vectors)
    value, variance = vectors[:, :DIM], vectors[:, DIM:]
    form = LinearForm.fitted(value, variance)
    np.save(part / "scale.npy", np.stack([form.centre, form.scale]))
    count = max(int(2 ** np.round(np.log2(4.0 * np.sqrt(len(rows))))), 16) if len(rows) > 256 else 1
    say(f"training {count} cells")
    places = _places(form, value, variance)
    means = faiss.Kmeans(
        places.shape[1], count, niter=10, seed=0, max_points_per_centroid=_TRAINING_POINTS, min_points_per_centroid=1
    )
    means.train(places)
    say("filling the lists")
    quantizer = faiss.IndexFlatIP(LENGTH)
    quantizer.add(np.zeros((count, LENGTH), dtype=np.float32))  # never asked: the cells are chosen here
    lists = faiss.IndexIVFFlat(quantizer, LENGTH, count, faiss.METRIC_INNER_PRODUCT)
    lists.is_trained = True
    cell = np.zeros(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _READ_ROWS):
        piece = slice(start, start + _READ_ROWS)
        cell[piece] = means.index.search(places[piece], 1)[1][:, 0]
        forms, mine = form.of_cards(value[piece], variance[piece]), np.ascontiguousarray(cell[piece])
        ids = np.arange(start, start + len(forms), dtype=np.int64)
        lists.add_core(len(ids), faiss.swig_ptr(forms), faiss.swig_ptr(ids), faiss.swig_ptr(mine))
    faiss.write_index(lists, str(part / "lists.faiss"))
    np.save(part / "cells.npy", form.of_cards(*_middles(value, variance, cell, count)))
    return {"last_row": int(rows[-1]) if len(rows) else 0, "kinds": list(kinds)}


def _places(
    form: LinearForm, value: Float[np.ndarray, "N D"], variance: Float[np.ndarray, "N D"]
) -> Float[np.ndarray, "N P"]:
    """Return where cards lie for the making of cells: what they say, how vaguely, and what they lack.

    Every part counts alike, as in a query. A missing number is put in the middle.
    """
    known = ~np.isnan(value)
    said = np.where(known, (value - form.centre) / form.scale, 0.0)
    vague = np.where(known, np.log1p(variance / FLOOR_VARIANCE), 0.0)
    columns = []
    for part in PARTS.values():
        length = part.stop - part.start
        columns += [
            said[:, part] / np.sqrt(length),
            vague[:, part].mean(axis=1, keepdims=True),
            _LACK * (1.0 - known[:, part].mean(axis=1, keepdims=True)),
        ]
    return np.ascontiguousarray(np.concatenate(columns, axis=1), dtype=np.float32)


def _middles(
    value: Float[np.ndarray, "N D"], variance: Float[np.ndarray, "N D"], cell: Int[np.ndarray, " N"], count: int
) -> tuple[Float[np.ndarray, "L D"], Float[np.ndarray, "L D"]]:
    """Return the descriptor and variance of a card in the middle of each cell; NaN for what most of it lack."""
    known = ~np.isnan(value)
    members = scipy.sparse.csr_array(
        (np.ones(len(cell), dtype=np.float32), (cell, np.arange(len(cell)))), shape=(count, len(cell))
    )
    having = members @ known.astype(np.float32)
    total = np.maximum(having, 1.0)
    middle = (members @ np.where(known, value, 0.0)) / total
    log_spread = (members @ np.where(known, np.log(variance + FLOOR_VARIANCE), 0.0)) / total
    middle[2.0 * having < members.sum(axis=1)[:, None]] = np.nan
    return middle, np.exp(log_spread) - FLOOR_VARIANCE


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
