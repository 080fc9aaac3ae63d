"""The filter against independent derivations, and its calibration."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.models.cards import model_of
from worldsim.errors import CardError
from worldsim.filtering import blocks
from worldsim.filtering.correct import correct, innovation
from worldsim.filtering.density import Density, as_run
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.likelihood import gaussian_log_density, student_t_entropy, student_t_log_density
from worldsim.filtering.predict import _impact_noise, predict, white_acceleration
from worldsim.filtering.surroundings import Surroundings
from worldsim.types import Descriptor, ObjectStates, Shape

DTYPE = torch.float64
DT_S = 0.05
UPRIGHT = (0.0, 0.0, 0.0, 1.0)


def library_of(*families: str, std: float = 0.0) -> LoadedModels:
    return LoadedModels.of([model_of(f, std=std) for f in families], torch.device("cpu"), DTYPE)


def density_of(library: LoadedModels, model: int, position: np.ndarray, covariance: np.ndarray) -> Density:
    """N rows of one model at rest with a common covariance of pose and twist."""
    n = len(position)
    states = ObjectStates.at_rest(torch.tensor(position, dtype=DTYPE), library.extent_mean[model].repeat(n, 1))
    joint = torch.zeros(n, 20, 20, dtype=DTYPE)
    joint[:, :12, :12] = torch.tensor(covariance, dtype=DTYPE)
    joint[:, 12:, 12:] = torch.diag(library.prior_std[model] ** 2)
    return Density(states, library.prior_mean[model].repeat(n, 1), joint)


def test_prediction_of_a_linear_model_is_the_textbook_kalman_filter() -> None:
    # with all coefficients zero the generic model is a constant velocity in each axis
    library = library_of("generic")
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12)) * 0.1
    start = root @ root.T
    density = density_of(library, 0, np.zeros((1, 3)), start)
    ahead = predict(
        density, np.zeros(1, dtype=np.int64), library, Surroundings.empty(density.states.position), torch.ones(1), DT_S
    ).density
    transition = np.eye(12)
    transition[:6, 6:] = DT_S * np.eye(6)
    psd = torch.tensor([[3.0, 3.0, 1.0, 5.0, 5.0, 5.0]], dtype=DTYPE)
    expected = transition @ start @ transition.T + white_acceleration(psd, DT_S)[0].numpy()
    # the rotation at rest is linear to third order in half a standard deviation (0.15 rad): 1e-3 relative
    assert np.allclose(ahead.covariance[0, :12, :12].numpy(), expected, atol=2e-3 * np.abs(expected).max())
    assert np.allclose(ahead.covariance[0, :3, :3].numpy(), expected[:3, :3], atol=1e-12)


def test_white_acceleration_is_the_integral_of_its_definition() -> None:
    got = white_acceleration(torch.tensor([[2.0, 0, 0, 0, 0, 0]], dtype=DTYPE), 0.3)[0].numpy()
    s = np.linspace(0.0, 0.3, 20001)
    assert got[0, 0] == pytest.approx(2.0 * np.trapezoid((0.3 - s) ** 2, s), rel=1e-6)
    assert got[0, 6] == pytest.approx(2.0 * np.trapezoid(0.3 - s, s), rel=1e-6)
    assert got[6, 6] == pytest.approx(2.0 * 0.3, rel=1e-12)


def test_correction_is_the_information_form_of_bayes_rule() -> None:
    library = library_of("generic", std=0.3)
    rng = np.random.default_rng(1)
    root = rng.normal(size=(12, 12)) * 0.1
    density = density_of(library, 0, np.zeros((1, 3)), root @ root.T + 0.01 * np.eye(12))
    noise = torch.diag(torch.tensor([1e-3] * 3 + [2e-3] * 3, dtype=DTYPE)).unsqueeze(0)
    residual = torch.tensor(rng.normal(size=(1, 6)) * 0.05, dtype=DTYPE)
    posterior, surprise = correct(density, residual, noise)
    observe = np.eye(6, 20)
    prior = density.covariance[0].numpy()
    information = np.linalg.inv(prior) + observe.T @ np.linalg.inv(noise[0].numpy()) @ observe
    assert np.allclose(posterior.covariance[0].numpy(), np.linalg.inv(information), atol=1e-10)
    step = np.linalg.solve(information, observe.T @ np.linalg.solve(noise[0].numpy(), residual[0].numpy()))
    assert np.allclose(posterior.states.position[0].numpy(), step[:3], atol=1e-10)
    p = torch.distributions.MultivariateNormal(torch.tensor(step), posterior.covariance[0])
    q = torch.distributions.MultivariateNormal(torch.zeros(20, dtype=DTYPE), density.covariance[0])
    assert float(surprise[0]) == pytest.approx(float(torch.distributions.kl_divergence(p, q)), rel=1e-6)


def test_float32_loses_no_digits_where_the_sensor_is_far_surer_than_the_belief() -> None:
    library = library_of("generic", std=0.3)
    rng = np.random.default_rng(4)
    root = rng.normal(size=(12, 12))
    exact = density_of(library, 0, np.zeros((1, 3)), root @ root.T + 0.01 * np.eye(12))
    noise = torch.diag(torch.tensor([1e-7] * 3 + [1e-6] * 3, dtype=DTYPE)).unsqueeze(0)
    residual = torch.tensor(rng.normal(size=(1, 6)) * 0.05, dtype=DTYPE)
    single = Density(
        ObjectStates(*(t.float() for t in dataclasses.astuple(exact.states))),
        exact.parameters.float(),
        exact.covariance.float(),
    )
    expected, _ = correct(exact, residual, noise)
    found, _ = correct(single, residual.float(), noise.float())
    std = torch.diagonal(expected.covariance, dim1=1, dim2=2).sqrt()
    off = (found.covariance.double() - expected.covariance).abs() / (std.unsqueeze(1) * std.unsqueeze(2))
    assert float(off[:, :6].max()) < 1e-5  # the Joseph form, of the same numbers, is off by 9e-4
    assert float(torch.linalg.eigvalsh(found.covariance.double()).min()) > 0.0
    assert torch.equal(found.covariance, found.covariance.mT)


def test_a_correction_in_place_and_with_a_root_at_hand_is_the_same() -> None:
    library = library_of("generic", std=0.3)
    density = density_of(library, 0, np.zeros((4, 3)), 0.02 * np.eye(12) + 0.01)
    noise = 1e-3 * torch.eye(6, dtype=DTYPE).repeat(4, 1, 1)
    seen = innovation(density, density.states.position + 0.01, density.states.orientation_xyzw, noise)
    plain, gained = correct(density, seen.residual, noise)
    part = density.copy()
    again, gained_again = correct(part.select(slice(1, 3)), seen.residual[1:3], noise[1:3], seen.root[1:3], True)
    assert torch.equal(again.covariance, plain.covariance[1:3])
    assert torch.equal(part.covariance[1:3], plain.covariance[1:3])
    assert torch.equal(part.covariance[[0, 3]], density.covariance[[0, 3]])
    assert torch.equal(gained_again, gained[1:3])


def test_rows_side_by_side_are_predicted_as_scattered_ones_are() -> None:
    library = library_of("person", "generic", std=0.1)
    position = np.arange(12.0).reshape(4, 3)
    density = density_of(library, 0, position, 0.02 * np.eye(12) + 0.01)
    around, one = Surroundings.empty(density.states.position), torch.ones(4, dtype=DTYPE)
    together = predict(density, np.array([0, 0, 1, 1]), library, around, one, DT_S).density
    order = [0, 2, 1, 3]
    mixed = predict(density.select(torch.tensor(order)), np.array([0, 1, 0, 1]), library, around, one, DT_S).density
    assert torch.equal(mixed.covariance[order], together.covariance)
    assert torch.equal(mixed.states.position[order], together.states.position)


@pytest.mark.parametrize("scattered", [False, True])
def test_classes_predicted_in_blocks_side_by_side_are_as_in_one_go(
    scattered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = library_of("person", "generic", std=0.1)
    position = np.random.default_rng(0).normal(size=(40, 3))
    density = density_of(library, 0, position, 0.02 * np.eye(12) + 0.01)
    around, one = Surroundings.empty(density.states.position), torch.ones(40, dtype=DTYPE)
    models = np.repeat([0, 1], [15, 25])
    models = np.random.default_rng(1).permutation(models) if scattered else models
    before = density.covariance.clone()
    awake = np.setdiff1d(np.arange(40), [3, 30])  # whoever is not to be advanced stays
    whole = predict(density, models, library, around, one, DT_S, rows=awake).density
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 8 * DTYPE.itemsize)
    parts = predict(density, models, library, around, one, DT_S, rows=awake).density
    assert torch.equal(parts.covariance, whole.covariance)
    assert torch.equal(parts.states.position, whole.states.position)
    assert torch.equal(parts.covariance[[3, 30]], before[[3, 30]])
    assert torch.equal(density.covariance, before)


@pytest.mark.parametrize(
    ("index", "run"), [([3, 4, 5], slice(3, 6)), ([7], slice(7, 8)), ([], None), ([1, 3], None), ([2, 1, 3, 4], None)]
)
def test_rows_one_after_the_other_are_a_run(index: list[int], run: slice | None) -> None:
    assert as_run(np.array(index, dtype=np.int64)) == run


def test_student_t_has_the_covariance_it_is_given() -> None:
    rng = np.random.default_rng(2)
    root = rng.normal(size=(3, 3))
    covariance, x, dof = root @ root.T, rng.normal(size=(5, 3)), 7.0
    shape = covariance * (dof - 2.0) / dof
    oracle = stats.multivariate_t(shape=shape, df=dof)
    got = student_t_log_density(torch.tensor(x), torch.tensor(covariance).repeat(5, 1, 1), dof)
    assert np.allclose(got.numpy(), oracle.logpdf(x), atol=1e-10)
    draws = oracle.rvs(200_000, random_state=3)
    assert np.allclose(np.cov(draws.T), covariance, rtol=0.05, atol=0.05)
    entropy = student_t_entropy(3, dof) + 0.5 * float(torch.linalg.slogdet(torch.tensor(covariance)).logabsdet)
    assert entropy == pytest.approx(float(oracle.entropy()), abs=1e-9)


def test_gaussian_log_density_is_scipys() -> None:
    x, v = np.array([[0.3, -0.2]]), np.array([[0.5, 2.0]])
    expected = stats.norm(0, np.sqrt(v)).logpdf(x).sum()
    assert float(gaussian_log_density(torch.tensor(x), torch.tensor(v))[0]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("family", ["generic", "person", "cat", "dog", "vehicle"])
def test_nis_is_within_its_chi_square_bounds_where_the_model_is_right(family: str) -> None:
    """Objects drawn from the model's own dynamics and noise, observed with the stated noise: 200 seeds at once."""
    library = library_of(family)
    n, steps = 200, 25
    rng = torch.Generator().manual_seed(7)
    model, index = library.models[0], np.zeros(n, dtype=np.int64)
    natural = library.natural(library.prior_mean.repeat(n, 1), torch.zeros(n, dtype=torch.int64))
    height = 0.5 * model.card.shape.extent_m[2]
    position = np.tile([0.0, 0.0, height], (n, 1))
    truth = ObjectStates.at_rest(torch.tensor(position), library.extent_mean.repeat(n, 1))
    truth = ObjectStates(
        truth.position,
        truth.orientation_xyzw,
        torch.tensor([[0.8, 0.0, 0.0]], dtype=DTYPE).repeat(n, 1),
        truth.angular_velocity,
        truth.extent_m,
    )
    start = np.diag([1e-6] * 6 + [1e-4] * 6)
    density = density_of(library, 0, position, start)
    density = Density(truth, density.parameters, density.covariance)
    noise_std = torch.tensor([0.01] * 3 + [0.02] * 3, dtype=DTYPE)
    noise = torch.diag(noise_std**2).repeat(n, 1, 1)
    total = 0.0
    used = natural[:, : len(model.parameter_names)]
    for _ in range(steps):
        around = Surroundings.empty(truth.position)
        moved = model.dynamics(truth, used, around.wrench, around.control, DT_S)
        q = white_acceleration(model.process_noise(truth, used, DT_S), DT_S)
        root = torch.linalg.cholesky(q + 1e-14 * torch.eye(12, dtype=DTYPE))
        kick = (root @ torch.randn(n, 12, 1, generator=rng, dtype=DTYPE)).squeeze(-1)
        from worldsim.filtering.density import retract

        truth, _ = retract(moved, density.parameters, torch.cat([kick, torch.zeros(n, 8, dtype=DTYPE)], dim=-1))
        density = predict(density, index, library, around, torch.ones(n, dtype=DTYPE), DT_S).density
        error = torch.randn(n, 6, generator=rng, dtype=DTYPE) * noise_std
        seen, _ = retract(truth, density.parameters, torch.cat([error, torch.zeros(n, 14, dtype=DTYPE)], dim=-1))
        found = innovation(density, seen.position, seen.orientation_xyzw, noise)
        total += float(found.nis.sum())
        density, _ = correct(density, found.residual, noise)
    low, high = stats.chi2(6 * n * steps).ppf([0.001, 0.999]) / (n * steps)
    # linearisation of the creatures' kinks costs a little: a tenth of a degree of freedom beside the bounds
    assert low - 0.15 < total / (n * steps) < high + 0.15, (family, total / (n * steps), low, high)


