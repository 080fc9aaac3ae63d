"""Packs what an exact sensor gives straight from the engine's states, without a truth and an observation between."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from worldsim.simulation.packing import Packer
from worldsim.simulation.staged import StagedPhysics

__all__ = ["AXES", "ExactPacker"]

AXES = "viewpoint_axis"
"""Name of the box that says where viewpoints look; there is none where all look all around."""


class ExactPacker:
    """Gives the bytes that packing `ExactSensor`'s observation gives, at a fifth of the time.

    Shapes, looks and covariances stay the same from frame to frame: they are laid out once, by the ordinary way, and
    copied. What can change (poses, the own body's velocity, the task's numbers) is written over them; it stands at the
    front of the block, so that no more than that is brought into bounds again.
    """

    CHANGING = (
        "time_s",
        "ego_position",
        "ego_orientation_xyzw",
        "ego_linear_velocity",
        "ego_angular_velocity",
        "viewpoint_position",
        "position",
        "orientation_xyzw",
    )
    """Boxes that a packer's blocks begin with; `AXES` comes next where there is one, and then a task's."""

    def __init__(self, packer: Packer, tasks: Sequence[str], lay_out: Callable[[], dict[str, np.ndarray]]) -> None:
        """Pack by `packer`.

        Args:
            packer: of the environment's boxes, those that change first.
            tasks: names of the task's boxes.
            lay_out: returns the packed observation of this moment, made the ordinary way.
        """
        self._packer, self._lay_out = packer, lay_out
        self._slots = {name: slice(*packer.slots[name]) for name in (*self.CHANGING, *tasks)}
        self._front = max(packer.slots[name][1] for name in {*self._slots, AXES} & packer.slots.keys())
        self._low, self._high = packer.low[: self._front], packer.high[: self._front]
        self._eyes = self._slots["viewpoint_position"].start
        self._axes = slice(*packer.slots[AXES]) if AXES in packer.slots else None
        self._clock_and_ego = slice(0, self._slots["ego_angular_velocity"].stop)
        self._laid_out_for: tuple[object, frozenset[str]] | None = None
        self._template: Float[np.ndarray, " size"] = np.zeros(0, dtype=np.float32)
        self._rows: Int[np.ndarray, " n"] = np.zeros(0, dtype=np.int64)
        self._position = self._orientation = slice(0, 0)

    def pack(self, physics: StagedPhysics) -> dict[str, np.ndarray]:
        """Return the packed observation of the last frame, in memory of its own."""
        now = (physics.episode, physics.absent())
        if now != self._laid_out_for:
            self._begin(physics, now)
        block = self._template.copy()
        states = physics.present_states()
        if physics.ego is not None:
            at, turn, velocity, rate = physics.state(physics.ego)
            block[self._clock_and_ego] = (physics.time_s, *at, *turn, *velocity, *rate)
        else:
            block[0] = physics.time_s
        block[self._position] = states.position.take(self._rows, axis=0).ravel()
        block[self._orientation] = states.orientation_xyzw.take(self._rows, axis=0).ravel()
        for number, place in physics.eyes.carried_to(states):
            start = self._eyes + 3 * number
            block[start : start + 3] = place
        axes = physics.eyes.axes(states)
        if self._axes is not None and axes is not None:
            block[self._axes.start : self._axes.start + axes.size] = axes.ravel()
        if physics.task is not None:
            for name, numbers in physics.task.observation().items():
                block[self._slots[name]] = numbers
        front = block[: self._front]
        np.minimum(np.maximum(front, self._low, out=front), self._high, out=front)
        return self._packer.split(block)

    def _begin(self, physics: StagedPhysics, now: tuple[object, frozenset[str]]) -> None:
        """Lay out what stays as it is until other bodies are in the scene."""
        self._template = np.zeros(self._packer.size, dtype=np.float32)
        self._packer.join(self._lay_out(), self._template)
        self._rows = physics.cast.rows_without(now[1] | {physics.ego})[
            : self._packer.split(self._template)["mask"].size
        ]
        n, (at, _), (turn, _) = len(self._rows), self._packer.slots["position"], self._packer.slots["orientation_xyzw"]
        self._position, self._orientation = slice(at, at + 3 * n), slice(turn, turn + 4 * n)
        self._laid_out_for = now
