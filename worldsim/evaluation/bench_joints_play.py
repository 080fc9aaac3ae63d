"""Plays the scenario `Mechanisms` at 60 Hz and keeps the true poses of the pairs that are judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.graph.kinematics import FREE
from worldsim.plugins import load_plugin
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.geometry import rotation_matrix
from worldsim.simulation.scene import BodySpec

RATE_HZ = 60
SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PairRecord:
    """The true poses of one pair over T frames.

    Attributes:
        kind: of joint, or "free".
        source_position, target_position: [T, 3] m; source_orientation_xyzw, target_orientation_xyzw: [T, 4].
        axis_source: [3] unit vector in the source's frame; None where there is no axis.
    """

    kind: str
    source_position: np.ndarray
    source_orientation_xyzw: np.ndarray
    target_position: np.ndarray
    target_orientation_xyzw: np.ndarray
    axis_source: np.ndarray | None


def play(seed: int, mechanisms: int, loose: int) -> list[PairRecord]:
    """Return each frame with its leaf, and free pairs: each box with a frame, with a leaf, and the boxes in turn."""
    scenario = load_plugin("worldsim.scenarios", "Mechanisms", Scenario)  # type: ignore[type-abstract]
    physics = BulletPhysics(frame_s=1.0 / RATE_HZ)
    try:
        physics.reset(scenario(mechanisms=mechanisms, loose=loose), seed)  # type: ignore[call-arg]
        specs = {spec.name: spec for spec in physics.specs}
        hung = [force[:3] for force in physics.truth().forces if force[1] in specs]
        boxes = [name for name in specs if name.startswith("box_")]
        names = [*(name for pair in hung for name in pair[:2]), *boxes]
        poses = [[physics.state(name)[:2] for name in names]]
        for _ in range(round(SECONDS * RATE_HZ)):
            physics.step_unseen()
            poses.append([physics.state(name)[:2] for name in names])
    finally:
        physics.close()
    position = {name: np.array([frame[i][0] for frame in poses]) for i, name in enumerate(names)}
    orientation = {name: np.array([frame[i][1] for frame in poses]) for i, name in enumerate(names)}

    def record(kind: str, source: str, target: str) -> PairRecord:
        axis = _axis_in(specs[target], orientation[source][0]) if kind != FREE else None
        return PairRecord(
            kind, position[source], orientation[source], position[target], orientation[target], axis,
        )  # fmt: skip

    pairs = [record(kind, frame, leaf) for frame, leaf, kind in hung]
    for i, box in enumerate(boxes):
        frame, leaf, _ = hung[i % len(hung)]
        pairs += [record(FREE, frame, box), record(FREE, leaf, box)]
        if i:
            pairs.append(record(FREE, boxes[i - 1], box))
    return pairs


def _axis_in(leaf: BodySpec, source_orientation_xyzw: np.ndarray) -> np.ndarray | None:
    """Return the axis of the leaf's mount in the source's frame."""
    if leaf.mount is None or leaf.mount.kind == "ball_joint":
        return None
    x, y, z, w = (float(v) for v in source_orientation_xyzw)
    world = rotation_matrix(leaf.orientation_xyzw) @ np.asarray(leaf.mount.axis)
    return np.asarray(rotation_matrix((x, y, z, w)).T @ world)
