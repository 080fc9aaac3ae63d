"""Two levels: subgoals on a way that leads to the goal, and model predictive control to the next one."""

from __future__ import annotations

from worldsim.planning.planar import Believer, PlanarScene, Waypoints
from worldsim.planning.shooting import CandidateCost, ShootingOptimiser
from worldsim.types.planning import OWN_ROLES, Preferences
from worldsim_agents.mpc import MPC


class Hierarchical(MPC):
    """Plans as `MPC` does, to a place on the route where the goal is the own body's and out of the horizon's reach.

    The upper level knows what stands, and finds a route round it once a second; the lower level knows what moves and
    how the own body answers, and plans a few seconds ahead. A thing that is to be pushed is the lower level's business,
    which drives round it first (`BeliefCost`).
    """

    def __init__(
        self,
        world_model: Believer,
        preferences: Preferences,
        optimiser: str | ShootingOptimiser = "icem",
        steps: int = 12,
        dt_s: float = 0.25,
        replan_s: float = 0.2,
        look_ahead_m: float = 1.6,
    ) -> None:
        """Build the agent (as `MPC`); subgoals are `look_ahead_m` along the route."""
        self.look_ahead_m = look_ahead_m
        super().__init__(world_model, preferences, optimiser, steps, dt_s, replan_s)

    def reset(self) -> None:
        """Forget the last episode."""
        super().reset()
        self.waypoints = Waypoints(self.look_ahead_m)
        goes_itself = [o for o in self.preferences.outcomes if o.subject in OWN_ROLES and o.reference == "goal"]
        self._has_a_way = bool(goes_itself)

    def model(self, scene: PlanarScene) -> CandidateCost:
        """Return what prices candidates on the way to the next subgoal."""
        return super().model(self.waypoints.subgoal(scene) if self._has_a_way else scene)
