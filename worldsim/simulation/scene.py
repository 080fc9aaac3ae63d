"""What a scenario says about a world, in words that no engine owns."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worldsim.errors import ConfigurationError
from worldsim.types.card import SHAPES

if TYPE_CHECKING:
    from worldsim.simulation.drivers import Driver
    from worldsim.simulation.task import Task

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


def yaw_quaternion(yaw_rad: float) -> Quaternion:
    """Return the xyzw quaternion of a turn about the vertical."""
    return (0.0, 0.0, math.sin(yaw_rad / 2.0), math.cos(yaw_rad / 2.0))


MOUNTS = ("hinge", "slider", "ball_joint")
"""Joints by which a primitive may hang on the world."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A joint between a primitive and the world, given where the body is placed.

    Attributes:
        kind: one of `MOUNTS`.
        axis: unit vector, body frame: a hinge turns about it, a slider moves along it; a ball joint has none.
        anchor_m: point that stays, from the centre of the bounding box, body frame.
    """

    kind: str
    axis: Vector = (0.0, 0.0, 1.0)
    anchor_m: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: no such joint, or the axis is no unit vector.
        """
        if self.kind not in MOUNTS:
            raise ConfigurationError(f"Mount: kind is {self.kind!r}, expected one of {list(MOUNTS)}.")
        if abs(math.sqrt(sum(a * a for a in self.axis)) - 1.0) > 1e-6:
            raise ConfigurationError(f"Mount: axis is {self.axis}, expected a unit vector.")


@dataclass(frozen=True, slots=True)
class Cavity:
    """The room inside a container, a box along its axes: what has its centre in there is contained.

    Attributes:
        centre_m: from the centre of the container's bounding box, body frame.
        extent_m: full edge lengths.
    """

    centre_m: Vector
    extent_m: Vector

    def __post_init__(self) -> None:
        """Check the edges.

        Raises:
            ConfigurationError: one is not positive.
        """
        if not all(edge > 0.0 for edge in self.extent_m):
            raise ConfigurationError(f"Cavity: extent_m is {self.extent_m}, expected three positive lengths in m.")


@dataclass(frozen=True, slots=True)
class BodySpec:
    """One body of a scene.

    Attributes:
        name: unique in the scene.
        kind: what it is, in the words of the model cards.
        extent_m: full edge lengths of its bounding box, body frame.
        position: centre of its bounding box, m, world frame.
        orientation_xyzw: body to world.
        mass_kg: 0 for what never moves.
        shape: collision geometry where there is no URDF: one of `worldsim.types.card.SHAPES`.
        urdf: path of a URDF whose base origin is the centre of the bounding box; None for a primitive.
        scale: of the URDF.
        part: name of the URDF link that the spec speaks of, where that is not the base (a door's leaf); its base
            is then fixed to the world.
        colour: RGB in [0, 1] of a primitive; a factor on the URDF's colours otherwise.
        centre_of_mass_m: relative to the centre of the bounding box, body frame (primitives; a URDF says it itself).
        friction: sliding friction against a surface of friction 1.
        restitution: bounce against a surface of restitution 1.
        rolling_friction: resistance to rolling, m.
        joint_damping_nms: viscous torque of the part's joint, N m s.
        appearance: [A] descriptor of how it looks (see `worldsim.simulation.appearance`).
        mount: the joint by which a primitive hangs on the world; None for a loose one.
        solid: False for what blocks the view and lets everything through (a strip curtain).
        cavity: the room inside, of a container; None for what holds nothing. Only the truth tells of it.
        passes: names of bodies that it goes through as if they were not there, and they through it (PyBullet alone).
    """

    name: str
    kind: str
    extent_m: Vector
    position: Vector
    orientation_xyzw: Quaternion = (0.0, 0.0, 0.0, 1.0)
    mass_kg: float = 0.0
    shape: str = "box"
    urdf: str | None = None
    scale: float = 1.0
    part: str | None = None
    colour: Vector = (1.0, 1.0, 1.0)
    centre_of_mass_m: Vector = (0.0, 0.0, 0.0)
    friction: float = 0.6
    restitution: float = 0.1
    rolling_friction: float = 0.0
    joint_damping_nms: float = 0.0
    appearance: tuple[float, ...] | None = None
    solid: bool = True
    passes: tuple[str, ...] = ()
    mount: Mount | None = None
    cavity: Cavity | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: a value cannot work.
        """
        where = f"BodySpec {self.name!r}"
        if self.shape not in SHAPES:
            raise ConfigurationError(f"{where}: shape is {self.shape!r}, expected one of {list(SHAPES)}.")
        if not (all(edge > 0.0 for edge in self.extent_m) and len(self.extent_m) == 3):
            raise ConfigurationError(f"{where}: extent_m is {self.extent_m}, expected three positive lengths in m.")
        for field in ("mass_kg", "friction", "restitution", "rolling_friction", "joint_damping_nms"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= 0.0):
                raise ConfigurationError(f"{where}: {field} is {value}, expected a finite number >= 0.")
        if self.mount is not None and (self.urdf is not None or self.mass_kg == 0.0):
            raise ConfigurationError(f"{where}: only a primitive with a mass can hang on a mount.")
        norm = math.sqrt(sum(q * q for q in self.orientation_xyzw))
        if abs(norm - 1.0) > 1e-6:
            raise ConfigurationError(f"{where}: orientation_xyzw has length {norm:.6f}, expected 1.")

    @property
    def movable(self) -> bool:
        """Whether the engine may move it."""
        return self.mass_kg > 0.0


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One sensor of a scene.

    Attributes:
        name: for reports.
        position: m; in the world frame, or above the centre of `mounted_on` where that is named (and then the
            camera keeps its offset in the body's frame).
        range_m: it sees nothing farther away.
        mounted_on: name of the body that carries it.
        finest_rad: it makes out nothing whose longest edge looks smaller than that; 0: it makes out everything.
        axis: where it looks, of any length, in the frame of `position`: a carried camera turns with its body; None: it
            looks all around.
        half_angle_rad: of the cone about `axis` outside which it sees nothing; of a camera, half its smaller field of
            view.
    """

    name: str
    position: Vector
    range_m: float
    mounted_on: str | None = None
    finest_rad: float = 0.0
    axis: Vector | None = None
    half_angle_rad: float = math.pi

    def __post_init__(self) -> None:
        """Check the field of view.

        Raises:
            ConfigurationError: an axis without a direction, an angle outside (0, pi], or an angle without an axis.
        """
        if self.axis is not None and not 0.0 < math.hypot(*self.axis) < math.inf:
            raise ConfigurationError(
                f"CameraSpec {self.name!r}: axis is {self.axis}, expected a direction, for example (1.0, 0.0, 0.0)."
            )
        if not 0.0 < self.half_angle_rad <= math.pi:
            raise ConfigurationError(
                f"CameraSpec {self.name!r}: half_angle_rad is {self.half_angle_rad}, expected a number in (0, pi]; "
                "of a camera with 90 degrees it is pi / 4."
            )
        if self.axis is None and self.half_angle_rad < math.pi:
            raise ConfigurationError(
                f"CameraSpec {self.name!r}: half_angle_rad is {self.half_angle_rad} and there is no axis: say where it "
                "looks, for example axis=(1.0, 0.0, 0.0), or leave out the angle."
            )


