"""One trial: several models run in shadow on the same object, weighed by what they predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.filtering.correct import correct, innovation
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.likelihood import log_diagonal, whitened_student_t
from worldsim.types.belief import TANGENT_DIM

_DOF = 6.0
_EVIDENCE_LIMIT_NATS = 15.0  # one frame may be a false detection: it must not decide alone
_LEAST_NATS = -1e30  # below every log density that is a number
_FADING_FROM = 18.0  # NIS (6 degrees of freedom) above which a shadow filter is widened to keep up
_FADING_LIMIT = 100.0


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """When a trial ends.

    Attributes:
        error_rate: accepted probability of a wrong verdict, both ways: the sequential probability ratio test of
            Wald (1947, section 3) ends when one kind has ``1 - error_rate`` of the posterior.
        min_frames: frames that a verdict needs at least (a first glimpse is one look, not many).
        horizon_s: a trial that is still open then is decided for the best hypothesis.
        generic_prior: prior probability that nothing in the registry fits.
    """

    error_rate: float = 0.01
    min_frames: int = 8
    horizon_s: float = 2.0
    generic_prior: float = 0.1


@dataclass(frozen=True, slots=True)
class Trial:
    """H hypotheses about one object.

    Attributes:
        object_id: whom it is about.
        opened_s: when, s.
        model_index: [H] int64 into the library, on the host; the last one is the generic model.
        density: H rows, each model's own belief of the same object.
        log_weight: [H] log prior plus log predictive density so far (prequential), nats.
        frames: frames weighed.
        borrowed: ids that were loaded for this trial and go back if they lose.
        believed: id of the model that raised the alarm.
    """

    object_id: int
    opened_s: float
    model_index: Int[np.ndarray, " H"]
    density: Density
    log_weight: Float[np.ndarray, " H"]
    frames: int
    borrowed: tuple[str, ...]
    believed: str

    def posterior(self) -> Float[np.ndarray, " H"]:
        """Return the posterior probability of each hypothesis."""
        weight = np.exp(self.log_weight - self.log_weight.max())
        return weight / weight.sum()

    def moved(self, density: Density) -> Trial:
        """Return the trial after a frame in which the object was not seen."""
        return dataclasses.replace(self, density=density)

    def renumbered(self, new_index: Int[np.ndarray, " L"]) -> Trial:
        """Return the trial after the library was renumbered (`new_index` by old index)."""
        return dataclasses.replace(self, model_index=new_index[self.model_index])


def open_trial(  # noqa: PLR0913 - what a trial starts from, named one by one
    object_id: int,
    now_s: float,
    row: Density,
    candidates: Sequence[int],
    generic: int,
    attribute_evidence: Float[np.ndarray, " L"],
    library: LoadedModels,
    borrowed: tuple[str, ...],
    believed: str,
    settings: TrialSettings,
) -> Trial:
    """Start a trial of `candidates` and the generic model from the object's present belief.

    Args:
        object_id: whom it is about.
        now_s: time, s.
        row: the object's belief, one row, as the generic model tracked it.
        candidates: library indices to test.
        generic: library index of the generic model.
        attribute_evidence: [L] log evidence of size and appearance by model: seen before any motion was.
        library: the loaded models, candidates included.
        borrowed: ids to return if they lose.
        believed: id of the model that raised the alarm.
        settings: priors and limits.
    """
    index = np.array([*candidates, generic], dtype=np.int64)
    h = len(index)
    models = torch.as_tensor(index, device=row.parameters.device)
    covariance = row.covariance.repeat(h, 1, 1)
    covariance[:, TANGENT_DIM:, :] = 0.0
    covariance[:, :, TANGENT_DIM:] = 0.0
    covariance[:, TANGENT_DIM:, TANGENT_DIM:] = torch.diag_embed(library.prior_std[models] ** 2)
    parameters = library.prior_mean[models].clone()
    # the generic hypothesis goes on from what it has learned of this object
    parameters[-1], covariance[-1] = row.parameters[0], row.covariance[0]
    density = Density(row.states.select(torch.zeros_like(models)), parameters, covariance)
    share = (1.0 - settings.generic_prior) / max(h - 1, 1)
    prior = np.array([share] * (h - 1) + [settings.generic_prior if h > 1 else 1.0])
    return Trial(object_id, now_s, index, density, np.log(prior) + attribute_evidence[index], 0, borrowed, believed)


def weigh(
    trial: Trial,
    predicted: Density,
    position: Float[Tensor, "1 3"],
    orientation_xyzw: Float[Tensor, "1 4"],
    noise: Float[Tensor, "1 6 6"],
) -> Trial:
    """Fold one observed pose into the trial: weights by predictive density, then every shadow filter corrected."""
    h = len(predicted)
    noise = noise.expand(h, 6, 6)
    seen = innovation(predicted, position.expand(h, 3), orientation_xyzw.expand(h, 4), noise)
    log_det = 2.0 * log_diagonal(seen.root).sum(-1)
    log_density = whitened_student_t(seen.nis, log_det, seen.white.shape[-1], _DOF).cpu().numpy()
    told = np.where(np.isnan(log_density), -np.inf, log_density)  # a model that computes no number predicts nothing
    gained = np.maximum(told - max(told.max(), _LEAST_NATS), -_EVIDENCE_LIMIT_NATS)
    fade = (seen.nis / _FADING_FROM).clamp(1.0, _FADING_LIMIT)
    corrected, _ = correct(faded(predicted, fade), seen.residual, noise)
    return dataclasses.replace(trial, density=corrected, log_weight=trial.log_weight + gained, frames=trial.frames + 1)


def faded(density: Density, factor: Float[Tensor, " N"]) -> Density:
    """Return rows whose state covariance is widened by `factor` (strong tracking; Zhou and Frank 1996, eq. 6).

    Parameters keep theirs, and their correlations with the state are scaled so that it stays positive definite.
    """
    scale = torch.ones(density.covariance.shape[:2], dtype=factor.dtype, device=factor.device)
    scale[:, :TANGENT_DIM] = factor.sqrt().unsqueeze(-1)
    widened = (density.covariance * scale.unsqueeze(1)).mul_(scale.unsqueeze(2))
    return Density(density.states, density.parameters, widened)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trial ended.

    Attributes:
        outcome: ``adopt`` a candidate, or ``novel``: none fits.
        row: which hypothesis won.
        probability: posterior probability of the winner's kind.
    """

    outcome: Literal["adopt", "novel"]
    row: int
    probability: float


def judge(trial: Trial, now_s: float, kinds: Sequence[str], settings: TrialSettings) -> Verdict | None:
    """Return the verdict, or None while the trial goes on.

    Several cards of one kind are one claim: their probabilities add, and the best of them wins.
    """
    posterior = trial.posterior()
    claim = [kinds[m] for m in trial.model_index[:-1]] + [None]
    mass: dict[str | None, float] = {}
    for kind, p in zip(claim, posterior, strict=True):
        mass[kind] = mass.get(kind, 0.0) + float(p)
    best = max(mass, key=lambda kind: mass[kind])
    sure = mass[best] >= 1.0 - settings.error_rate and trial.frames >= settings.min_frames
    late = now_s - trial.opened_s >= settings.horizon_s - 1e-9 and trial.frames > 0
    if not (sure or late):
        return None
    if best is None:
        return Verdict("novel", len(posterior) - 1, mass[best])
    row = max((i for i, kind in enumerate(claim) if kind == best), key=lambda i: posterior[i])
    return Verdict("adopt", row, mass[best])
