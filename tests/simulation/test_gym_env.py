"""The environment keeps Gymnasium's and Stable-Baselines3's rules, without a warning."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import tracemalloc

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import worldsim  # noqa: F401 - registers the environments
from worldsim.errors import ConfigurationError, SimulationError, UnknownNameError
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.scene import CameraSpec
from worldsim.simulation.sensors import Detector, ExactSensor
from worldsim.types.observation import Observation
from worldsim_scenarios.intercept import Intercept
from worldsim_scenarios.warehouse import Warehouse


@pytest.mark.parametrize("observation", ["detections", "state", "rgbd"])
def test_gymnasium_finds_nothing_wrong(observation: str) -> None:
    env = gymnasium.make("worldsim/Warehouse-v0", observation=observation, render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)  # it would draw four pictures; drawing has a test of its own
    env.close()


@pytest.mark.parametrize("observation", ["detections", "state", "rgbd"])
def test_stable_baselines_finds_nothing_wrong(observation: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = WorldsimEnv(observation=observation)
    checker.check_env(env)
    env.close()


def test_two_environments_step_in_processes_of_their_own() -> None:
    env = gymnasium.make_vec("worldsim/Warehouse-v0", num_envs=2, vectorization_mode="async")
    try:
        observation, _ = env.reset(seed=[1, 2])  # type: ignore[arg-type]  # the async one takes a list
        alone = WorldsimEnv()
        expected, _ = alone.reset(seed=2)
        for key, value in expected.items():
            np.testing.assert_array_equal(observation[key][1], value, err_msg=key)
        for _ in range(3):
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert reward.shape == terminated.shape == truncated.shape == (2,)
        assert observation["time_s"].tolist() == [[pytest.approx(0.15)], [pytest.approx(0.15)]]
        alone.close()
    finally:
        env.close()


def test_nothing_that_is_returned_changes_later() -> None:
    env = WorldsimEnv(intruder="none")
    first, _ = env.reset(seed=0)
    kept = {key: value.copy() for key, value in first.items()}
    second, *_ = env.step(np.ones(3, dtype=np.float32))
    for key, value in first.items():
        np.testing.assert_array_equal(value, kept[key])
        assert not np.shares_memory(value, second[key]), key
        assert value.dtype == env.observation_space[key].dtype  # type: ignore[index]
    env.close()


@pytest.mark.parametrize(
    ("scenario", "fields"),
    [
        ("Warehouse", {"intruder": "cat", "intruder_time_s": (0.5, 0.6)}),
        ("PushT", {}),
        ("ParkSearch", {"view_rad": 2.0}),
        ("Stacks", {}),
    ],
)
def test_exact_states_are_packed_as_an_exact_sensors_observation_is(scenario: str, fields: dict[str, object]) -> None:
    short = WorldsimEnv(scenario=scenario, observation="state", **fields)
    long = WorldsimEnv(scenario=scenario, sensor=ExactSensor(), **fields)
    found, _ = short.reset(seed=1)
    expected, _ = long.reset(seed=1)
    rows = []
    for number in range(40):
        for name, values in expected.items():
            assert found[name].tobytes() == values.tobytes(), (number, name)
        rows.append(found["mask"].sum())
        action = np.array([1.0, np.sin(number), 0.0], dtype=np.float32)
        found, *judged = short.step(action)
        expected, *expected_judged = long.step(action)
        assert judged == expected_judged
    assert scenario != "Warehouse" or max(rows) > min(rows), "the intruder came in, so that the rows changed"
    short.close()
    long.close()


def test_the_truth_stays_out_of_info_unless_asked_for() -> None:
    for expose in (False, True):
        env = WorldsimEnv(intruder="none", expose_truth=expose)
        _, at_start = env.reset(seed=0)
        *_, later = env.step(np.zeros(3, dtype=np.float32))
        assert ("truth" in at_start) is ("truth" in later) is expose
        env.close()


def test_an_observation_reads_back_as_detections() -> None:
    env = WorldsimEnv(intruder="none", sensor=Detector(clutter_per_frame=0.0, detection_probability=1.0))
    flat, _ = env.reset(seed=0)
    found = Observation.from_gym(flat)
    exact = env.physics.observe()
    assert len(found.detections) == len(exact.detections) == int(flat["mask"].sum())
    assert found.detections.finite_rows().all()
    np.testing.assert_allclose(found.detections.position, exact.detections.position, atol=1e-5)  # float32
    np.testing.assert_allclose(found.detections.covariance, exact.detections.covariance, rtol=1e-6)
    assert found.task is not None
    assert set(found.task) == {
        "task_goal_position", "task_holding", "task_pickup_position", "task_dropoff_position",
    }  # fmt: skip
    env.close()


def test_an_episode_is_truncated_when_its_time_is_up() -> None:
    env = WorldsimEnv(intruder="none", duration_s=0.25)
    env.reset(seed=0)
    ends = [env.step(np.zeros(3, dtype=np.float32))[3] for _ in range(5)]
    assert ends == [False] * 4 + [True]
    env.close()


@pytest.mark.parametrize("view", ["overview", "plan", "following"])
def test_a_picture_shows_something(view: str) -> None:
    env = WorldsimEnv(intruder="none", render_mode="rgb_array", view=view)
    env.reset(seed=0)
    picture = env.render()
    assert picture is not None
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.std() > 10.0  # neither blank nor noise of one grey
    env.close()


def test_the_own_camera_sees_the_floor_at_the_right_distance() -> None:
    env = WorldsimEnv(intruder="none", observation="rgbd")
    observation, _ = env.reset(seed=0)
    depth = observation["camera_depth_m"].reshape(64, 64)
    height = float(observation["camera_position"][2])
    # the lowest middle ray looks down by the camera's pitch and half of its field, short of half a pixel
    down = np.arctan(0.35) + np.arctan(np.tan(0.7) * 63.0 / 64.0)
    along_axis = height / np.sin(down) * np.cos(down - np.arctan(0.35))
    assert depth[-1, 32] == pytest.approx(along_axis, rel=0.05)
    env.close()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scenario": "Warehous"}, UnknownNameError, "Did you mean 'Warehouse'"),
        ({"observation": "detection"}, UnknownNameError, "'detections'"),
        ({"view": "top"}, UnknownNameError, "overview"),
        ({"max_objects": 0}, ConfigurationError, "max_objects is 0"),
        ({"intruder": "lion"}, UnknownNameError, "cat"),
        ({"intuder": "cat"}, UnknownNameError, "field of scenario Warehouse 'intuder'. Did you mean 'intruder'"),
        ({"observatio": "state"}, UnknownNameError, "Did you mean 'observation'"),
        ({"duration_s": "long"}, ConfigurationError, "Warehouse refuses duration_s='long'"),
        ({"scenario": Warehouse}, ConfigurationError, "made by calling its class"),
        ({"scenario": Warehouse(), "intruder": "cat"}, ConfigurationError, "ready made"),
        ({"observation": "state", "sensor": Detector()}, ConfigurationError, "exact"),
        ({"sensor": 3}, ConfigurationError, "expected a Sensor"),
        ({"sensor": Detector}, ConfigurationError, "expected a Sensor"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        WorldsimEnv(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_environment_that_is_to_be_copied_says_what_to_do_instead_and_goes_on(copied) -> None:
    env = WorldsimEnv("ForceLab", bodies=3)
    env.reset(seed=0)
    with pytest.raises(ConfigurationError, match="snapshot"):
        copied(env)
    saved = env.physics.snapshot()
    there = [env.step(np.zeros(3, np.float32))[0]["position"] for _ in range(3)][-1]
    env.physics.restore(saved)
    assert np.array_equal([env.step(np.zeros(3, np.float32))[0]["position"] for _ in range(3)][-1], there)
    env.close()


def test_resets_to_other_worlds_leave_next_to_nothing_behind():
    env, resets = WorldsimEnv("ForceLab", observation="state", bodies=10), 100
    try:
        for seed in range(5):
            env.reset(seed=seed)
        tracemalloc.start(1)
        try:
            env.reset(seed=5)
            before, _ = tracemalloc.get_traced_memory()
            for seed in range(6, 6 + resets):
                env.reset(seed=seed)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    finally:
        env.close()
    assert grown / resets < 500.0  # bytes; with tuples made of generators (see `worldsim.simulation.cast`), 3,800


def test_options_of_a_reset_set_fields_of_the_scenario_for_one_episode():
    env = WorldsimEnv("Sorting", crates=3)
    plain = env.reset(seed=4)[0]
    asked = env.reset(seed=4, options={"crates": 5, "duration_s": 2.0})[0]
    assert env.scenario.crates == 5
    assert sum(spec.kind == "crate" for spec in env.physics.specs) == 5
    assert any((plain[name] != asked[name]).any() for name in plain)
    again = env.reset(seed=4)[0]
    assert env.scenario.crates == 3
    assert all((plain[name] == again[name]).all() for name in plain)
    with pytest.raises(UnknownNameError, match="Did you mean 'crates'"):
        env.reset(seed=4, options={"crate": 5})
    with pytest.raises(ConfigurationError, match="crates is 1"):
        env.reset(seed=4, options={"crates": 1})
    with pytest.raises(ConfigurationError, match="Sorting refuses duration_s='long'"):
        env.reset(seed=4, options={"duration_s": "long"})
    env.close()


def test_there_is_no_step_before_a_reset():
    env = WorldsimEnv("Intercept", observation="state")
    still = np.zeros(3, dtype=np.float32)
    with pytest.raises(SimulationError, match="before reset"):
        env.step(still)
    env.reset(seed=0)
    env.step(still)
    env.close()
    with pytest.raises(SimulationError, match="after a close"):
        env.step(still)


@dataclasses.dataclass(frozen=True)
class Watched(Intercept):
    """The same with more cameras, so that its observations may be of another shape."""

    more: int = 0

    def build(self, physics, rng):
        super().build(physics, rng)
        for i in range(self.more):
            physics.add_camera(CameraSpec(f"more_{i}", (0.0, 0.0, 4.0), 30.0))


def test_a_world_that_does_not_fit_the_observation_space_is_refused():
    env = WorldsimEnv(Watched())
    with pytest.raises(ConfigurationError, match="of another shape"):
        env.reset(seed=0, options={"more": 1})
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    env.close()


@pytest.mark.parametrize("action", [np.zeros(5), np.zeros(2), np.zeros((1, 3)), 0.5])
def test_an_action_of_another_shape_is_refused(action):
    env = WorldsimEnv("Intercept", observation="state")
    env.reset(seed=0)
    with pytest.raises(ConfigurationError, match=r"the action has shape .*, expected \(3,\)"):
        env.step(action)
    env.close()
