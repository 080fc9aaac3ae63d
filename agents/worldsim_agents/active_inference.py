"""Active inference: plan for what is preferred and for what is worth knowing, by one number."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.planning.planar import (
    Believer,
    Drives,
    ExpectedFreeEnergy,
    Hypotheses,
    PlanarScene,
    Search,
    SearchMap,
    Whereabouts,
    make_search_map,
    push_out,
)
from worldsim.planning.planar.scene import find_objects, read_scene
from worldsim.planning.planar.visibility import floor_sight, own_cone, read_unseen, sees
from worldsim.planning.route import Obstacles
from worldsim.planning.shooting import CandidateCost, ShootingOptimiser
from worldsim.planning.situation import OwnBody, believed_own_body
from worldsim.types.observation import Observation
from worldsim.types.planning import OTHERS, Preferences
from worldsim.types.record import StepRecord
from worldsim_agents.behind import Behind
from worldsim_agents.mpc import MPC
from worldsim_agents.upper_level import UpperLevel

_SPEED_M_S = 1.2  # of a full command
_BUMPER_M = 0.04  # nearer than this is taken for touching: what is believed of sizes is off by a centimetre or two
_FELT_AFTER_S, _FELT_EVERY_S = 0.4, 0.2  # of steady pushing before a look at the speed counts, and between two looks
_MOVING_M_S, _STUCK_M_S = 0.25, 0.06
_STIRRING_M_S = 0.1  # what is believed of a place wanders by a centimetre or so within `_TRAIL_S`, and does not count
_STEADY_M_S = 0.12  # a speed that is farther from what was told is still changing, and how fast is known less well
_TRAIL_S = 0.25  # over which a thing's motion is looked at
_SETTLED_S = 0.4  # the belief of what is there is young before
_ASIDE_M = 0.25  # a hidden thing lies no farther from the middle of its place, so from so much nearer it is seen
_AT_M = 0.8  # what shows within that of a place is at it
_SHOWS_AFTER_S = (
    0.5  # in view before it is held to be there: the belief takes a few frames to make a thing of detections
)
_MAPPED_S = 1.0  # a search is mapped anew at most so often
_HIDDEN = "object"  # the role of a hidden thing
_LOSSES, _HEAVIEST = "task_push_loss_m_s", "heaviest"
_AS_LIKELY = 0.1  # hypotheses whose probabilities differ by less are told apart by the way to their thing
_FELT_WITHIN_M = 0.5  # a push over so much has told what it can
_NOISE_M_S = 0.10  # of a look: odometry, and 15 % each that mass and friction vary between instances


class ActiveInference(MPC):
    """Minimises expected free energy over the belief, with a receding horizon.

    Beside the belief that `MPC` plans on, it holds hypotheses about what it pushes: the task says what one of the
    things is like and not which one it is. It learns which by what it feels while it pushes: how much slower it goes
    than it was told to. Where a task names places and something that lies hidden at one of them, it holds hypotheses
    about which, and learns by what shows there and what does not. Everything it wants to know or to have is part of one
    number (`ExpectedFreeEnergy`), and each part has a switch, named as in pymdp.
    """

    def __init__(
        self,
        world_model: Believer,
        preferences: Preferences,
        optimiser: str | ShootingOptimiser = "icem",
        drives: Drives | None = None,
        steps: int = 16,
        dt_s: float = 0.25,
        replan_s: float = 0.25,
    ) -> None:
        """Build the agent.

        Args:
            world_model: gives belief and forecast; the caller steps it.
            preferences: what is wanted, usually the scenario's.
            optimiser: one of `worldsim_agents.mpc.OPTIMISERS`, or a search.
            drives: what is part of the expected free energy.
            steps: T steps of the horizon.
            dt_s: length of a step, s.
            replan_s: how long a plan is followed.
        """
        self.drives = drives or Drives()
        super().__init__(world_model, preferences, optimiser, steps, dt_s, replan_s)

    def reset(self) -> None:
        """Forget the last episode."""
        super().reset()
        self.questions = 0
        self.hypotheses: Hypotheses | None = None
        self.whereabouts: Whereabouts | None = None
        self.search_map: SearchMap | None = None
        self._mapped_s = -math.inf
        self._in_view_since_s: Float[Tensor, " K"] = torch.zeros(0)
        self._observation: Observation | None = None
        self._told = 0.0  # the speed that the last action asked for
        self._free_m_s = 0.0  # the speed that the own body would have by now if nothing were pushed
        self._along_since_s: dict[int, float] = {}
        self._trail: deque[tuple[float, Float[np.ndarray, "N 2"]]] = deque()
        self._felt_s = -math.inf
        self._last_s = 0.0

    def act(self, observation: Observation, record: StepRecord | None, rng: np.random.Generator) -> np.ndarray:
        """Return forward speed, yaw rate and hold command (0), each in [-1, 1] (errors as `MPC.act`)."""
        self._observation = observation
        action = super().act(observation, record, rng)
        self._told = float(action[0]) * _SPEED_M_S
        return action

    def look(self, observation: Observation, record: StepRecord | None) -> None:
        """Feel what is being pushed, and believe in the hypotheses by it."""
        del record
        belief = self.world_model.belief
        own = believed_own_body(belief, self.world_model.own_id, observation.ego)
        now, dt_s = observation.time_s, observation.time_s - self._last_s
        self._last_s = now
        if own is None or self.hypotheses is None or self.scene is None:
            return
        self._free_m_s += (self._told - self._free_m_s) * (1.0 - math.exp(-own.speed_response_per_s * max(dt_s, 0.0)))
        moved = self._moved(now)
        along = [n for n in range(len(moved)) if self._moves_along(moved[n], own)]
        touched = [n for n in self._touched(own.position, own.heading_rad) if n in along]
        self._along_since_s = {n: self._along_since_s.get(n, now) for n in along}
        stirring = np.flatnonzero(np.linalg.norm(moved.reshape(-1, 2), axis=1) > _STIRRING_M_S).tolist()
        steady = abs(self._told - self._free_m_s) < _STEADY_M_S and abs(self._free_m_s) >= _MOVING_M_S
        # what is just being set going, or slides beside, takes its share as well, and nobody knows how much
        if len(touched) != 1 or stirring != along or not steady or now - self._felt_s < _FELT_EVERY_S:
            return
        if now - max(self._along_since_s.values()) >= _FELT_AFTER_S:
            loss = math.copysign(1.0, self._free_m_s) * (self._free_m_s - own.speed_m_s)
            self.hypotheses = self.hypotheses.observe(along, loss, _NOISE_M_S)  # what it pushes on is felt with it
            self._felt_s = now

    def _moved(self, now_s: float) -> Float[np.ndarray, "N 2"]:
        """Return how fast each of the scene's pushables has moved of late, m/s.

        By where it was: what is believed of a pushed thing's velocity jumps between that of what slides and that of
        what stands.
        """
        assert self.scene is not None
        belief = self.world_model.belief
        slots = [belief.slot_of(thing.object_id) for thing in self.scene.pushables]
        there = np.array([(np.nan, np.nan) if k is None else belief.position[k, :2].tolist() for k in slots])
        while self._trail and (
            len(self._trail[0][1]) != len(there) or (len(self._trail) > 1 and now_s - self._trail[1][0] > _TRAIL_S)
        ):
            self._trail.popleft()
        self._trail.append((now_s, there))
        then_s, then = self._trail[0]
        return (there - then) / max(now_s - then_s, 1e-6) if now_s > then_s else np.zeros_like(there)

    @staticmethod
    def _moves_along(velocity_m_s: Float[np.ndarray, "2"], own: OwnBody) -> bool:
        """Return whether a thing goes where the own body goes: it is pushed, and not only near."""
        if abs(own.speed_m_s) < _STUCK_M_S:
            return False
        ahead = (math.cos(own.heading_rad), math.sin(own.heading_rad))
        along = float(velocity_m_s @ ahead) * math.copysign(1.0, own.speed_m_s)
        return along > 0.5 * abs(own.speed_m_s)

    def _touched(self, position: tuple[float, float], heading_rad: float) -> list[int]:
        """Return which of the scene's pushables the own body touches now."""
        assert self.scene is not None
        belief, found = self.world_model.belief, []
        own = torch.tensor([[*position, heading_rad]])
        half = torch.tensor(self.scene.own.extent_m[:2]) / 2.0 + _BUMPER_M
        for n, thing in enumerate(self.scene.pushables):
            slot = belief.slot_of(thing.object_id)
            if slot is None:
                continue
            x, y = (float(v) for v in belief.position[slot, :2])
            if math.dist(position, (x, y)) > float(half.norm()) + thing.outline.radius_m:
                continue
            _, _, z, w = (float(v) for v in belief.orientation_xyzw[slot])
            pose = torch.tensor([[x, y, 2.0 * math.atan2(z, w)]])
            if float(push_out(own, half, pose, thing.outline)[1][0]) > 0.0:
                found.append(n)
        return found

    def model(self, scene: PlanarScene) -> CandidateCost:
        """Return what prices candidates in `scene`."""
        assert self._observation is not None
        if self._hangs:
            pull = self._priced_pull(scene, self.drives)
            self.questions += pull.asks
            return pull
        hypotheses = self.hypotheses if scene.pushables else None  # on the way to a thing nothing is pushed
        if hypotheses is not None:
            scene = scene.with_resistance(hypotheses.expected_resistance_m_s)
        unseen = None
        if self.drives.use_states_info_gain:
            unseen = read_unseen(self.world_model, self._observation, scene, self.steps, self.dt_s)
        search = None
        if self.whereabouts is not None and self.search_map is not None:
            search = Search(self.whereabouts, self.search_map, own_cone(self._observation.viewpoints, scene.own))
        priced = ExpectedFreeEnergy(scene, self.wanted, self.dt_s, self.drives, hypotheses, unseen, search, _NOISE_M_S)
        self.questions += priced.asks
        return priced

    def _level_above(self, task: Collection[str]) -> UpperLevel | None:
        weigh, outcomes = self.preferences.weight, self.preferences.outcomes
        minds = any(o.subject == _HEAVIEST and o.weight * weigh(o.name) > 0.0 for o in outcomes)
        if _LOSSES in task and minds and self.drives.use_utility:
            return Behind(self.preferences, self._read, self._likeliest)
        return super()._level_above(task)

    def _likeliest(self, scene: PlanarScene) -> int:
        """Return which of the scene's pushables is to be pushed: the likeliest one, the nearest of equals.

        Of equals those come first that can be pushed and felt before they are where all but the right one harm.
        """
        assert self.hypotheses is not None
        shares = self.hypotheses.posterior.tolist()
        who = self.hypotheses.roles[_HEAVIEST]
        poses = [scene.pushables[n].pose[:2] for n in who]
        off_limits = max((o.distance_m for o in self.preferences.outcomes if o.subject == OTHERS), default=-math.inf)
        goal, enough_m = scene.paths["goal"][-1, :2].tolist(), off_limits + _FELT_WITHIN_M
        away = [(math.dist(p, goal) < enough_m, math.dist(scene.own.position, p)) for p in poses]
        best = max(shares) - _AS_LIKELY
        return min((away[k], who[k]) for k in range(len(who)) if shares[k] >= best)[1]

    def _read(self, observation: Observation) -> PlanarScene | None:
        task = dict(observation.task or {})
        if "task_place_positions" in task:
            return self._read_search(observation, task)
        if _LOSSES not in task:
            return super()._read(observation)
        belief = self.world_model.belief
        if observation.time_s < _SETTLED_S:
            return None
        if not self._object_ids or any(belief.slot_of(i) is None for i in self._object_ids):
            self._object_ids = tuple(sorted(find_objects(belief, self.world_model.own_id, task)))
            light, heavy = (float(v) for v in np.asarray(task[_LOSSES]).reshape(-1)[:2])
            self.hypotheses = Hypotheses.one_is_heaviest(len(self._object_ids), light, heavy)
        return read_scene(self.world_model, observation, self.preferences, self.steps, self.dt_s, self._object_ids)

    def _read_search(self, observation: Observation, task: dict[str, np.ndarray]) -> PlanarScene | None:
        """Return the scene of a search, and believe in the places by what shows there now."""
        belief, own_id = self.world_model.belief, self.world_model.own_id
        ids, hidden = find_objects(belief, own_id, task), frozenset({_HIDDEN})
        scene = read_scene(self.world_model, observation, self.preferences, self.steps, self.dt_s, ids, hidden)
        if scene is None or observation.time_s < _SETTLED_S:
            return None
        if self.whereabouts is None:
            place = torch.as_tensor(np.asarray(task["task_place_positions"], dtype=np.float32)).reshape(-1, 2)
            self.whereabouts = Whereabouts.anywhere(place, _HIDDEN)
            self._in_view_since_s = torch.full((len(place),), math.inf)
        sight_m = floor_sight(observation, scene, float(np.asarray(task["task_sight_m"]).reshape(-1)[0])) - _ASIDE_M
        found = self._mapped(scene, self.whereabouts, sight_m)
        here, place = torch.tensor([[[*scene.own.position, scene.own.heading_rad]]]), self.whereabouts.place
        looking = Search(self.whereabouts, found, own_cone(observation.viewpoints, scene.own)).looks(here)
        looked = (looking * sees(here[..., :2], place[None], sight_m, scene.moving.at_once()))[0, 0]
        now, since = torch.tensor(observation.time_s), self._in_view_since_s
        self._in_view_since_s = torch.where(looked > 0.0, torch.minimum(since, now), math.inf)
        long_enough = now - self._in_view_since_s >= _SHOWS_AFTER_S - 1e-6
        shown = belief.position[[belief.slot_of(i) for i in ids], :2].float().reshape(-1, 2)
        self.whereabouts = self.whereabouts.observe(long_enough, shown, _AT_M)
        return scene

    def _mapped(self, scene: PlanarScene, whereabouts: Whereabouts, sight_m: float) -> SearchMap:
        """Return the map of the search, made anew where something that stands, or a place, has moved."""
        nothing = scene.moving.select(torch.zeros(0, dtype=torch.int64))
        obstacles, old = Obstacles(scene.standing.at_once(), nothing), self.search_map
        if old is not None and (scene.time_s - self._mapped_s < _MAPPED_S or old.suits(whereabouts, obstacles)):
            return old
        self._mapped_s = scene.time_s
        self.search_map = make_search_map(whereabouts, obstacles, scene.own, sight_m)
        return self.search_map
