"""The filter says how wrong it is: NEES and NIS over 200 seeds of every model class, and states on their manifolds."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.models.cards import model_of
from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics import quaternion
from worldsim.filtering.correct import correct, innovation
from worldsim.filtering.density import Density, local, retract
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import predict, white_acceleration
from worldsim.filtering.surroundings import Surroundings
from worldsim.inference.slots import JOINT_DIM
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.states import ObjectStates

FAMILIES = ("rigid_body", "hinge", "vehicle", "person", "cat", "dog", "rolling_ball", "trolley", "generic")
SEEDS, STEPS, DT_S, DTYPE = 200, 24, 0.05, torch.float64
START_STD = (0.01,) * 3 + (0.02,) * 3 + (0.05,) * 6  # m, rad, m/s, rad/s
SENSOR_STD = (0.01,) * 3 + (0.02,) * 3


class Play:
    """Objects drawn from a belief, moved by their own model and its noise, and seen as well as is stated.

    A row is a seed: all are one batched call.
    """

    def __init__(self, family: str, seed: int, seeds: int = SEEDS, dtype: torch.dtype = DTYPE) -> None:
        # a leaf's centre runs on a circle: the filter is right where its belief is narrow beside the lever
        width = 0.3 if family == "hinge" else 1.0
        self.start_std = width * torch.tensor(START_STD, dtype=dtype)
        self.sensor_std = width * torch.tensor(SENSOR_STD, dtype=dtype)
        self.model: ObjectModel = model_of(family, std=0.0)
        self.library = LoadedModels.of([self.model], torch.device("cpu"), dtype)
        self.rng = torch.Generator().manual_seed(seed)
        self.seeds, self.dtype = seeds, dtype
        parameters = self.library.prior_mean.repeat(seeds, 1)
        # a ball is thrown: whether it is on the floor is a switch, and what a switch leaves is not Gaussian
        height = 50.0 if family == "rolling_ball" else 0.5 * self.model.card.shape.extent_m[2]
        at = torch.tensor([0.0, 0.0, height], dtype=dtype).repeat(seeds, 1)
        moving = torch.tensor([0.8, 0.0, 0.0], dtype=dtype).repeat(seeds, 1)
        rest = ObjectStates.at_rest(at, self.library.extent_mean.repeat(seeds, 1))
        mean = ObjectStates(at, rest.orientation_xyzw, moving, rest.angular_velocity, rest.extent_m)
        covariance = torch.zeros(seeds, JOINT_DIM, JOINT_DIM, dtype=dtype)
        covariance[:, :TANGENT_DIM, :TANGENT_DIM] = torch.diag(self.start_std**2)
        self.belief = Density(mean, parameters, covariance)
        self.truth = self.kicked(mean, self.start_std * self.normal(TANGENT_DIM))
        self.noise = torch.diag(self.sensor_std**2).repeat(seeds, 1, 1)

    def normal(self, width: int) -> Tensor:
        return torch.randn(self.seeds, width, generator=self.rng, dtype=DTYPE).to(self.dtype)

    def kicked(self, states: ObjectStates, step: Tensor) -> ObjectStates:
        step = torch.cat([step, step.new_zeros(self.seeds, JOINT_DIM - step.shape[1])], dim=-1)
        return retract(states, self.belief.parameters, step)[0]

    def turn(self) -> Tensor:
        """Let a frame pass in the world and in the belief; return each seed's NIS."""
        around = dataclasses.replace(Surroundings.empty(self.truth.position), obstacles=None)  # a kink is not Gaussian
        natural = self.library.natural(self.belief.parameters, torch.zeros(self.seeds, dtype=torch.int64))
        used = natural[:, : len(self.model.parameter_names)]
        moved = self.model.dynamics(self.truth, used, around.wrench, around.control, DT_S)
        spread = white_acceleration(self.model.process_noise(self.truth, used, DT_S), DT_S)
        root = torch.linalg.cholesky(spread + 1e-14 * torch.eye(TANGENT_DIM, dtype=self.dtype))
        self.truth = self.kicked(moved, (root @ self.normal(TANGENT_DIM).unsqueeze(-1)).squeeze(-1))
        one = torch.ones(self.seeds, dtype=self.dtype)
        index = np.zeros(self.seeds, dtype=np.int64)
        ahead = predict(self.belief, index, self.library, around, one, DT_S).density
        seen = self.kicked(self.truth, self.sensor_std * self.normal(6))
        found = innovation(ahead, seen.position, seen.orientation_xyzw, self.noise)
        self.belief, _ = correct(ahead, found.residual, self.noise)
        return found.nis

    def nees(self) -> Tensor:
        """Return each seed's normalised estimation error squared of pose and twist."""
        error = local(self.truth, self.belief.states)
        root = torch.linalg.cholesky(self.belief.covariance[:, :TANGENT_DIM, :TANGENT_DIM])
        return torch.linalg.solve_triangular(root, error.unsqueeze(-1), upper=False).square().sum((-2, -1))


