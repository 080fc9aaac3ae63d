"""Packs what an exact sensor gives straight from the engine's states, without a truth and an observation between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from worldsim.simulation.packing import Packer
from worldsim.simulation.staged import StagedPhysics

__all__ = ["ExactPacker"]


class ExactPacker:
    """Gives the bytes that packing `ExactSensor`'s observation gives, at a third of the time.

    Shapes, looks and covariances stay the same from frame to frame: they are laid out once, by the ordinary way, and
    copied. What can change (poses, the own body's velocity, the task's numbers) is written over them.
    """

    def __init__(self, packer: Packer, lay_out: Callable[[], dict[str, np.ndarray]]) -> None:
        """Pack by `packer`.

        Args:
            packer: of the environment's boxes.
            lay_out: returns the packed observation of this moment, made the ordinary way.
        """
        self._packer, self._lay_out = packer, lay_out
        self._slots = packer.slots
        self._laid_out_for: tuple[object, frozenset[str]] | None = None
        self._template: Float[np.ndarray, " size"] = np.zeros(0, dtype=np.float32)
        self._rows: Int[np.ndarray, " n"] = np.zeros(0, dtype=np.int64)

    def pack(self, physics: StagedPhysics) -> dict[str, np.ndarray]:
        """Return the packed observation of the last frame, in memory of its own."""
        now = (physics.episode, physics.absent())
        if now != self._laid_out_for:
            self._template = np.zeros(self._packer.size, dtype=np.float32)
            self._packer.join(self._lay_out(), self._template)
            self._rows = physics.rows_without(now[1])[: self._packer.split(self._template)["mask"].size]
            self._laid_out_for = now
        block = self._template.copy()
        states = physics.present_states()
        block[self._slots["time_s"][0]] = physics.time_s
        self._put(block, "position", states.position.take(self._rows, axis=0))
        self._put(block, "orientation_xyzw", states.orientation_xyzw.take(self._rows, axis=0))
        self._put(block, "viewpoint_position", physics.viewpoints(states).position)
        if physics.ego is not None:
            own = physics.state(physics.ego)
            start, _ = self._slots["ego_position"]
            block[start : start + 13] = (
                *own.position,
                *own.orientation_xyzw,
                *own.linear_velocity,
                *own.angular_velocity,
            )
        if physics.task is not None:
            for name, numbers in physics.task.observation().items():
                self._put(block, name, numbers)
        return self._packer.split(self._packer.clip(block))

    def _put(self, block: Float[np.ndarray, " size"], name: str, numbers: np.ndarray) -> None:
        start, _ = self._slots[name]
        block[start : start + numbers.size] = numbers.ravel()
