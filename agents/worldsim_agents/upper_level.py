"""The level above a plan: it says what is planned for next, and does by itself what needs no plan."""

from __future__ import annotations

import abc
import enum

from worldsim.planning.planar import Believer, PlanarScene
from worldsim.types.observation import Observation
from worldsim.types.planning import Preferences

__all__ = ["UpperLevel"]


class UpperLevel(abc.ABC):
    """Leads the lower level, which searches speeds and yaw rates alone, from subgoal to subgoal.

    Attributes:
        phase: what it is at; where it changes, the last plan was for something else.
        hold: command for the clamp: 1 closes, -1 opens, 0 leaves it as it is.
    """

    phase: enum.StrEnum
    hold: float = 0.0

    @abc.abstractmethod
    def step(self, world_model: Believer, observation: Observation) -> tuple[float, float] | None:
        """Take in a frame; return speed (m/s) and yaw rate (rad/s) where there is nothing to plan, else None."""

    @abc.abstractmethod
    def read(self, world_model: Believer, observation: Observation, steps: int, dt_s: float) -> PlanarScene | None:
        """Return the scene as it is believed, for a plan of `steps` of `dt_s` s; None while somebody is missing."""

    @abc.abstractmethod
    def arranged(self, scene: PlanarScene) -> tuple[PlanarScene, Preferences]:
        """Return the scene and the preferences that the lower level is to plan with now."""

    def gently(self, speed_m_s: float, yaw_rate_rad_s: float, frame_s: float) -> tuple[float, float]:
        """Return what is to be commanded where the plan wants this speed and yaw rate."""
        del frame_s
        return speed_m_s, yaw_rate_rad_s