def bounds(degrees: int, count: int) -> tuple[float, float]:
    """Return where the mean of `count` independent chi-squares lies 99.8 times in 100."""
    low, high = stats.chi2(degrees * count).ppf([0.001, 0.999]) / count
    return float(low), float(high)


@pytest.mark.parametrize("family", FAMILIES)
def test_nees_and_nis_lie_within_their_chi_square_bounds_over_200_seeds(family: str) -> None:
    play = Play(family, seed=7)
    total = torch.zeros(SEEDS, dtype=DTYPE)
    for _ in range(STEPS):
        total += play.turn()
    nis, nees = float(total.mean()) / STEPS, float(play.nees().mean())
    low, high = bounds(6, SEEDS * STEPS)  # innovations of a right filter are white: every frame counts
    assert low < nis < high, (nis, low, high)
    low, high = bounds(TANGENT_DIM, SEEDS)  # errors are not: the last frame alone
    assert low < nees < high, (nees, low, high)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_float32_filter_ends_where_the_float64_filter_does(family: str) -> None:
    single, double = Play(family, 3, 20, torch.float32), Play(family, 3, 20)
    for _ in range(STEPS):
        single.turn()
        double.turn()
    apart = local(single.belief.states, ObjectStates(*(
        getattr(double.belief.states, name).float()
        for name in ("position", "orientation_xyzw", "linear_velocity", "angular_velocity", "extent_m")
    )))  # fmt: skip
    deviation = torch.diagonal(double.belief.covariance, dim1=1, dim2=2)[:, :TANGENT_DIM].sqrt()
    assert float((apart / deviation).abs().max()) < 1e-2, "a hundredth of what the belief itself calls uncertain"
    torch.testing.assert_close(
        single.belief.covariance.double() / double.belief.covariance.diagonal(dim1=1, dim2=2).amax(-1)[:, None, None],
        double.belief.covariance / double.belief.covariance.diagonal(dim1=1, dim2=2).amax(-1)[:, None, None],
        atol=1e-4,
        rtol=0.0,
    )


@pytest.mark.parametrize("dtype", [torch.float32, DTYPE])
def test_an_orientation_that_turns_many_times_stays_a_unit_quaternion(dtype: torch.dtype) -> None:
    play = Play("rigid_body", 5, 8, dtype)
    spin = torch.tensor([0.0, 0.0, 9.0], dtype=dtype).repeat(8, 1)
    start = play.truth
    play.truth = ObjectStates(start.position, start.orientation_xyzw, start.linear_velocity, spin, start.extent_m)
    mean = play.belief.states
    play.belief = Density(
        ObjectStates(mean.position, mean.orientation_xyzw, mean.linear_velocity, spin, mean.extent_m),
        play.belief.parameters,
        play.belief.covariance,
    )
    worst = 0.0
    for _ in range(150):  # more than ten turns
        play.turn()
        worst = max(worst, float(play.nees().max()))
        length = play.belief.states.orientation_xyzw.norm(dim=-1)
        assert float((length - 1.0).abs().max()) < (1e-6 if dtype == torch.float32 else 1e-12)
    assert worst < stats.chi2(TANGENT_DIM).ppf(1.0 - 1e-6), "half a turn was taken for a whole one"


def test_the_difference_of_two_orientations_is_the_shorter_way_round() -> None:
    angle = torch.linspace(-3.0 * math.pi, 3.0 * math.pi, 121, dtype=DTYPE)
    turned = quaternion.exp(torch.stack([0.0 * angle, 0.0 * angle, angle], dim=-1))
    straight = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=DTYPE).expand_as(turned)
    found = quaternion.difference(turned, straight)[:, 2]
    wrapped = torch.atan2(torch.sin(angle), torch.cos(angle))
    clear = (wrapped.abs() - math.pi).abs() > 1e-6  # half a turn is as far either way
    torch.testing.assert_close(found[clear], wrapped[clear], atol=1e-9, rtol=0.0)
    assert float(found.abs().max()) <= math.pi + 1e-9
    torch.testing.assert_close(quaternion.difference(-turned, straight)[clear][:, 2], found[clear], atol=1e-9, rtol=0.0)


def test_covariances_stay_positive_definite_in_float32_over_many_frames() -> None:
    play = Play("generic", 11, 4, torch.float32)
    smallest = math.inf
    for frame in range(300):
        play.turn()
        if frame % 100 == 99:
            used = play.belief.covariance[:, :TANGENT_DIM, :TANGENT_DIM].double()
            assert torch.equal(used, used.mT)
            scale = used.diagonal(dim1=1, dim2=2).rsqrt()
            smallest = min(smallest, float(torch.linalg.eigvalsh(scale[:, :, None] * used * scale[:, None, :]).min()))
    assert smallest > 1e-5, "of the correlation matrix, whose eigenvalues float32 resolves to 1e-6"
