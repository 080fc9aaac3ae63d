"""Flaps, drawers and pendulums on joints that nobody names, some locked for a while, and loose boxes between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Launch, Leaf, LeafPush, Leaves, Robot
from worldsim.simulation.geometry import rotation_matrix
from worldsim.simulation.scene import MOUNTS, BodySpec, CameraSpec, Mount, Quaternion, SceneBuilder, Vector
from worldsim.types.planning import Preferences
from worldsim_assets import appearance
from worldsim_scenarios.stock import bulk_of, furnish, plain, tinted, worn

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

MOST_MECHANISMS = 40
PITCH_M = 1.6
"""Distance between neighbouring mechanisms."""
HEIGHT_M = 1.3
"""Of a mechanism's middle."""
CAMERA_HEIGHT_M = 4.0
CAMERA_RANGE_M = 60.0
MAST_M = 1.4
PUSHES = 4
"""A leaf is pushed so many times, the first when its driver comes."""

# ---------------------------------------------------------------------- assets

FRAME_COLOUR: Vector = (0.45, 0.42, 0.40)
FRAME_M: Vector = (0.12, 0.30, 0.12)
LEAF_COLOUR: Vector = (0.80, 0.65, 0.35)
BOX_M: Vector = (0.22, 0.16, 0.14)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "mass_kg": (0.8, 2.0),
    "width_m": (0.25, 0.45),
    "height_m": (0.2, 0.4),
    "damping_nms": (0.02, 0.2),
    "damping_n_s_m": (0.5, 3.0),
    "angle_limit_rad": (0.5, 2.0),
    "offset_limit_m": (0.15, 0.35),
    "first_push_s": (0.4, 1.0),
    "push_s": (0.25, 0.5),
    "push_n": (1.5, 5.0),
    "opens_s": (1.5, 2.5),
    "box_speed_m_s": (0.4, 1.2),
}
"""Range of what is drawn evenly at each reset."""


@dataclass(frozen=True)
class Mechanisms(Scenario):
    """N leaves on hidden joints, each beside the frame that it belongs to, with axes in all directions.

    A leaf is a flap on a hinge, a drawer on a slider or a pendulum on a ball joint, balanced against its weight and
    damped; hinges and sliders have end stops. Some are locked until a drawn time.

    Attributes:
        mechanisms: N, 1 to 40.
        loose: how many boxes fall and tumble between them.
        kinds: which joints occur, in turn.
        locked_share: probability that a leaf is locked at first.
        duration_s: length of an episode, s.
    """

    mechanisms: int = 6
    loose: int = 3
    kinds: tuple[str, ...] = MOUNTS
    locked_share: float = 0.2
    duration_s: float = 8.0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such joint.
            ConfigurationError: a number cannot work.
        """
        object.__setattr__(self, "kinds", tuple(self.kinds))  # a list is fine too
        for kind in self.kinds:
            if kind not in MOUNTS:
                raise UnknownNameError("joint", kind, MOUNTS)
        if not self.kinds or not 1 <= self.mechanisms <= MOST_MECHANISMS or not 0 <= self.loose <= MOST_MECHANISMS:
            raise ConfigurationError(
                f"Mechanisms: got {self.mechanisms} mechanisms of {len(self.kinds)} kinds and {self.loose} boxes, "
                f"expected 1 to {MOST_MECHANISMS}, at least one, and 0 to {MOST_MECHANISMS}."
            )
        if not (0.0 <= self.locked_share <= 1.0 and self.duration_s > 0.0):
            raise ConfigurationError("Mechanisms: expected locked_share in [0, 1] and duration_s > 0.")

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, frames, leaves, boxes, their drivers and the watching robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(
                f"Mechanisms: {type(physics).__name__} cannot be furnished; it is no SceneBuilder."
            )
        places = _places(self.mechanisms + self.loose)
        half = float(np.abs(places).max()) + PITCH_M
        robot = furnish("robot", "robot", (0.0, -half - 1.0, 0.001), 0.5 * math.pi, rng, scale=1.0)
        physics.add_body(_floor(half), background=True)
        physics.add_body(robot)
        leaves = []
        for i, place in enumerate(places[: self.mechanisms]):
            frame, leaf = self._mechanism(i, (float(place[0]), float(place[1]), HEIGHT_M), rng)
            physics.add_body(frame)
            physics.add_body(leaf.spec)
            leaves.append(leaf)
        boxes = [_box(i, place, rng) for i, place in enumerate(places[self.mechanisms :])]
        for box in boxes:
            physics.add_body(box)
        physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m))
        physics.add_driver(Leaves(tuple(leaves)))
        if boxes:
            physics.add_driver(Launch({box.name: _impulse(box, rng) for box in boxes}))
        physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), CAMERA_RANGE_M, robot.name))
        for i, side in enumerate((-1.0, 1.0)):
            physics.add_camera(CameraSpec(f"ceiling_{i}", (side * half, 0.3 * half, CAMERA_HEIGHT_M), CAMERA_RANGE_M))
        physics.set_task(None, robot.name)

    def _mechanism(self, number: int, place: Vector, rng: np.random.Generator) -> tuple[BodySpec, Leaf]:
        """Return the frame and the leaf of one mechanism."""
        kind = self.kinds[number % len(self.kinds)]
        orientation = _any_orientation(rng)
        extent = (_drawn(rng, "width_m"), 0.03, _drawn(rng, "height_m"))
        turn = rotation_matrix(orientation)
        beside = turn @ np.array([-0.5 * extent[0] - FRAME_M[0], 0.0, 0.0])
        frame = plain(f"frame_{number}", "wall", FRAME_M, _moved(place, beside), FRAME_COLOUR, rng)
        axis = _unit(rng.standard_normal(3)) if kind == "slider" else (0.0, 0.0, 1.0)
        mount = Mount(kind, axis, (-0.5 * extent[0], 0.0, 0.0))
        damping = _drawn(rng, "damping_n_s_m" if kind == "slider" else "damping_nms")
        spec = BodySpec(
            name=f"leaf_{number}", kind="door", extent_m=extent, position=place, orientation_xyzw=orientation,
            mass_kg=_drawn(rng, "mass_kg"), colour=LEAF_COLOUR, joint_damping_nms=damping,
            appearance=worn(tinted(appearance("door"), LEAF_COLOUR), rng), solid=False, mount=mount,
        )  # fmt: skip
        limit = "offset_limit_m" if kind == "slider" else "angle_limit_rad"
        lower, upper = -_drawn(rng, limit), _drawn(rng, limit)
        if kind == "ball_joint":
            lower, upper = -math.inf, math.inf
        locked = kind != "ball_joint" and bool(rng.random() < self.locked_share)
        opens_s = _drawn(rng, "opens_s") if locked else 0.0
        along = turn @ np.asarray(axis if kind == "slider" else (0.0, 1.0, 0.0))
        return frame, Leaf(frame.name, spec, _pushes(along, opens_s, rng), lower, upper, opens_s)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: nothing but to keep clear."""
        return Preferences(goal_position=None, goal_tolerance_m=0.25, clearance_m=0.5)

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


