"""Springs and magnets in a scenario: the joint graph filter runs beside the world model, on what was detected.

It gets the measured places of the things that the world model tells apart, and nothing of the truth. Masses are not
known, so strengths are those of unit masses. When things appear or vanish it starts anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from worldsim.evaluation.episode import EpisodeLog, Frame
from worldsim.evaluation.graph_run import JudgedFrame
from worldsim.evaluation.graph_scoring import Edge, names_of_objects
from worldsim.graph.candidates import candidate_pairs
from worldsim.graph.joint import EdgePosterior, JointGraphFilter, JointSettings, nearest
from worldsim.interactions.charge import Charge
from worldsim.interactions.spring import Spring
from worldsim.types.graph import InteractionGraph, InteractionKind
from worldsim.types.truth import WorldTruth

__all__ = ["FORCE_KINDS", "ForceWatch", "Things", "with_forces"]

FORCE_KINDS = {"spring": "spring", "charge": "magnet"}
"""Kind of the graph -> what the simulator calls the force."""

NEIGHBOURS = 8
ENGINE_STEP_S = 1.0 / 240.0
FIXED_KINDS = frozenset({"wall", "shelf", "pillar", "station", "door_frame", "door"})
SETTINGS = JointSettings(
    substep_s=ENGINE_STEP_S,
    noise_bank_m=(1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2),
    velocity_noise_per_s=40.0,  # velocities are differences of places, 1/20 s apart
    beam=64,
)

_SETTLED_FRAMES = 5
_ASKED_EVERY = 4  # frames; in between, the last answer stands
_MARGIN_M = 0.03
_FASTEST_M_S = 1.0
_BEARING = (InteractionKind.SUPPORT, InteractionKind.CONTAINMENT)
_BORNE_FROM = 0.9


@dataclass(frozen=True, slots=True)
class Things:
    """N things of one frame, as they were measured.

    Attributes:
        object_id: [N] ids of the world model, ascending.
        position: [N, 3] m; orientation_xyzw: [N, 4]; extent_m: [N, 3].
        movable: [N] whether forces could move it.
        time_s: s since reset.
        borne: ids of what stands on or lies in another, and of what bears it, as the world model believes.
    """

    object_id: Int[np.ndarray, " N"]
    position: Float[np.ndarray, "N 3"]
    orientation_xyzw: Float[np.ndarray, "N 4"]
    extent_m: Float[np.ndarray, "N 3"]
    movable: Bool[np.ndarray, " N"]
    time_s: float
    borne: frozenset[int] = frozenset()

    @classmethod
    def of(cls, frame: Frame) -> Things | None:
        """Return what the world model told apart in `frame`, None where there is no world model."""
        if frame.record is None or frame.belief is None or frame.observation is None:
            return None
        belief, detections = frame.belief, frame.observation.detections
        position = belief.position.copy()
        link = frame.record.association
        place = {int(i): int(d) for i, d in zip(link.object_id, link.detection, strict=True) if d >= 0}
        for row, object_id in enumerate(belief.object_id.tolist()):
            if object_id in place:
                position[row] = detections.position[place[object_id]]
        order = np.argsort(belief.object_id)
        movable = np.array([kind not in FIXED_KINDS for kind in belief.kind], dtype=bool)
        return cls(
            belief.object_id[order],
            position[order],
            belief.orientation_xyzw[order],
            belief.extent_m[order],
            movable[order],
            frame.time_s,
            _borne(frame.record.graph),
        )

    def struck(self, dt_s: float) -> Bool[np.ndarray, " N"]:
        """Return which things may have touched another within the last frame."""
        reach_m = _MARGIN_M + _FASTEST_M_S * dt_s
        pairs, _ = candidate_pairs(self.position, self.orientation_xyzw, self.extent_m, self.movable, reach_m)
        touched = np.zeros(len(self.object_id), dtype=bool)
        touched[pairs.reshape(-1)] = True
        return touched


def _borne(graph: InteractionGraph) -> frozenset[int]:
    rows = zip(graph.source.tolist(), graph.target.tolist(), graph.kind, graph.probability.tolist(), strict=True)
    return frozenset(end for a, b, kind, p in rows if kind in _BEARING and p > _BORNE_FROM for end in (a, b))


class ForceWatch:
    """Keeps one joint graph filter over the movable things for as long as these stay the same.

    What was ever seen to bear another thing, or to be borne, is left out: what moves it is no force at a distance.
    """

    def __init__(self) -> None:
        """See nothing yet."""
        self._ids: tuple[int, ...] = ()
        self._borne: frozenset[int] = frozenset()
        self._seen = 0
        self._last: Things | None = None
        self._filter: JointGraphFilter | None = None
        self._answer: dict[str, dict[tuple[int, int], float]] = {}

    def see(self, things: Things) -> dict[str, dict[tuple[int, int], float]]:
        """Take in one frame; return kind -> pair of ids (smaller first) -> probability."""
        self._borne |= things.borne
        free = ~np.isin(things.object_id, sorted(self._borne))
        things = replace(things, movable=things.movable & free)
        ids = tuple(int(i) for i in things.object_id[things.movable])
        before, self._last = self._last, things
        if ids != self._ids:
            self._ids, self._seen, self._filter, self._answer = ids, 0, None, {}
        self._seen += 1
        if len(ids) < 2 or self._seen < _SETTLED_FRAMES or before is None:
            return {}
        dt_s = things.time_s - before.time_s
        if dt_s <= 0.0:
            return {}
        here = torch.from_numpy(things.position[things.movable][:, :2])
        there = torch.from_numpy(before.position[before.movable][:, :2])
        if self._filter is None:
            slots = nearest(here, min(NEIGHBOURS, len(ids) - 1))
            self._filter = JointGraphFilter([Spring(), Charge()], settings=SETTINGS, slots=slots)
        struck = torch.from_numpy(things.struck(dt_s)[things.movable])
        self._filter.assimilate(here, (here - there) / dt_s, dt_s, struck)
        if self._filter.frames % _ASKED_EVERY == 0:
            self._answer = _by_pair(self._filter.posterior(), ids)
        return self._answer


def _by_pair(posterior: EdgePosterior, ids: tuple[int, ...]) -> dict[str, dict[tuple[int, int], float]]:
    graph = posterior.graph(torch.tensor(ids), threshold=0.0)
    found: dict[str, dict[tuple[int, int], float]] = {kind: {} for kind in posterior.kinds}
    rows = zip(graph.source.tolist(), graph.target.tolist(), graph.kind, graph.probability.tolist(), strict=True)
    for source, target, kind, p in rows:
        found[kind][source, target] = p
    return found


def with_forces(log: EpisodeLog, judged: list[JudgedFrame]) -> list[JudgedFrame]:
    """Return the judged frames with what the filter says of springs and magnets, where the scenario has any.

    Args:
        log: the episode, logged with its observations.
        judged: its frames.
    """
    acting = {force[2] for frame in log.frames for force in frame.truth.forces}
    kinds = [kind for kind, name in FORCE_KINDS.items() if name in acting]
    if not kinds:
        return judged
    watch = ForceWatch()
    frames = {frame.time_s: frame for frame in log.frames}
    found = []
    for each in judged:
        frame = frames[each.time_s]
        things = Things.of(frame)
        said = watch.see(things) if things is not None else {}
        names = names_of_objects(frame.belief, frame.truth) if frame.belief is not None else {}
        known = set(names.values())
        there = {kind: _acting(frame.truth, FORCE_KINDS[kind], known) for kind in kinds}
        named = {kind: _named(said.get(kind, {}), names) for kind in kinds}
        found.append(replace(each, said={**each.said, **named}, there={**each.there, **there}))
    return found


def _acting(truth: WorldTruth, name: str, known: set[str]) -> frozenset[Edge]:
    return frozenset(
        (min(a, b), max(a, b)) for a, b, kind, _ in truth.forces if kind == name and a in known and b in known
    )


def _named(said: Mapping[tuple[int, int], float], names: Mapping[int, str]) -> dict[Edge, float]:
    pairs = ((names[i], names[j], p) for (i, j), p in said.items() if i in names and j in names)
    return {(min(a, b), max(a, b)): p for a, b, p in pairs}
