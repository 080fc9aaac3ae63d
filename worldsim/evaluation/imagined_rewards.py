"""What sequences of actions are imagined to earn, beside what they earn: every one is tried in the true world.

At some moments of an episode the world model imagines samples of the future under each of a few sequences of actions:
the plan that the agent has just chosen, and others drawn at random. The reward of every sample is worked out by the
task's own rule. Then the true world plays the same sequences from that very moment, one after the other, and comes back
each time. The world model sees nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.evaluation.play import construct
from worldsim.loop import WorldModel
from worldsim.planning.planar import find_objects
from worldsim.plugins import load_plugin
from worldsim.registry import open_registry
from worldsim.simulation.goal_task import SUCCESS_REWARD
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.belief import WorldBelief
from worldsim.types.observation import Observation
from worldsim.types.planning import Rollout

__all__ = ["SCENARIO", "SEQUENCE_S", "ImaginedJob", "Tried", "meeting_rewards", "tried_job"]

SCENARIO = "Intercept"
"""Its dense reward is the change of a distance, which an imagined future tells as well as the true one."""
SEQUENCE_S = 2.0
"""Length of a sequence of actions, s."""
_HELD_FRAMES = 5
_FIRST_S, _EVERY_S = 0.8, 0.6
_SAMPLES = 64
_TRIALS_STREAM = 7


@dataclass(frozen=True, slots=True)
class ImaginedJob:
    """One episode of an agent that plans, and of what it and chance propose.

    Attributes:
        seed: of the episode.
        at_random: how many random sequences at each moment, beside the plan.
        agent: name of the agent that plays and plans.
    """

    seed: int
    at_random: int = 5
    agent: str = "mpc"


@dataclass(frozen=True, slots=True)
class Tried:
    """A sequence of actions.

    Attributes:
        chosen: whether it is the agent's plan.
        imagined: reward of each imagined future.
        reaches: share of the imagined futures in which the goal is reached.
        earned: true reward; `reached`: whether the goal was truly reached.
    """

    chosen: bool
    imagined: tuple[float, ...]
    reaches: float
    earned: float
    reached: bool


def tried_job(job: ImaginedJob) -> list[Tried]:
    """Return every sequence of an episode with what was imagined of it and what came of it."""
    torch.set_num_threads(1)
    env = WorldsimEnv(SCENARIO, reward="dense")
    try:
        world_model = WorldModel(registry=open_registry("builtin"), device="cpu")
        made: Any = load_plugin("worldsim.agents", job.agent, Agent)
        agent: Any = construct(made, world_model, 3, env.scenario.preferences())
        raw, _ = env.reset(seed=job.seed)
        observation, over = Observation.from_gym(raw), False
        record = world_model.reset(observation)
        rng, trials = np.random.default_rng([job.seed, 1]), np.random.default_rng([job.seed, _TRIALS_STREAM])
        tried: list[Tried] = []
        due_s = _FIRST_S
        while not over:
            before = agent.last_plan
            action = agent.act(observation, record, rng)
            if observation.time_s > due_s - 1e-6 and agent.last_plan is not before:  # a plan of this very moment
                due_s += _EVERY_S
                tried += _tried(env, world_model, observation, agent.last_plan.actions, job.at_random, trials)
            raw, _, terminated, truncated, _ = env.step(action)
            observation, over = Observation.from_gym(raw), terminated or truncated
            record = world_model.step(observation, action)
        return tried
    finally:
        env.close()


def _tried(
    env: WorldsimEnv,
    world_model: WorldModel,
    observation: Observation,
    plan: Float[np.ndarray, "T U"],
    at_random: int,
    rng: np.random.Generator,
) -> list[Tried]:
    """Return the plan and some random sequences with what is imagined and what comes of them."""
    task = observation.task or {}
    ball = find_objects(world_model.belief, world_model.own_id, task)
    if not ball or world_model.own_id is None:
        return []
    steps = round(SEQUENCE_S / env.physics.frame_s / _HELD_FRAMES)
    drawn = rng.uniform([-0.3, -0.6], [1.0, 0.6], (at_random, steps, 2))
    sequences = [plan[:steps, :2], *drawn]
    found = []
    for number, knots in enumerate(sequences):
        actions = np.repeat(knots, _HELD_FRAMES, axis=0)
        imagined = world_model.imagine(actions, samples=_SAMPLES, dt_s=env.physics.frame_s)
        rewards, reached = meeting_rewards(world_model.belief, imagined, world_model.own_id, ball[0], task)
        earned, success = _earned(env, actions)
        found.append(Tried(number == 0, tuple(rewards.tolist()), float(reached.mean()), earned, success))
    return found


def meeting_rewards(
    belief: WorldBelief, imagined: Rollout, own_id: int, ball_id: int, task: Mapping[str, np.ndarray]
) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
    """Return the reward of each imagined future by the rule of `Intercept`, and whether the ball is met (0 or 1).

    The reward is by how much (m) the gap between the middle of the robot's front and the ball shrinks, and
    `SUCCESS_REWARD` where it gets as small as the task asks; a future ends there, or where the ball leaves the floor.

    Args:
        belief: of the moment that the futures begin at.
        imagined: the futures.
        own_id, ball_id: of the two in them.
        task: numbers of the observation.
    """
    now = [belief.slot_of(i) for i in (own_id, ball_id)]
    front_m = float(belief.extent_m[now[0], 0]) / 2.0
    radius_m, reach_m = float(task["task_object_extent_m"][0]) / 2.0, float(task["task_reach_m"][0])
    here, turned = belief.position[now].double().numpy(), belief.orientation_xyzw[now].double().numpy()
    before = _gap(here, turned[0], front_m)
    place = np.broadcast_to(here, (*imagined.position.shape[:2], 2, 3)).copy()
    turn = np.broadcast_to(turned[0], (*place.shape[:2], 4))
    for k, object_id in enumerate((own_id, ball_id)):
        row = np.flatnonzero(imagined.object_id == object_id)
        if len(row):  # who is asleep moves in no future
            place[:, :, k] = imagined.position[:, :, row[0]].double().numpy()
            turn = imagined.orientation_xyzw[:, :, row[0]].double().numpy() if k == 0 else turn
    gap = _gap(place, turn, front_m) - radius_m  # [S, T]
    met = gap <= reach_m
    over = met | (place[:, :, 1, 0] > float(task["task_floor_half_m"][0]))
    last = np.where(over.any(axis=1), over.argmax(axis=1), gap.shape[1] - 1)
    rows = np.arange(len(gap))
    reached = met[rows, last].astype(np.float64)
    return float(before) - radius_m - gap[rows, last] + SUCCESS_REWARD * reached, reached


def _gap(
    place: Float[np.ndarray, "*B 2 3"], turn_xyzw: Float[np.ndarray, "*B 4"], front_m: float
) -> Float[np.ndarray, "*B"]:
    """Return the distance between the middle of the own body's front and the middle of the ball, m."""
    x, y, z, w = (turn_xyzw[..., i] for i in range(4))
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    ahead = np.stack([np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)], axis=-1)
    return np.asarray(np.linalg.norm(place[..., 0, :] + front_m * ahead - place[..., 1, :], axis=-1))


def _earned(env: WorldsimEnv, actions: Float[np.ndarray, "T 2"]) -> tuple[float, bool]:
    """Return what the true world pays for the actions, and whether the goal was reached; it is as before afterwards."""
    physics: Any = env.physics
    start, total = physics.snapshot(), 0.0
    success = False
    for speed, turn in actions:
        physics.step(np.array([speed, turn, 0.0]))
        total += physics.last_task_step.reward
        if physics.last_task_step.terminated:
            success = bool(physics.last_task_step.events["is_success"])
            break
    physics.restore(start)
    return total, success
