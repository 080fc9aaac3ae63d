"""Opening a new model: what was learned of a thing that nothing fits becomes a card of its own."""

from __future__ import annotations

import hashlib

import numpy as np

from worldsim.contracts.object_model import ObjectModel
from worldsim.types.belief import TANGENT_DIM, WorldBelief
from worldsim.types.card import Descriptor, Evidence, ModelCard, ParameterPrior, Shape

_INSTANCE_SHARE = 0.08  # one instance was seen: others of its kind differ by about as much as other kinds' do
_INSTANCE_LOOK = 0.08
_PARAMETER_SPREAD = 0.15  # of each coefficient, and its floor: the next one will not fly quite the same
_NOISE_STD = 0.3
_NOISE_NAMES = ("noise_h", "noise_v")


def learned_card(
    belief: WorldBelief,
    slot: int,
    template: ObjectModel,
    motion: dict[str, float],
    frames: int,
    log_evidence_gain_nats: float,
) -> ModelCard:
    """Return a card for the kind of thing in `slot`, from its posterior under the broad `template` model.

    The prior of each coefficient is the instance's posterior widened by how much instances of a kind differ; the
    learned scale of the process noise goes into the noise densities.
    """
    mean = belief.parameters[slot].detach().cpu().numpy()
    spread = np.sqrt(np.diagonal(belief.joint_covariance[slot].detach().cpu().numpy())[TANGENT_DIM:].clip(0.0))
    scale = float(belief.noise_scale[slot])
    priors = []
    for column, prior in enumerate(template.card.parameters):
        value, std = float(mean[column]), float(spread[column])
        if prior.name in _NOISE_NAMES:
            priors.append(ParameterPrior(prior.name, float(np.exp(value)) * scale, _NOISE_STD, prior.unit, "log"))
            continue
        width = float(np.hypot(std, _PARAMETER_SPREAD * max(abs(value), 0.2)))
        natural = float(np.exp(value)) if prior.transform == "log" else value
        priors.append(ParameterPrior(prior.name, natural, width, prior.unit, prior.transform))
    extent = belief.extent_m[slot].detach().cpu().numpy()
    look = belief.appearance[slot].detach().cpu().numpy()
    name = _name(extent, look, mean)
    return ModelCard(
        model_id=f"learned/{name}",
        version=1,
        kind=name,
        family=template.family,
        parameters=tuple(priors),
        shape=Shape(
            "box",
            tuple(float(v) for v in extent),  # type: ignore[arg-type]
            tuple(float(v) for v in _INSTANCE_SHARE * extent),  # type: ignore[arg-type]
        ),
        descriptor=Descriptor(tuple(look.tolist()), (_INSTANCE_LOOK,) * len(look), motion)
        if np.isfinite(look).all()
        else Descriptor(motion=motion),
        provenance="learned online by worldsim from one instance that no model in the registry explained",
        tags=("learned",),
        evidence=Evidence(frames, log_evidence_gain_nats, "online"),
        parents=(f"{template.card.model_id}@{template.card.version}",),
    )


def _name(extent: np.ndarray, look: np.ndarray, mean: np.ndarray) -> str:
    """Return a name that is the same for the same learned numbers, and for nothing else."""
    numbers = np.nan_to_num(np.concatenate([extent, look, mean]).round(9))
    return "unnamed-" + hashlib.sha256(numbers.astype("<f8").tobytes()).hexdigest()[:8]
