"""The public conformance kits: what keeps its contract passes, and each way to break it is named."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from worldsim.contracts import Agent, Scenario
from worldsim.errors import ConfigurationError, PluginError
from worldsim.evaluation.play import has_own_body
from worldsim.models.cat import Cat
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.scene import CameraSpec
from worldsim.testing.agent_conformance import check_agent
from worldsim.testing.object_model_conformance import check_object_model
from worldsim.testing.scenario_conformance import check_scenario
from worldsim.types import ParameterPrior, Preferences
from worldsim_agents.random_agent import RandomAgent
from worldsim_scenarios.stock import floor, furnish, let_watch, onlooker


@dataclass(frozen=True)
class Lonely(Scenario):
    """A crate stands somewhere."""

    fault: str = ""
    duration_s: float = 2.0

    def build(self, physics, rng):
        physics.add_body(floor(8.0), background=True)
        robot = onlooker(-2.0, np.random.default_rng(0))
        physics.add_body(robot)
        if self.fault == "global":
            rng = np.random.default_rng()
        x = 0.5 if self.fault == "constant" else float(rng.uniform(0.0, 1.0))
        own = np.random.default_rng(1) if self.fault == "constant" else rng
        physics.add_body(furnish("crate", "crate", (x, 1.0, 0.001), 0.0, own))
        physics.add_camera(CameraSpec("ceiling", (0.0, 0.0, 4.0), 20.0))
        if self.fault != "nobody":
            let_watch(physics, robot, 20.0)

    def preferences(self):
        return None if self.fault == "preferences" else Preferences()

    def is_over(self, record):
        return record.time_s >= self.duration_s


class Odd(Agent):
    """Breaks its contract in one way."""

    def __init__(self, fault=""):
        self.fault, self.frames = fault, 0

    def act(self, observation, record, rng):
        self.frames += 1
        match self.fault:
            case "list":
                return [0.0, 0.0, 0.0]
            case "shape":
                return np.zeros(2, dtype=np.float32)
            case "dtype":
                return np.zeros(3)
            case "nan":
                return np.full(3, np.nan, dtype=np.float32)
            case "bound":
                return np.full(3, 1.5, dtype=np.float32)
            case "memory":
                return np.full(3, 0.01 * self.frames, dtype=np.float32)
            case "own dice":
                return np.random.default_rng().uniform(-1.0, 1.0, 3).astype(np.float32)
        return rng.uniform(-1.0, 1.0, 3).astype(np.float32)


@pytest.fixture(scope="module")
def env():
    made = WorldsimEnv(scenario=Lonely())
    yield made
    made.close()


def test_what_keeps_its_contract_passes(env):
    check_scenario(env)
    check_agent(Odd(), env)
    check_agent(RandomAgent(action_dim=3), env)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("nobody", "commands no body: call physics.set_task"),
        ("preferences", r"preferences\(\) returns NoneType"),
        ("constant", "another seed gives the same world"),
        ("global", "two episodes of seed 0 differ"),
    ],
)
def test_a_scenario_that_breaks_its_contract_is_told_how(fault, says):
    scenario = Lonely(fault=fault)
    if fault == "constant":  # the detector draws noise from the seed; exact observations show the world alone
        made = WorldsimEnv(scenario=scenario, observation="state")
    else:
        made = WorldsimEnv(scenario=scenario)
    try:
        with pytest.raises(PluginError, match=says):
            check_scenario(made)
        if fault == "nobody":
            with pytest.raises(
                ConfigurationError, match=r"scenario Lonely commands no body: its build\(\) has to call"
            ):
                has_own_body(made)
    finally:
        made.close()


def test_durations_have_to_be_positive_and_hashes_to_exist():
    with pytest.raises(PluginError, match=r"duration_s is -1\.0, expected > 0"):
        check_scenario(_Shell(Lonely(duration_s=-1.0)))
    with pytest.raises(PluginError, match="cannot be hashed"):
        check_scenario(_Shell(dataclasses.replace(Lonely(), fault=["a list"])))


class _Shell:
    """What is looked at before anything is stepped."""

    def __init__(self, scenario):
        self.scenario, self.unwrapped = scenario, self


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("list", "a list, expected an array"),
        ("shape", r"of shape \(2,\), expected \(3,\)"),
        ("dtype", "dtype float64, expected float32"),
        ("nan", "not finite"),
        ("bound", r"expected each in \[-1, 1\]"),
        ("memory", "a second, equal episode has another action"),
        ("own dice", "a second, equal episode has another action"),
    ],
)
def test_an_agent_that_breaks_its_contract_is_told_how(fault, says, env):
    with pytest.raises(PluginError, match=says):
        check_agent(Odd(fault), env)


def test_a_prior_in_another_unit_than_its_name_says_is_told():
    with open_registry("builtin") as registry:
        model = registry.fetch("cat/cat-tabby-medium-00")
    check_object_model(model)
    wrong = tuple(dataclasses.replace(p, unit="km/h") if p.unit == "m/s" else p for p in model.card.parameters)
    with pytest.raises(PluginError, match="burst_speed_m_s has the unit 'km/h', by its name it is 'm/s'"):
        check_object_model(type(model)(model.card.replace(parameters=wrong)))


class Broken(Cat):
    """Breaks the contract of an object model in one way."""

    fault = ""

    def dynamics(self, state, parameters, wrench, control, dt_s):
        if self.fault == "nothing":
            return None
        if self.fault == "raises":
            return 1 / 0
        return super().dynamics(state, parameters, wrench, control, dt_s)


class Deaf(Cat):
    """Takes too few arguments."""

    def dynamics(self, state, parameters, wrench, dt_s):  # type: ignore[override]
        return state


class Wide(Cat):
    """Has more parameters than a world model holds."""

    parameter_names = (*Cat.parameter_names, "a", "b", "c", "d")


def test_an_object_model_that_breaks_its_contract_is_told_how():
    with open_registry("builtin") as registry:
        card = registry.card("cat/cat-tabby-medium-00")
    model = Broken(card)
    check_object_model(model)
    model.fault = "nothing"
    with pytest.raises(PluginError, match="dynamics returns a NoneType, expected ObjectStates"):
        check_object_model(model)
    model.fault = "raises"
    with pytest.raises(PluginError, match="a method failed on random states: ZeroDivisionError: division by zero"):
        check_object_model(model)
    with pytest.raises(PluginError, match=r"TypeError: Deaf\.dynamics\(\) takes 5 positional arguments"):
        check_object_model(Deaf(card))
    with pytest.raises(PluginError, match=r"given <class .*Broken'>, expected an ObjectModel instance"):
        check_object_model(Broken)
    more = tuple(ParameterPrior(name, 1.0, 0.1) for name in "abcd")
    with pytest.raises(PluginError, match="9 parameters, expected at most 8"):
        check_object_model(Wide(card.replace(parameters=(*card.parameters, *more))))
    flat = dataclasses.replace(card.shape, extent_m=(0.0, 0.2, 0.3))
    with pytest.raises(PluginError, match="three edges above 0"):
        check_object_model(Cat(card.replace(shape=flat)))


def test_what_is_no_agent_is_refused(env):
    with pytest.raises(PluginError, match="int is no subclass of"):
        check_agent(3, env)  # type: ignore[arg-type]
