"""Trials: the right model wins, several cards of one kind are one claim, and nothing fitting is a verdict too."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.models.cards import card_of, model_of
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import predict
from worldsim.filtering.surroundings import Surroundings
from worldsim.hypotheses.novelty import learned_card
from worldsim.hypotheses.trial import Trial, TrialSettings, judge, open_trial, weigh
from worldsim.inference.slots import empty_belief
from worldsim.types import Control, ObjectStates

DTYPE = torch.float64
DT_S = 0.05
SETTINGS = TrialSettings()
NOISE = torch.diag(torch.tensor([1e-4] * 3 + [4e-4] * 3, dtype=DTYPE)).unsqueeze(0)


def library_of(*families: str) -> LoadedModels:
    return LoadedModels.of([model_of(f) for f in families], torch.device("cpu"), DTYPE)


def row(library: LoadedModels, height: float) -> Density:
    states = ObjectStates.at_rest(torch.tensor([[2.0, 0.0, height]], dtype=DTYPE), torch.full((1, 3), 0.4, dtype=DTYPE))
    covariance = torch.zeros(1, 20, 20, dtype=DTYPE)
    covariance[0] = torch.diag(torch.tensor([1e-4] * 6 + [1.0] * 6 + [0.09] * 8, dtype=DTYPE))
    return Density(states, library.prior_mean[-1:].clone(), covariance)


def trial_of(library: LoadedModels, height: float = 0.2) -> Trial:
    candidates = list(range(len(library) - 1))
    return open_trial(
        7, 0.0, row(library, height), candidates, len(library) - 1, np.zeros(len(library)), library, (), "x", SETTINGS
    )


def run(trial: Trial, library: LoadedModels, path: np.ndarray, threat: tuple[float, float, float] | None) -> Trial:
    """Weigh a trial on a path of positions, upright, with a mover standing at `threat`."""
    rng = np.random.default_rng(4)
    h = len(trial.model_index)
    for point in path:
        position = trial.density.states.position
        control = Control.none(position)
        if threat is not None:
            here = torch.tensor([threat], dtype=DTYPE).repeat(h, 1)
            control = dataclasses.replace(
                control, neighbour_position=here, neighbour_known=torch.ones(h, dtype=torch.bool)
            )
        around = dataclasses.replace(Surroundings.empty(position), control=control, obstacles=None)
        ahead = predict(trial.density, trial.model_index, library, around, torch.ones(h, dtype=DTYPE), DT_S).density
        seen = torch.tensor(point + rng.normal(0, 0.01, 3), dtype=DTYPE).reshape(1, 3)
        trial = weigh(trial, ahead, seen, torch.tensor([[0.0, 0, 0, 1.0]], dtype=DTYPE), NOISE)
    return trial


def walk(velocity: float, frames: int, height: float = 0.2) -> np.ndarray:
    t = DT_S * np.arange(1, frames + 1)
    return np.stack([2.0 + velocity * t, 0.0 * t, np.full(frames, height)], axis=1)


def test_what_comes_is_a_dog_and_what_flees_is_a_cat() -> None:
    library = library_of("cat", "dog", "generic")
    comes = run(trial_of(library), library, walk(-1.5, 12), (-2.5, 0.0, 0.5))  # still far from whom it means
    assert library.kinds[comes.model_index[int(np.argmax(comes.posterior()))]] == "dog"
    t = DT_S * np.arange(1, 13)
    start = 2.0 + 1.8 * (t - (1.0 - np.exp(-4.0 * t)) / 4.0)  # from rest to a burst, as something comes near
    flight = np.stack([start, 0.0 * t, np.full(12, 0.2)], axis=1)
    flees = run(trial_of(library), library, flight, (0.0, 0.0, 0.5))
    assert library.kinds[flees.model_index[int(np.argmax(flees.posterior()))]] == "cat"


def test_what_hovers_is_neither() -> None:
    library = library_of("cat", "dog", "person", "generic")
    trial = run(trial_of(library, 1.8), library, walk(0.8, 12, 1.8), None)
    verdict = judge(trial, 0.6, library.kinds, SETTINGS)
    assert verdict is not None
    assert verdict.outcome == "novel"
    assert verdict.probability > 0.99


def test_a_verdict_needs_its_frames_and_comes_at_the_horizon_at_the_latest() -> None:
    library = library_of("cat", "dog", "generic")
    trial = run(trial_of(library), library, walk(-1.5, 3), (0.0, 0.0, 0.5))
    assert judge(trial, 0.15, library.kinds, SETTINGS) is None
    assert judge(trial, SETTINGS.horizon_s, library.kinds, SETTINGS) is not None


def test_two_cards_of_one_kind_are_one_claim() -> None:
    twin = dataclasses.replace(card_of("cat"), model_id="cat/twin")
    cat = model_of("cat")
    library = LoadedModels.of([cat, type(cat)(twin), model_of("generic")], torch.device("cpu"), DTYPE)
    trial = dataclasses.replace(trial_of(library), log_weight=np.array([0.0, 0.0, -8.0]), frames=10)
    verdict = judge(trial, 0.5, library.kinds, SETTINGS)
    assert verdict is not None
    assert verdict.outcome == "adopt"
    assert verdict.probability == pytest.approx(1.0, abs=1e-3)


def test_one_false_detection_does_not_decide() -> None:
    library = library_of("cat", "dog", "generic")
    trial = trial_of(library)
    before = trial.log_weight.copy()
    after = run(trial, library, np.array([[9.0, 9.0, 0.2]]), None)
    assert (np.abs(after.log_weight - before) <= 15.0 + 1e-9).all()


@pytest.mark.parametrize("broken", [[0], [0, 1, 2]])
def test_a_model_that_computes_no_number_loses_and_spoils_nobody_elses_trial(broken: list[int]) -> None:
    library = library_of("dog", "cat", "generic")
    trial = trial_of(library)
    trial.density.states.position[broken] = torch.nan
    seen, upright = torch.tensor([[2.0, 0.0, 0.2]], dtype=DTYPE), torch.tensor([[0.0, 0, 0, 1.0]], dtype=DTYPE)
    weighed = weigh(trial, trial.density, seen, upright, NOISE)
    assert np.isfinite(weighed.log_weight).all()
    lost = (weighed.log_weight - trial.log_weight < -10.0).tolist()
    assert lost == [k in broken for k in range(3)]


def test_a_learned_card_is_a_valid_model_and_carries_what_was_learned() -> None:
    library = library_of("generic")
    belief = empty_belief(1, torch.device("cpu"), DTYPE)
    parameters = library.prior_mean.clone()
    parameters[0, 1] = 0.7  # turn rate
    covariance = belief.joint_covariance.clone()
    covariance[0, 12:, 12:] = 0.01 * torch.eye(8, dtype=DTYPE)
    belief = dataclasses.replace(belief, parameters=parameters, joint_covariance=covariance)
    card = learned_card(belief, 0, library.models[0], {"speed_mean": 1.0}, 60, 12.0)
    model = type(library.models[0])(card)
    turn = card.parameters[1]
    assert turn.name == "turn_rate_per_s"
    assert turn.mean == pytest.approx(0.7)
    # posterior (0.1) and the spread between instances (15 % of 0.7), in quadrature
    assert turn.std == pytest.approx(np.hypot(0.1, 0.15 * 0.7), rel=1e-6)
    assert "learned" in card.tags
    assert card.parents == ("generic/test@1",)
    assert model.card.evidence.frames == 60
    assert card.model_id == learned_card(belief, 0, library.models[0], {}, 1, 0.0).model_id
