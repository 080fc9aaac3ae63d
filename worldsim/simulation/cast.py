"""Who stands in a scene, and from where it is watched: what is laid out once and stays as it is for an episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from worldsim.simulation.engine import States
from worldsim.simulation.geometry import floats3, floats4, turned
from worldsim.simulation.scene import BodySpec, CameraSpec, Cavity, Vector
from worldsim.simulation.truths import look_of
from worldsim.types.observation import APPEARANCE_DIM, Viewpoints

__all__ = ["Cast", "Eyes"]


@dataclass(frozen=True, slots=True)
class Cast:
    """The N bodies of a scene; n of them are listed in the truth, the rest is background.

    Attributes:
        names, kinds: of all bodies, by number.
        extent_m: [N, 3].
        rows: [n] numbers of the listed bodies; listed: the same, as a set.
        listed_names, listed_kinds: n each.
        looks: [n, A] appearance descriptors of the listed bodies.
        cavities: name of a listed container -> its cavity.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    extent_m: Float[np.ndarray, "N 3"]
    rows: Int[np.ndarray, " n"]
    listed: frozenset[int]
    listed_names: tuple[str, ...]
    listed_kinds: tuple[str, ...]
    looks: Float[np.ndarray, "n A"]
    cavities: Mapping[str, Cavity]

    @classmethod
    def of(cls, specs: Sequence[BodySpec], listed: Sequence[int]) -> Cast:
        """Return the cast of `specs`, of which those of the numbers `listed` are part of the truth.

        Raises:
            ConfigurationError: a listed body has no appearance, or one of another length.
        """
        shown = [specs[i] for i in listed]
        # Of lists, here and wherever a reset makes tuples. Of a generator CPython makes a longer tuple and shrinks it;
        # freed, it is kept among up to 2,000 of its length, which are not what the next is made of: they fill 2 MB.
        return cls(
            names=tuple([spec.name for spec in specs]),
            kinds=tuple([spec.kind for spec in specs]),
            extent_m=np.array([spec.extent_m for spec in specs]).reshape(-1, 3),
            rows=np.array(listed, dtype=np.int64),
            listed=frozenset(listed),
            listed_names=tuple([spec.name for spec in shown]),
            listed_kinds=tuple([spec.kind for spec in shown]),
            looks=np.array([look_of(spec) for spec in shown]).reshape(-1, APPEARANCE_DIM),
            cavities={spec.name: spec.cavity for spec in shown if spec.cavity is not None},
        )

    def rows_without(self, left_out: frozenset[str | None]) -> Int[np.ndarray, " m"]:
        """Return the numbers of the listed bodies but for those named in `left_out`."""
        return np.array([i for i in self.rows.tolist() if self.names[i] not in left_out], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Eyes:
    """The K viewpoints of a scene, fixed ones and such as a body carries about.

    Attributes:
        position: [K, 3] m, world frame; of a carried one from the centre of its body, in the body's frame.
        range_m: [K]; finest_rad: [K] what looks smaller is not made out.
        carried: number of the viewpoint, number of its body, and its place on it, of each carried one.
        axis: [K, 3] unit, where each looks, of a carried one in the frame of its body; None where all look all around.
        half_angle_rad: [K] of the cone about it outside which it sees nothing; None together with `axis`.
    """

    position: Float[np.ndarray, "K 3"]
    range_m: Float[np.ndarray, " K"]
    finest_rad: Float[np.ndarray, " K"]
    carried: tuple[tuple[int, int, Vector], ...]
    axis: Float[np.ndarray, "K 3"] | None = None
    half_angle_rad: Float[np.ndarray, " K"] | None = None

    @classmethod
    def of(cls, cameras: Sequence[CameraSpec], index: Mapping[str, int]) -> Eyes:
        """Return the viewpoints of `cameras`; `index` gives a body's number by its name."""
        position = np.array([camera.position for camera in cameras], dtype=np.float64).reshape(-1, 3)
        axis = half_angle = None
        if any(camera.axis is not None for camera in cameras):
            axis = np.array([camera.axis or (1.0, 0.0, 0.0) for camera in cameras], dtype=np.float64)
            axis /= np.linalg.norm(axis, axis=1, keepdims=True)
            half_angle = np.array([camera.half_angle_rad for camera in cameras])
        return cls(
            position,
            np.array([camera.range_m for camera in cameras]),
            np.array([camera.finest_rad for camera in cameras]),
            tuple(
                [
                    (k, index[camera.mounted_on], floats3(position[k]))
                    for k, camera in enumerate(cameras)
                    if camera.mounted_on is not None
                ]
            ),
            axis,
            half_angle,
        )

    def carried_to(self, states: States) -> list[tuple[int, Vector]]:
        """Return number and present place, m, of every carried viewpoint."""
        found = []
        for k, row, eye in self.carried:
            (x, y, z), lever = states.position[row].tolist(), turned(floats4(states.orientation_xyzw[row]), eye)
            found.append((k, (x + lever[0], y + lever[1], z + lever[2])))
        return found

    def axes(self, states: States) -> Float[np.ndarray, "K 3"] | None:
        """Return where each looks now, world frame; None where all look all around."""
        if self.axis is None:
            return None
        axis = self.axis.copy()
        for k, row, _ in self.carried:
            axis[k] = turned(floats4(states.orientation_xyzw[row]), floats3(self.axis[k]))
        return axis

    def viewpoints(self, states: States) -> Viewpoints:
        """Return where all of them are now, and where they look."""
        position = self.position.copy()
        for k, place in self.carried_to(states):
            position[k] = place
        return Viewpoints(position, self.range_m, self.axes(states), self.half_angle_rad)
