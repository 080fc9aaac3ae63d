"""What a planner has to plan for where something is to stand on something else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.loop import WorldModel
from worldsim.planning.planar import BeliefCost, find_objects, read_scene
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types import Observation


def test_the_base_is_played_by_what_has_its_size_and_bringing_the_object_there_is_worth_something():
    env = WorldsimEnv("StackAndSupport")
    world_model = WorldModel(registry=open_registry("builtin"), device="cpu")
    observation = Observation.from_gym(env.reset(seed=20_000)[0])
    world_model.reset(observation)
    for _ in range(10):
        observation = Observation.from_gym(env.step(np.zeros(3, dtype=np.float32))[0])
        world_model.step(observation, np.zeros(3))
    truth, wanted = env.physics.truth(), env.scenario.preferences()
    env.close()
    found = find_objects(world_model.belief, world_model.own_id, dict(observation.task or {}))[:1]
    scene = read_scene(world_model, observation, wanted, 12, 0.25, found)
    assert scene is not None
    x, y, _ = scene.paths["base"][0].tolist()
    crate, box = (truth.position[truth.names.index(name), :2] for name in ("crate", "box"))
    assert (x, y) == pytest.approx(tuple(crate), abs=0.05)
    priced = BeliefCost(scene, wanted, 0.25)
    standing = torch.zeros(1, 12, 2)
    future = priced.imagine(standing)
    stack = next(outcome for outcome in wanted.outcomes if outcome.name == "stack")
    away = float(np.linalg.norm(crate - box))
    assert float(priced.surprisal(stack, future)[0, -1]) == pytest.approx(
        np.hypot(1.0, away / stack.scale_m) - 1.0, rel=0.1
    )
    assert {"stack", "stack_way_round", "near"} <= set(priced.terms(future, standing))
