"""What `import worldsim` gives, and what it does without."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import worldsim
from worldsim.evaluation.episode import LogOptions, run_episode
from worldsim.evaluation.trajectory_io import write_trajectory
from worldsim.simulation.registration import ENVIRONMENT, register_environments
from worldsim_agents.random_agent import RandomAgent

BLOCKED = "import sys\nfor name in {names}: sys.modules[name] = None  # an import of it now fails\n"
FOLLOW = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
import worldsim
from worldsim.evaluation.trajectory_io import read_trajectory

def follow(path):
    trajectory = read_trajectory(Path(path))
    wm = worldsim.WorldModel(registry=worldsim.open_registry("builtin"))
    action = None
    for observation, next_action in zip(trajectory.observations(), trajectory.actions):
        wm.reset(observation) if action is None else wm.step(observation, action)
        action = next_action
    whole = hashlib.sha256()
    for name, value in sorted(wm.belief.tensors().items()):
        whole.update(name.encode() + np.ascontiguousarray(value.numpy()).tobytes())
    return {"objects": int(wm.belief.alive.sum()), "sha256": whole.hexdigest()}
"""


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_public_names_are_there_and_complete():
    assert set(worldsim.__all__) == {"WorldModel", "__version__", "contracts", "errors", "open_registry", "types"}
    for name in worldsim.__all__:
        assert getattr(worldsim, name) is not None
    assert worldsim.WorldModel is importlib.import_module("worldsim.loop").WorldModel


def test_import_registers_every_scenario_by_name_and_imports_no_engine():
    code = (
        "import sys, gymnasium, worldsim\n"
        "print([i for i in gymnasium.registry if i.startswith('worldsim/')])\n"
        "print(sorted({'pybullet', 'mujoco', 'torch'} & set(sys.modules)))"
    )
    ids, engines = run(code).splitlines()
    assert "worldsim/Warehouse-v0" in ids
    assert engines == "[]"


def test_registered_arguments_are_json_and_registering_twice_changes_nothing():
    before = dict(gymnasium.registry)
    assert "worldsim/Warehouse-v0" in register_environments()
    assert dict(gymnasium.registry) == before
    spec = gymnasium.spec("worldsim/Warehouse-v0")
    assert spec.entry_point == ENVIRONMENT
    assert json.loads(json.dumps(spec.kwargs)) == {"scenario": "Warehouse"}


def test_worldsim_can_be_imported_where_no_engine_and_no_gymnasium_is_installed():
    code = BLOCKED.format(names=["pybullet", "mujoco", "gymnasium", "stable_baselines3"])
    assert run(code + "import worldsim\nprint(worldsim.WorldModel.__name__)") == "WorldModel\n"


@pytest.mark.slow
def test_a_recorded_observation_file_gives_the_same_belief_where_pybullet_cannot_be_imported(tmp_path):
    env = gymnasium.make("worldsim/Warehouse-v0")
    try:
        log = run_episode(
            env, None, RandomAgent(), np.random.default_rng(0), seed=3, log=LogOptions(max_frames=30, forecasts_every=0)
        )
    finally:
        env.close()
    path = write_trajectory(log, tmp_path / "episode.npz")
    here = "\nprint(json.dumps(follow(sys.argv[1])))"
    with_engine = json.loads(run(FOLLOW + "import pybullet\n" + here, path))
    without = json.loads(
        run(BLOCKED.format(names=["pybullet", "pybullet_data", "mujoco", "gymnasium"]) + FOLLOW + here, path)
    )
    assert without == with_engine
    assert without["objects"] > 20
