"""The store of things in deep sleep: columns on the host, filed by where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.dormancy.cells import keys_about, keys_under
from worldsim.dormancy.postings import Postings

PLACE_SIDE_M, PLACE_REACH_M = 1.0, 0.25
"""Cells in which a thing is looked for, and how far from where it lies a detection of it may be."""
FOOTPRINT_SIDE_M = 2.0
"""Cells of the ground that a thing covers."""
PARTS = {
    "position": slice(0, 3),
    "orientation_xyzw": slice(3, 7),
    "extent_m": slice(7, 10),
    "extent_variance_m2": slice(10, 13),
    "variance": slice(13, 19),
    "drift": slice(19, 25),
    "strain": slice(25, 26),
    "last_frame": slice(26, 27),
    "last_seen_s": slice(27, 28),
    "half_m": slice(28, 31),
}
LOOK_FROM = 31
LEARNED = slice(7, 28)
"""Columns of a packed signature: by part, from where on the look stands, and those that detections correct."""
BY_ROW = ("object_id", "here", "hidden_until", "filed")
"""Fields of the store with one entry a row."""

_SHIFTED_M = 0.02  # what is put back within it is filed where it was
_MOST_DEAD = 4  # rows kept for each one that is here, before the store is packed


@dataclass(frozen=True, slots=True)
class Signature:
    """What a sleeper's detections are compared with, and corrected into: all of a thing in one row, fetched at once.

    Attributes:
        packed: [M, 31 + A] position (m), orientation (xyzw), size (m) and its variance (m^2), variance of the pose
            along its axes (m^2, rad^2), how far the pose has been corrected since it was put away (m, rad), strain,
            number and time (s, since the store's origin) of the last frame in which a detection agreed, half the edges
            of the upright box (m), and appearance. Frames are counted exactly up to 2^24 (float32: nine days at
            20 Hz).
    """

    packed: Float[np.ndarray, "M W"]

    @classmethod
    def of(cls, **parts: Float[np.ndarray, "M k"]) -> Signature:
        """Put the parts, by the names of the properties, into one array."""
        assert tuple(parts) == (*PARTS, "appearance")
        return cls(np.concatenate(list(parts.values()), axis=1))

    def __len__(self) -> int:
        """Return the number of rows M."""
        return len(self.packed)

    def select(self, rows: Int[np.ndarray, " n"]) -> Signature:
        """Return a copy of some rows."""
        return Signature(self.packed.take(rows, axis=0))

    @property
    def position(self) -> Float[np.ndarray, "M 3"]:
        """Where it lay when it was put away, m."""
        return self.packed[:, PARTS["position"]]

    @property
    def orientation_xyzw(self) -> Float[np.ndarray, "M 4"]:
        """How it was turned then."""
        return self.packed[:, PARTS["orientation_xyzw"]]

    @property
    def extent_m(self) -> Float[np.ndarray, "M 3"]:
        """Believed size, m."""
        return self.packed[:, PARTS["extent_m"]]

    @property
    def extent_variance_m2(self) -> Float[np.ndarray, "M 3"]:
        """Its variance, m^2."""
        return self.packed[:, PARTS["extent_variance_m2"]]

    @property
    def variance(self) -> Float[np.ndarray, "M 6"]:
        """Variance of the pose along its axes, m^2 and rad^2."""
        return self.packed[:, PARTS["variance"]]

    @property
    def drift(self) -> Float[np.ndarray, "M 6"]:
        """Corrections of the pose since it was put away, m and rad (world frame)."""
        return self.packed[:, PARTS["drift"]]

    @property
    def last_frame(self) -> Float[np.ndarray, " M"]:
        """Number of the last frame in which a detection agreed."""
        return self.packed[:, PARTS["last_frame"].start]

    @property
    def last_seen_s(self) -> Float[np.ndarray, " M"]:
        """When that was, s since the store's origin."""
        return self.packed[:, PARTS["last_seen_s"].start]

    @property
    def half_m(self) -> Float[np.ndarray, "M 3"]:
        """Half the edges of the upright box around it, m."""
        return self.packed[:, PARTS["half_m"]]

    @property
    def appearance(self) -> Float[np.ndarray, "M A"]:
        """What it looks like."""
        return self.packed[:, LOOK_FROM:]


@dataclass(slots=True)
class Dormant:
    """M rows, some of them `here`: in deep sleep now. The others were, and keep their place in case they return.

    Attributes:
        columns: name -> [M, ...] what is needed to take a thing up again as it was put away.
        object_id: [M].
        here: [M] in deep sleep now.
        hidden_until: [M] number of the frame up to which it may go unseen: it was out of sight when it was put away.
        signature: of the M rows.
        filed: [M, 6] position and `half_m` by which each row was filed.
        round_at: the row at which the next look for what is overdue begins.
        origin_s: from when the times of the signature count, so that float32 holds them on a clock of 1970 too, s.
        places, footprints: rows by the cells that they are looked for in, and that they cover.
        row_of: [ids] row of each object, -1 where it has none.
        claimants: [M] room to count in, whose making would cost what exists; left 0.
        contested: [M] room to mark in, by the number of the frame, so that nothing has to be cleared.
    """

    columns: dict[str, np.ndarray] = field(default_factory=dict)
    object_id: Int[np.ndarray, " M"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    here: Bool[np.ndarray, " M"] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    hidden_until: Int[np.ndarray, " M"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    signature: Signature | None = None
    filed: Float[np.ndarray, "M 6"] = field(default_factory=lambda: np.zeros((0, 6)))
    round_at: int = 0
    origin_s: float = 0.0
    places: Postings = field(default_factory=Postings)
    footprints: Postings = field(default_factory=Postings)
    row_of: Int[np.ndarray, " ids"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    claimants: Int[np.ndarray, " M"] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    contested: Int[np.ndarray, " M"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _size: int = 0  # rows in use; the arrays are longer, so that adding a few does not copy all
    _present: int = 0

    def __len__(self) -> int:
        """Return how many things are in deep sleep."""
        return self._present

    @property
    def rows(self) -> int:
        """Number of rows M in use."""
        return self._size

    def put(
        self,
        object_id: Int[np.ndarray, " n"],
        columns: Mapping[str, np.ndarray],
        signature: Signature,
        hidden_until: Int[np.ndarray, " n"],
    ) -> None:
        """Put n things to deep sleep.

        Args:
            object_id: ids.
            columns: what is needed to take them up again.
            signature: what their detections are compared with.
            hidden_until: number of the frame up to which each may go unseen.
        """
        if len(object_id) == 0:
            return
        row = self._rows_for(object_id, signature)
        fresh = row < 0
        row[fresh] = self._size + np.arange(int(fresh.sum()))
        self._hold(self._size + int(fresh.sum()), columns, signature)
        for name, values in columns.items():
            self.columns[name][row] = values
        assert self.signature is not None
        self.signature.packed[row] = signature.packed
        self.filed[row[fresh]] = np.concatenate([signature.position, signature.half_m], axis=1)[fresh]
        self.object_id[row], self.here[row], self.hidden_until[row] = object_id, True, hidden_until
        self.row_of[object_id] = row
        self._present += len(row)
        self._file(row[fresh])

    def leave(self, rows: Int[np.ndarray, " n"]) -> None:
        """Let some things leave: they are no longer in deep sleep. Row numbers are void afterwards."""
        self.here[rows] = False
        self._present -= len(rows)
        if self._size > 1024 + _MOST_DEAD * self._present:
            self.pack()

    def holds(self, object_id: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Return which objects are in deep sleep."""
        held = np.zeros(len(object_id), dtype=bool)
        known = np.flatnonzero(object_id < len(self.row_of))
        row = self.row_of[object_id[known]]
        held[known[row >= 0]] = self.here[row[row >= 0]]
        return held

    def present(self) -> Int[np.ndarray, " n"]:
        """Return the rows of all that is in deep sleep."""
        return np.flatnonzero(self.here[: self._size])

    def pack(self) -> None:
        """Drop the rows of what is not here, and file the rest anew."""
        rows, old = self.present(), self.signature
        if old is None:
            return
        self.columns = {name: values[rows] for name, values in self.columns.items()}
        self.signature = old.select(rows)
        self.row_of = np.full_like(self.row_of, -1)
        for name in BY_ROW:
            setattr(self, name, getattr(self, name)[rows])
        self.round_at = 0
        self.file_all()

    def file_all(self) -> None:
        """File all rows anew, all that the arrays hold being in use (as after packing, or after reading a file)."""
        self.places, self.footprints = Postings(), Postings()
        self._size, self._present = len(self.object_id), int(self.here.sum())
        self.claimants, self.contested = np.zeros(self._size, dtype=np.int32), np.zeros(self._size, dtype=np.int64)
        if self._size and int(self.object_id.max()) >= len(self.row_of):
            self.row_of = np.full(int(self.object_id.max()) + 1, -1, dtype=np.int64)
        # of an object with several rows, the one in use; else the last, where it lay last
        order = np.argsort(self.here, kind="stable")
        self.row_of[self.object_id[order]] = order
        self._file(np.arange(self._size))

    def _file(self, rows: Int[np.ndarray, " n"]) -> None:
        if self.signature is None or len(rows) == 0:
            return
        place, half = self.filed[rows, :3], self.filed[rows, 3:]
        which, key = keys_about(place, PLACE_REACH_M + _SHIFTED_M, PLACE_SIDE_M)
        self.places.file(key, rows[which])
        which, key = keys_under(place[:, :2] - half[:, :2], place[:, :2] + half[:, :2], FOOTPRINT_SIDE_M)
        self.footprints.file(key, rows[which])

    def _rows_for(self, object_id: Int[np.ndarray, " n"], signature: Signature) -> Int[np.ndarray, " n"]:
        """Return the row that each thing had, -1 where it had none or lies elsewhere by now."""
        wanted = int(object_id.max()) + 1
        if wanted > len(self.row_of):
            more = np.full(max(wanted, 2 * len(self.row_of)) - len(self.row_of), -1, dtype=np.int64)
            self.row_of = np.concatenate([self.row_of, more])
        row = self.row_of[object_id]
        if self._size == 0:  # nobody was ever here, or all left and were packed
            return row
        there = row.clip(0)
        where = np.concatenate([signature.position, signature.half_m], axis=1)
        moved = np.abs(where - self.filed[there]).max(axis=1) > _SHIFTED_M
        return np.where((row >= 0) & ~moved, row, -1)

    def _hold(self, size: int, columns: Mapping[str, np.ndarray], signature: Signature) -> None:
        """Make the arrays long enough for `size` rows."""
        self._size = size
        if self.signature is not None and size <= len(self.object_id):
            return
        room = max(size, 2 * len(self.object_id))
        if self.signature is None:
            room = size
            self.columns = {name: values[:0].copy() for name, values in columns.items()}
            self.signature = Signature(signature.packed[:0].copy())
        self.columns = {name: longer(values, room) for name, values in self.columns.items()}
        self.signature = Signature(longer(self.signature.packed, room))
        for name in (*BY_ROW, "claimants", "contested"):
            setattr(self, name, longer(getattr(self, name), room))


def longer(values: np.ndarray, rows: int) -> np.ndarray:
    """Return a copy with room for more rows, which are 0."""
    out = np.zeros((rows, *values.shape[1:]), dtype=values.dtype)
    out[: len(values)] = values
    return out
