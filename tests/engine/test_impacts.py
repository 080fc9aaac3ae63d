"""Balls that meet: what is possible raises no alarm, what is not does, and a test of it survives a restart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.small_world import LOOKS, Shelf, frame, model
from worldsim.dynamics.sphere_impacts import Spheres, meet
from worldsim.engine.impacts import _leaning, let_meet
from worldsim.filtering.density import Density, retract
from worldsim.filtering.impacts import Inputs
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import predict
from worldsim.filtering.surroundings import Surroundings
from worldsim.loop import WorldModel
from worldsim.types import Detections, EventKind, ObjectStates, Observation, Viewpoints
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.control import Control

DT_S, SUBSTEPS = 0.05, 12
STD_M, STD_RAD = 0.006, 0.017
DIAMETER_M = 0.3
BALL = model("rolling_ball")
PARAMETERS = torch.tensor([[0.4, 0.15, 0.7, 0.4]], dtype=torch.float64).repeat(2, 1)  # within what a ball may be


def ball_states(speed_m_s: float) -> ObjectStates:
    """Return two balls on the floor: the first rolls along x towards the second, which lies 0.9 m away."""
    place = torch.tensor([[0.0, 0.0, 0.15], [0.9, 0.03, 0.15]], dtype=torch.float64)
    velocity = torch.tensor([[speed_m_s, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    spin = torch.tensor([[0.0, speed_m_s / 0.15, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    upright = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64).repeat(2, 1)
    return ObjectStates(place, upright, velocity, spin, torch.full_like(place, DIAMETER_M))


def played(mass_kg: tuple[float, float], solid: bool) -> Iterator[ObjectStates]:
    """Yield the true states, frame by frame: the masses may be impossible, and the balls no obstacle to each other."""
    states, h = ball_states(1.0), DT_S / SUBSTEPS
    mass = torch.tensor(mass_kg, dtype=torch.float64)
    half = torch.full((2,), 0.5 * DIAMETER_M, dtype=torch.float64)
    while True:
        yield states
        for _ in range(SUBSTEPS):
            free = BALL.dynamics(states, PARAMETERS, torch.zeros(2, 6).double(), Control.none(states.position), h)
            one = [
                Spheres(*(t[k : k + 1] for t in (states.position, free.position, free.angular_velocity, half, mass)),
                        PARAMETERS[k : k + 1, 2], PARAMETERS[k : k + 1, 3])
                for k in range(2)
            ]  # fmt: skip
            _, first, second = meet(one[0], one[1], h)
            gain = torch.cat([first, second]) * float(solid)
            states, _ = retract(free, PARAMETERS, torch.cat([gain, torch.zeros_like(PARAMETERS)], dim=-1))


def seen(states: ObjectStates, time_s: float, rng: np.random.Generator) -> Observation:
    order = rng.permutation(2)
    place = states.position.numpy() + STD_M * rng.standard_normal((2, 3))
    turned, _ = retract(
        states,
        torch.zeros(2, 0),
        torch.as_tensor(np.c_[np.zeros((2, 3)), STD_RAD * rng.standard_normal((2, 3)), np.zeros((2, 6))]),
    )
    extent = DIAMETER_M * np.exp(rng.normal(0.0, 0.02, (2, 3)))
    look = LOOKS["rolling_ball"] + rng.normal(0.0, 0.04, (2, 12))
    covariance = np.tile(np.diag([STD_M**2] * 3 + [STD_RAD**2] * 3), (2, 1, 1))
    detections = Detections(place, turned.orientation_xyzw.numpy(), extent, np.full((2, 3), 0.5), look, covariance)
    return Observation(time_s, detections.select(order), Viewpoints(np.array([[0.0, 0.0, 5.0]]), np.array([30.0])))


def stream(mass_kg: tuple[float, float] = (0.4, 0.4), solid: bool = True, seed: int = 0) -> Iterator[Observation]:
    rng = np.random.default_rng(seed)
    for number, states in enumerate(played(mass_kg, solid)):
        yield seen(states, number * DT_S, rng)


def balls_alone() -> WorldModel:
    return WorldModel(Shelf(BALL), models=[BALL, model("generic"), model("vehicle")])


def alarms(wm: WorldModel, observations: Iterator[Observation], frames: int = 22) -> int:
    wm.reset(next(observations))
    records = [wm.step(next(observations)) for _ in range(frames)]
    return sum(event.kind is EventKind.ALARM for record in records for event in record.events)


@pytest.mark.parametrize("masses", [(0.4, 0.4), (0.3, 0.6), (0.6, 0.3)])
def test_a_possible_impact_raises_no_alarm(masses: tuple[float, float]) -> None:
    assert alarms(balls_alone(), stream(masses)) == 0


@pytest.mark.parametrize(("masses", "solid"), [((0.4, 1e4), True), ((0.4, 0.4), False)], ids=["stays", "gone through"])
def test_an_impossible_one_does(masses: tuple[float, float], solid: bool) -> None:
    assert alarms(balls_alone(), stream(masses, solid)) >= 1


def test_an_impact_under_test_goes_on_bit_for_bit_after_a_restart(tmp_path: Path) -> None:
    observations, wm = stream(), balls_alone()
    wm.reset(next(observations))
    while wm._state.impacts is None:
        wm.step(next(observations))
    wm.save(tmp_path / "belief.safetensors")
    again = WorldModel.load(tmp_path / "belief.safetensors", registry=Shelf(BALL))
    for _ in range(4):
        observation = next(observations)
        wm.step(observation)
        again.step(observation)
        assert torch.equal(wm.belief.joint_covariance, again.belief.joint_covariance)
        assert (wm._state.impacts is None) == (again._state.impacts is None)
        if wm._state.impacts is not None and again._state.impacts is not None:
            assert np.array_equal(wm._state.impacts.log_weight, again._state.impacts.log_weight)


def test_a_false_detection_among_balls_pushes_none_of_them() -> None:
    observations, wm = stream(), balls_alone()
    wm.reset(next(observations))
    for _ in range(6):
        wm.step(next(observations))
    observation = next(observations)
    d = observation.detections
    clutter = Detections(
        *(np.concatenate([a, b]) for a, b in (
            (d.position, np.array([[0.9, 0.0, 0.3]])), (d.orientation_xyzw, np.array([[0.0, 0.0, 0.0, 1.0]])),
            (d.extent_m, np.array([[1.2, 1.2, 0.8]])), (d.colour, d.colour[:1]),
            (d.appearance, 1.0 - d.appearance[:1]), (d.covariance, d.covariance[:1]),
        ))
    )  # fmt: skip
    wm.step(Observation(observation.time_s, clutter, observation.viewpoints))
    assert int(wm.belief.alive.sum()) == 3
    record = wm.step(next(observations))
    nis = record.surprise.nis[np.isfinite(record.surprise.nis)]
    assert float(nis.max()) < 30.0


def test_a_ball_that_strikes_two_within_a_step_pushes_both() -> None:
    library = LoadedModels.of([BALL], torch.device("cpu"), torch.float64)
    place = torch.tensor([[0.0, 0.0, 0.15], [0.27, 0.155, 0.15], [0.27, -0.155, 0.15]], dtype=torch.float64)
    velocity = torch.zeros_like(place)
    velocity[0, 0] = 1.0
    upright = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64).repeat(3, 1)
    states = ObjectStates(place, upright, velocity, torch.zeros_like(place), torch.full_like(place, DIAMETER_M))
    covariance = torch.zeros(3, TANGENT_DIM + library.prior_mean.shape[1], TANGENT_DIM + library.prior_mean.shape[1])
    torch.diagonal(covariance, dim1=1, dim2=2)[:, :TANGENT_DIM] = 1e-6
    source = Density(states, library.prior_mean[:1].repeat(3, 1), covariance.double())
    around, models, quiet = Surroundings.empty(place), np.zeros(3, dtype=np.int64), torch.full((3,), 1e-9).double()
    around = dataclasses.replace(around, obstacles=None)
    ahead = predict(source, models, library, around, quiet, DT_S)
    meeting = np.array([0, 0]), np.array([1, 2]), np.array([0, 1])
    let_meet(source, ahead, meeting, Inputs(models, library, around, quiet, DT_S))
    after = ahead.density.states.linear_velocity
    assert ahead.touching.all()
    assert float(after[1, 0]) == pytest.approx(float(after[2, 0]), rel=0.05)
    assert float(after[1, 1]) == pytest.approx(-float(after[2, 1]), rel=0.05)
    assert float(after[1, 1]) > 0.1
    assert float(after[0, 1]) == pytest.approx(0.0, abs=0.05)  # what the one does to it along y, the other undoes


def test_a_ball_leans_on_a_wall_beside_it_and_not_on_the_ball_that_strikes_it() -> None:
    wm, rng = WorldModel(models=[BALL, model("static"), model("generic"), model("vehicle")]), np.random.default_rng(0)
    places = [("rolling_ball", [0.0, 0.0, 0.15]), ("rolling_ball", [0.31, 0.0, 0.15]), ("static", [0.47, 3.0, 1.1])]
    things = [(kind, np.array(place)) for kind, place in places]
    for k in range(8):
        seen = frame(k * DT_S, things, rng)
        _ = wm.step(seen) if k else wm.reset(seen)
    state = wm._state
    first, second = (int(np.linalg.norm(state.belief.position.numpy() - np.array(p), axis=1).argmin())
                     for _, p in places[:2])  # fmt: skip
    wall = int(np.linalg.norm(state.belief.position.numpy() - np.array(places[2][1]), axis=1).argmin())
    where = state.belief.position.clone()
    pairs = np.array([[first, second]])
    assert _leaning(state, pairs).tolist() == [[False, False]]
    where[wall] = where[second] + where.new_tensor([0.15 + 0.01 + 1.2, 0.0, 0.0])  # 1 cm beside it; 2.4 m long
    state.belief = dataclasses.replace(state.belief, position=where)
    assert _leaning(state, pairs).tolist() == [[False, True]]
