"""What impacts do to a belief: certain ones follow the law, uncertain ones are a mixture, and both are calibrated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from tests.models.cards import model_of
from worldsim.dynamics.sphere_impacts import Spheres, meet
from worldsim.filtering.density import Density, local, retract
from worldsim.filtering.impacts import Inputs, Pairs, outcome
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import predict
from worldsim.filtering.surroundings import Surroundings
from worldsim.types import ObjectStates
from worldsim.types.belief import TANGENT_DIM

DT_S = 0.05
RADIUS_M = 0.1
BALL = model_of("rolling_ball")
LIBRARY = LoadedModels.of([BALL], torch.device("cpu"), torch.float64)


def belief(aside_m: float, gap_m: float, place_std_m: float, parameter_std: float) -> Density:
    """Return two balls on the floor: the first rolls at 1 m/s along x towards the second, `aside_m` beside its line."""
    place = torch.tensor([[0.0, 0.0, RADIUS_M], [2.0 * RADIUS_M + gap_m, aside_m, RADIUS_M]], dtype=torch.float64)
    velocity = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    spin = torch.tensor([[0.0, 1.0 / RADIUS_M, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    upright = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64).repeat(2, 1)
    states = ObjectStates(place, upright, velocity, spin, torch.full_like(place, 2.0 * RADIUS_M))
    parameters = LIBRARY.prior_mean[:1].repeat(2, 1)
    std = torch.tensor([place_std_m] * 2 + [1e-5] + [1e-5] * 3 + [1e-2] * 2 + [1e-5] + [1e-3] * 3, dtype=torch.float64)
    used = torch.where(LIBRARY.prior_std[0] > 0.0, parameter_std, 0.0)
    covariance = torch.diag(torch.cat([std, used]) ** 2).repeat(2, 1, 1)
    return Density(states, parameters, covariance)


def ahead(rows: Density) -> tuple[Density, Inputs]:
    around = Surroundings.empty(rows.states.position)
    around = Surroundings(around.control, around.wrench, None)
    quiet = torch.full((2,), 1e-12, dtype=torch.float64)
    models = np.zeros(2, dtype=np.int64)
    free = predict(rows, models, LIBRARY, around, quiet, DT_S)
    return free.density, Inputs(models, LIBRARY, around, quiet, DT_S)


PAIR = Pairs(np.array([0]), np.array([1]), np.ones((1, 2)))
NO_WALLS = torch.zeros(2, dtype=torch.bool)


def test_a_certain_impact_is_the_laws() -> None:
    rows = belief(0.0, 0.02, 1e-6, 1e-6)
    free, inputs = ahead(rows)
    ends = outcome(rows, free, NO_WALLS, PAIR, inputs)
    assert ends.probability.tolist() == [1.0]
    natural = LIBRARY.natural(rows.parameters, torch.zeros(2, dtype=torch.int64))
    mass, _, restitution, friction = natural[:, :4].unbind(-1)
    end, half = free.states, torch.full((2,), RADIUS_M, dtype=torch.float64)
    balls = Spheres(rows.states.position, end.position, end.angular_velocity, half, mass, restitution, friction)
    one = [Spheres(*(getattr(balls, name)[k : k + 1] for name in balls.__slots__)) for k in range(2)]
    _, first, second = meet(one[0], one[1], DT_S)
    gained = local(ends.either.states, free.states)
    assert torch.allclose(gained, torch.cat([first, second]), atol=0.03)  # slip and time of impact are not linear
    assert torch.allclose(gained[:, 6:8], torch.cat([first, second])[:, 6:8], atol=5e-3)


def test_what_may_be_missed_is_a_mixture_of_both_cases() -> None:
    rows = belief(0.2, -0.17, 5e-3, 1e-6)  # its mean path just grazes
    free, inputs = ahead(rows)
    ends = outcome(rows, free, NO_WALLS, PAIR, inputs)
    probability = float(ends.probability)
    assert 0.05 < probability < 0.95
    parts = [local(d.states, ends.either.states) for d in (ends.met, ends.missed)]
    mean = probability * parts[0] + (1.0 - probability) * parts[1]
    assert torch.allclose(mean[:, :3], torch.zeros(2, 3, dtype=torch.float64), atol=1e-6)
    wide = torch.diagonal(ends.either.covariance, dim1=1, dim2=2)[:, 6:8].sum(-1)
    assert bool((wide > 2.0 * torch.diagonal(free.covariance, dim1=1, dim2=2)[:, 6:8].sum(-1)).all())


def test_who_is_out_of_reach_is_left_as_it_is() -> None:
    rows = belief(0.0, 0.5, 5e-3, 0.3)
    free, inputs = ahead(rows)
    ends = outcome(rows, free, NO_WALLS, PAIR, inputs)
    assert ends.probability.tolist() == [0.0]
    assert torch.allclose(ends.either.states.position, free.states.position, atol=1e-9)
    assert torch.equal(ends.either.covariance, free.covariance)


def test_what_does_not_give_way_under_a_hypothesis_sends_the_other_back() -> None:
    rows = belief(0.0, 0.02, 1e-6, 1e-6)
    free, inputs = ahead(rows)
    stays = Pairs(np.array([0]), np.array([1]), np.array([[1.0, 1e4]]))
    even, uneven = (outcome(rows, free, NO_WALLS, pairs, inputs).either.states for pairs in (PAIR, stays))
    assert float(uneven.linear_velocity[1, 0]) == pytest.approx(0.0, abs=1e-3)
    assert float(even.linear_velocity[1, 0]) > 0.3
    assert float(uneven.linear_velocity[0, 0]) < 0.0 < float(even.linear_velocity[0, 0])


def test_what_an_impact_does_is_added_to_what_a_wall_has_done_before() -> None:
    rows = belief(0.0, 0.02, 5e-3, 0.1)
    free, inputs = ahead(rows)
    walled = Density(free.states, free.parameters, free.covariance.clone())
    torch.diagonal(walled.covariance, dim1=1, dim2=2)[:, 7] += 0.3  # to the side: nothing that the impact does
    both, without = (outcome(rows, walled, touched, PAIR, inputs).either for touched in (~NO_WALLS, NO_WALLS))
    assert bool((both.covariance[:, 7, 7] > 0.3).all())
    assert bool((without.covariance[:, 7, 7] < 0.3).all())  # the draws say it all where nothing else was touched
    assert bool((torch.diagonal(both.covariance - walled.covariance, dim1=1, dim2=2) > -1e-12).all())


@pytest.mark.parametrize(("aside_m", "gap_m"), [(0.02, 0.02), (0.1, 0.01), (0.05, 0.043)], ids=["full", "half", "late"])
def test_the_state_after_an_impact_lies_where_it_is_believed_to(aside_m: float, gap_m: float) -> None:
    rows = belief(aside_m, gap_m, 4e-3, 0.2)
    free, inputs = ahead(rows)
    ends = outcome(rows, free, NO_WALLS, PAIR, inputs).either
    random = torch.Generator().manual_seed(1)
    total, count = 0.0, 300
    root = torch.linalg.cholesky_ex(rows.covariance + 1e-14 * torch.eye(rows.covariance.shape[-1])).L
    for _ in range(count):
        step = (root @ torch.randn(2, root.shape[-1], 1, generator=random, dtype=torch.float64)).squeeze(-1)
        start, parameters = retract(rows.states, rows.parameters, step)
        natural = LIBRARY.natural(parameters, torch.zeros(2, dtype=torch.int64))
        around = inputs.surroundings
        end = BALL.dynamics(start, natural[:, :4], around.wrench, around.control, DT_S)
        body = natural[:, 0], natural[:, 2].clamp(0.0, 1.0), natural[:, 3]
        one = [
            Spheres(*(t[k : k + 1] for t in (start.position, end.position, end.angular_velocity, half, *body)))
            for k, half in enumerate([torch.full((2,), RADIUS_M, dtype=torch.float64)] * 2)
        ]
        _, first, second = meet(one[0], one[1], DT_S)
        true = retract(end, parameters, torch.nn.functional.pad(torch.cat([first, second]), (0, parameters.shape[-1])))
        plane = local(true[0], ends.states)[:, [0, 1, 6, 7]]
        covariance = ends.covariance[:, [0, 1, 6, 7]][:, :, [0, 1, 6, 7]]
        total += float((plane.unsqueeze(1) @ torch.linalg.solve(covariance, plane.unsqueeze(-1))).sum())
    assert ends.covariance.shape[-1] > TANGENT_DIM
    # heavier tails than a Gaussian's make the sum vary twice as much as a chi-square's
    spread = 2.0 * stats.norm.ppf(0.999) * np.sqrt(2.0 / (8 * count))
    assert total / (8 * count) == pytest.approx(1.0, abs=float(spread))