def _drawn(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*VARIATION[name]))


def _places(count: int) -> np.ndarray:
    """Return [N, 2] places on a grid about the origin."""
    side = math.ceil(math.sqrt(count))
    cells = np.arange(count)
    return (np.stack([cells % side, cells // side], axis=1) - 0.5 * (side - 1)) * PITCH_M


def _pushes(along: np.ndarray, opens_s: float, rng: np.random.Generator) -> tuple[LeafPush, ...]:
    """Return pushes to and fro, not quite in the direction in which the leaf gives way."""
    start = opens_s + _drawn(rng, "first_push_s")
    sign = 1.0 if rng.random() < 0.5 else -1.0
    made = []
    for _ in range(PUSHES):
        until = start + _drawn(rng, "push_s")
        skew = along + 0.4 * rng.standard_normal(3)
        x, y, z = sign * _drawn(rng, "push_n") * skew / np.linalg.norm(skew)
        made.append(LeafPush((float(x), float(y), float(z)), start, until))
        start, sign = until + 0.5 * _drawn(rng, "push_s"), -sign
    return tuple(made)


def _unit(vector: np.ndarray) -> Vector:
    x, y, z = vector / np.linalg.norm(vector)
    return (float(x), float(y), float(z))


def _any_orientation(rng: np.random.Generator) -> Quaternion:
    x, y, z, w = rng.standard_normal(4)
    size = math.sqrt(x * x + y * y + z * z + w * w)
    return (float(x / size), float(y / size), float(z / size), float(w / size))


def _moved(place: Vector, by: np.ndarray) -> Vector:
    return (place[0] + float(by[0]), place[1] + float(by[1]), place[2] + float(by[2]))


def _box(number: int, place: np.ndarray, rng: np.random.Generator) -> BodySpec:
    """Return a box in the air, with its weight off its middle, so that it tumbles."""
    x, y, z = BOX_M
    off = rng.uniform(-0.2, 0.2, size=3) * np.asarray(BOX_M)
    return BodySpec(
        name=f"box_{number}", kind="parcel", extent_m=(x, y, z),
        position=(float(place[0]), float(place[1]), HEIGHT_M + float(rng.uniform(-0.2, 0.4))),
        orientation_xyzw=_any_orientation(rng), mass_kg=_drawn(rng, "mass_kg"), friction=0.5, restitution=0.5,
        centre_of_mass_m=(float(off[0]), float(off[1]), float(off[2])), appearance=worn(appearance("parcel"), rng),
    )  # fmt: skip


def _impulse(box: BodySpec, rng: np.random.Generator) -> Vector:
    x, y, z = _unit(rng.standard_normal(3))
    size = box.mass_kg * _drawn(rng, "box_speed_m_s")
    return (size * x, size * y, size * abs(z))


def _floor(half: float) -> BodySpec:
    edge = 2.0 * half + 8.0
    return BodySpec("floor", "floor", (edge, edge, 1.0), (0.0, 0.0, -0.5), colour=(0.62, 0.64, 0.66), friction=1.0,
                    restitution=1.0)  # fmt: skip
