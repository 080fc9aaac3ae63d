"""Pushing from the right side: when it goes round a thing, and which thing."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from tests.planning.floor import ROBOT
from worldsim.loop import WorldModel
from worldsim.planning.boxes import Boxes
from worldsim.planning.planar import Outline, PlanarScene, Pushable
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types import Observation, Preferences
from worldsim_agents import behind
from worldsim_agents.active_inference import ActiveInference
from worldsim_agents.behind import Behind, PushPhase

CRATE = Outline.of(torch.tensor([[0.0, 0.0, 0.6, 0.4]]))
NOTHING = Boxes(torch.zeros(1, 0, 2), torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(1, 0))


def led(monkeypatch, place, target=0, phase=PushPhase.GO):
    """Return the level above after it has read a scene of two crates, of which it had led behind the first."""
    own = replace(ROBOT, position=place)
    things = (Pushable(1, (0.0, 0.0, 0.0), CRATE), Pushable(2, (0.0, 2.0, 0.0), CRATE))
    scene = PlanarScene(0.0, own, things, {}, {"goal": torch.tensor([[2.0, 0.0, 0.0]])}, NOTHING, NOTHING)
    monkeypatch.setattr(behind, "believed_own_body", lambda *_: own)
    above = Behind(Preferences(), lambda _: scene, lambda _: target)
    above._target, above.phase = 0, phase
    anybody = SimpleNamespace(belief=None, own_id=None, ego=None)
    assert above.read(anybody, anybody, 16, 0.25) is scene
    return above, scene


def test_it_goes_behind_a_thing_first_and_pushes_from_there(monkeypatch):
    above, scene = led(monkeypatch, (1.0, 0.3))  # on the goal's side
    assert above.phase is PushPhase.GO
    there, wanted = above.arranged(scene)
    assert not there.pushables
    assert len(there.standing) == 2  # neither of the two is to be run into on the way
    assert [o.subject for o in wanted.outcomes] == ["own"]
    above, scene = led(monkeypatch, (-1.2, 0.1))
    assert above.phase is PushPhase.PUSH
    there, wanted = above.arranged(scene)
    assert there is scene
    assert wanted is above.preferences


def test_what_has_slipped_aside_is_gone_behind_again_and_so_is_another_one(monkeypatch):
    assert led(monkeypatch, (-0.2, 0.9), phase=PushPhase.PUSH)[0].phase is PushPhase.GO
    assert led(monkeypatch, (-0.9, 0.6), phase=PushPhase.PUSH)[0].phase is PushPhase.PUSH
    assert led(monkeypatch, (1.2, 0.0), target=1, phase=PushPhase.PUSH)[0].phase is PushPhase.GO


def test_the_heavy_one_is_found_and_pushed_home():
    env = WorldsimEnv("Sorting")
    world_model = WorldModel(registry=open_registry("builtin"), device="cpu")
    agent, rng = ActiveInference(world_model, env.scenario.preferences()), np.random.default_rng(4)
    observation = Observation.from_gym(env.reset(seed=20_004)[0])
    record = world_model.reset(observation)
    over, info = False, {}
    while not over:
        action = agent.act(observation, record, rng)
        raw, _, terminated, truncated, info = env.step(action)
        observation = Observation.from_gym(raw)
        record = world_model.step(observation, action)
        over = terminated or truncated
    env.close()
    assert isinstance(agent.above, Behind)
    assert info["is_success"]
    assert float(agent.hypotheses.posterior.max()) > 0.9
    assert math.isfinite(agent.last_plan.cost)
