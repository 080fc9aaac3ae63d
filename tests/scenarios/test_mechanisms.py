"""The mechanisms: leaves go only where their joints let them, locks open, and everything can be put back."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.geometry import rotation_matrix
from worldsim_scenarios.mechanisms import Mechanisms


@pytest.fixture(scope="module")
def physics():  # type: ignore[no-untyped-def]
    world = BulletPhysics()
    yield world
    world.close()


def test_each_leaf_moves_as_its_joint_lets_it(physics: BulletPhysics) -> None:
    physics.reset(Mechanisms(mechanisms=3, loose=0, locked_share=0.0), seed=1)
    specs = {spec.name: spec for spec in physics.specs}
    kinds = {leaf: kind for _, leaf, kind, _ in physics.truth().forces}
    assert sorted(kinds.values()) == ["ball_joint", "hinge", "slider"]
    furthest = dict.fromkeys(kinds, 0.0)
    for _ in range(40):
        physics.step_unseen()
        for name, kind in kinds.items():
            spec, now = specs[name], physics.state(name)
            turn, start = rotation_matrix(now.orientation_xyzw), rotation_matrix(spec.orientation_xyzw)
            moved = np.asarray(now.position) - spec.position
            furthest[name] = max(furthest[name], float(np.linalg.norm(moved)))
            if kind == "slider":
                along = start @ np.asarray(spec.mount.axis)
                rest = moved - along * (moved @ along)
                assert np.abs(turn - start).max() < 1e-6
            else:
                rest = moved + (turn - start) @ np.asarray(spec.mount.anchor_m)
            assert np.abs(rest).max() < 1e-4  # joints of reduced coordinates hold to rounding
            if kind == "hinge":
                axis = np.asarray(spec.mount.axis)
                assert np.abs(turn @ axis - start @ axis).max() < 1e-5
    assert min(furthest.values()) > 0.02


def test_a_lock_holds_until_it_opens(physics: BulletPhysics) -> None:
    physics.reset(Mechanisms(mechanisms=1, loose=0, kinds=("slider",), locked_share=1.0), seed=2)
    start = np.asarray(physics.state("leaf_0").position)
    gone = []
    for _ in range(70):
        physics.step_unseen()
        gone.append(float(np.linalg.norm(np.asarray(physics.state("leaf_0").position) - start)))
    assert max(gone[:30]) < 1e-4
    assert max(gone) > 0.05


def test_coming_back_to_a_snapshot_gives_the_same_bytes_as_going_on(physics: BulletPhysics) -> None:
    physics.reset(Mechanisms(mechanisms=3, loose=1), seed=5)
    for _ in range(15):
        physics.step(None)
    token = physics.snapshot()
    runs = []
    for _ in range(2):
        for _ in range(8):
            physics.step(None)
        runs.append(physics.truth().position.tobytes())
        physics.restore(token)
    assert runs[0] == runs[1]


def test_the_environment_keeps_gymnasiums_contract_and_its_seeds() -> None:
    env = gymnasium.make("worldsim/Mechanisms-v0", mechanisms=2, loose=1, duration_s=0.5)
    check_env(env.unwrapped, skip_render_check=True)
    first, again, other = (env.reset(seed=seed)[0]["position"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    env.close()


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="1 to 40"):
        Mechanisms(mechanisms=0)
    with pytest.raises(UnknownNameError, match="slider"):
        Mechanisms(kinds=("sliding",))