def test_too_many_parameters_are_refused_by_name() -> None:
    wide = model_of("generic")

    class Wide(type(wide)):  # type: ignore[misc]
        parameter_names = (*wide.parameter_names, "one_more")

    prior = wide.card.parameters[0].__class__("one_more", 1.0, 0.1)
    card = wide.card.replace(parameters=(*wide.card.parameters, prior))
    with pytest.raises(CardError, match="9 parameters, expected at most 8"):
        LoadedModels.of([Wide(card)], torch.device("cpu"), DTYPE)


def test_a_fixed_parameter_stays_fixed_and_a_free_one_is_learned() -> None:
    """A ball that slows teaches its rolling deceleration."""
    library = library_of("trolley", std=0.4)
    position = np.array([[0.0, 0.0, 0.5]])
    density = density_of(library, 0, position, np.diag([1e-6] * 6 + [0.25] * 6))
    noise = torch.diag(torch.tensor([1e-6] * 3 + [1e-4] * 3, dtype=DTYPE)).unsqueeze(0)
    true_rate, speed = 0.6, 2.0
    for k in range(1, 50):
        t = k * DT_S
        density = predict(
            density, np.zeros(1, dtype=np.int64), library, Surroundings.empty(density.states.position),
            torch.ones(1, dtype=DTYPE), DT_S,
        ).density  # fmt: skip
        seen = torch.tensor([[speed * t - 0.5 * true_rate * t * t, 0.0, 0.5]], dtype=DTYPE)
        found = innovation(density, seen, torch.tensor([UPRIGHT], dtype=DTYPE), noise)
        density, _ = correct(density, found.residual, noise)
    learned = float(library.natural(density.parameters, torch.zeros(1, dtype=torch.int64))[0, 1])
    assert learned == pytest.approx(true_rate, rel=0.2)
    assert float(density.covariance[0, 13, 13]) < 0.4**2 / 4