class SceneBuilder(abc.ABC):
    """What `Scenario.build` may ask of a physics: six verbs that every engine-backed world has."""

    @abc.abstractmethod
    def add_body(self, spec: BodySpec, *, background: bool = False) -> None:
        """Put a body into the world; what is in the background (a floor) is never detected nor part of the truth."""

    @abc.abstractmethod
    def add_driver(self, driver: Driver) -> None:
        """Let `driver` move its body."""

    @abc.abstractmethod
    def add_camera(self, camera: CameraSpec) -> None:
        """Add a viewpoint of the sensors."""

    @abc.abstractmethod
    def set_task(self, task: Task | None, ego: str) -> None:
        """Say which body is commanded, and what it is asked to do (None: nothing)."""

    @abc.abstractmethod
    def settle(self, duration_s: float, holding: Sequence[Driver] = ()) -> None:
        """Let everything come to rest before the clock starts; the drivers in `holding` push meanwhile."""

    @abc.abstractmethod
    def watch_contacts(self) -> None:
        """List in the truth who touched at any step of a frame, not at its last alone: for impacts, which are brief."""


def solid_moments(spec: BodySpec) -> Vector:
    """Return the moments of inertia of a primitive of even density about its centre, kg m^2, by its own axes."""
    (x, y, z), m = spec.extent_m, spec.mass_kg
    if spec.shape == "sphere":
        return (0.1 * m * x * x,) * 3
    if spec.shape == "cylinder":
        across = m * (x * x / 16.0 + z * z / 12.0)
        return (across, across, m * x * x / 8.0)
    if spec.shape == "capsule":  # a cylinder, and two half balls whose centres lie 3/8 of the radius beyond its ends
        r, h = x / 2.0, max(z - x, 1e-3)
        middle = m * h / (h + 4.0 * r / 3.0)
        ends = m - middle
        across = middle * (h * h / 12.0 + r * r / 4.0) + ends * (0.4 * r * r + h * h / 4.0 + 0.375 * h * r)
        return (across, across, 0.5 * middle * r * r + 0.4 * ends * r * r)
    return (m * (y * y + z * z) / 12.0, m * (x * x + z * z) / 12.0, m * (x * x + y * y) / 12.0)