def test_an_impact_makes_unsure_by_a_share_of_its_jump_and_weight_alone_does_not() -> None:
    library = library_of("rigid_body")
    before = density_of(library, 0, np.zeros((4, 3)), 1e-4 * np.eye(12))

    def after(jump: tuple[float, ...], spin: tuple[float, ...]) -> ObjectStates:
        moved = torch.zeros(4, 3, dtype=DTYPE)
        moved[:, 0] = torch.tensor(jump, dtype=DTYPE)
        turned = torch.zeros(4, 3, dtype=DTYPE)
        turned[:, 2] = torch.tensor(spin, dtype=DTYPE)
        return dataclasses.replace(before.states, linear_velocity=moved, angular_velocity=turned)

    weight = 2.0 * 9.81 * DT_S  # what a thing may lose that lies, or is caught, in a step
    ends = after((0.9 * weight, 2.0 + weight, 2.0 + weight, 0.0), (3.0, 3.0, 3.0, 3.0))
    touched, ball = torch.tensor([True, True, False, True]), torch.tensor([False, False, False, True])
    added = _impact_noise(before, ends, touched, ball, DT_S)
    # a fifth of what is beyond weight, and of the jump in spin; a third of that of a ball, however soft the touch
    linear, angular = [0.0, 0.4**2, 0.0, 0.0], [0.0, 0.6**2, 0.0, 1.0]
    assert added[:, 6:9].mean(-1).tolist() == pytest.approx(linear)
    assert added[:, 9:12].mean(-1).tolist() == pytest.approx(angular)
    assert torch.allclose(added[:, :6], added[:, 6:] * (0.5 * DT_S) ** 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": Shape("cube", (1.0, 1.0, 1.0), (0.1, 0.1, 0.1))}, "shape 'cube'"),
        ({"shape": Shape("box", (1.0, 0.0, 1.0), (0.1, 0.1, 0.1))}, "expected three edges above 0"),
        ({"shape": Shape("box", (1.0, 1.0), (0.1, 0.1, 0.1))}, "expected three edges above 0"),
        ({"descriptor": Descriptor(appearance=(1.0, 2.0))}, "an appearance of 2 numbers, expected 12"),
        (
            {"descriptor": Descriptor((0.5,) * 12, (math.nan,) * 12)},
            "an appearance_std of 12 numbers, expected 12 of 0",
        ),
    ],
)
def test_a_card_whose_numbers_cannot_be_is_not_loaded(changes: dict[str, object], message: str) -> None:
    cat = model_of("cat")
    with pytest.raises(CardError, match=message):
        LoadedModels.of([type(cat)(cat.card.replace(**changes))], torch.device("cpu"), DTYPE)


def test_a_prior_that_is_no_number_is_not_loaded() -> None:
    cat = model_of("cat")
    first, *rest = cat.card.parameters
    nameless = dataclasses.replace(first, mean=math.nan, transform="identity")
    with pytest.raises(CardError, match="'burst_speed_m_s' has mean nan"):
        LoadedModels.of([type(cat)(cat.card.replace(parameters=(nameless, *rest)))], torch.device("cpu"), DTYPE)
