"""What two robots learned of one kind of thing, put together.

Each learned from the same prior, so the pooled belief is, in information form,

    precision = precision_a + precision_b - precision_prior,    and the same for precision x mean,

the prior counted once. Sizes and looks are spreads over instances, not beliefs that sharpen: their moments are
mixed by the number of frames behind each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from worldsim.errors import CardError
from worldsim.types.card import Descriptor, Evidence, ModelCard, ParameterPrior, Shape

__all__ = ["pool_cards"]

_FIXED_STD = 1e-6  # a parameter this sure is fixed, not learned


def pool_cards(first: ModelCard, second: ModelCard, prior: ModelCard | None = None) -> ModelCard:
    """Return one card that holds the evidence of both, with both as its parents; publish it as the next version.

    Args:
        first: what one robot learned.
        second: what the other learned.
        prior: the card that both began with (their common parent); None where each began with nothing in common,
            then nothing is subtracted.

    Raises:
        CardError: the cards are not of one family and one set of parameters.
    """
    for other in (second, prior):
        if other is not None and (other.family, _signature(other)) != (first.family, _signature(first)):
            raise CardError(
                f"cannot pool {first.model_id!r} ({first.family}, {list(first.parameter_names)}) with "
                f"{other.model_id!r} ({other.family}, {list(other.parameter_names)}): not the same parameters."
            )
    share = _share(first.evidence.frames, second.evidence.frames)
    evidence = Evidence(
        first.evidence.frames + second.evidence.frames,
        first.evidence.log_evidence_gain_nats + second.evidence.log_evidence_gain_nats,
        "pooled",
    )
    return dataclasses.replace(
        first,
        version=0,
        parameters=_pooled_parameters(first, second, prior),
        shape=_pooled_shape(first.shape, second.shape, share),
        descriptor=_pooled_descriptor(first.descriptor, second.descriptor, share),
        provenance=f"Pooled from {first.model_id}@{first.version} and {second.model_id}@{second.version}.",
        tags=tuple(dict.fromkeys((*first.tags, *second.tags)))[:32],
        evidence=evidence,
        parents=(f"{first.model_id}@{first.version}", f"{second.model_id}@{second.version}"),
        sha256="",
    )


def _signature(card: ModelCard) -> list[tuple[str, str]]:
    return [(p.name, p.transform) for p in card.parameters]


def _share(first: int, second: int) -> float:
    return first / (first + second) if first + second else 0.5


def _pooled_parameters(first: ModelCard, second: ModelCard, prior: ModelCard | None) -> tuple[ParameterPrior, ...]:
    pooled = []
    for index, (a, b) in enumerate(zip(first.parameters, second.parameters, strict=True)):
        before = None if prior is None else prior.parameters[index]
        if min(a.std, b.std) < _FIXED_STD:
            pooled.append(a if a.std <= b.std else b)
            continue
        precision = a.std**-2 + b.std**-2
        information = a.std**-2 * _transformed(a) + b.std**-2 * _transformed(b)
        if before is not None and before.std >= _FIXED_STD:
            less = precision - before.std**-2
            if less > 0.0:  # neither learned anything where this fails: both still are the prior
                precision, information = less, information - before.std**-2 * _transformed(before)
        mean = information / precision
        natural = float(np.exp(mean)) if a.transform == "log" else float(mean)
        pooled.append(dataclasses.replace(a, mean=natural, std=float(precision**-0.5)))
    return tuple(pooled)


def _transformed(prior: ParameterPrior) -> float:
    return float(np.log(prior.mean)) if prior.transform == "log" else prior.mean


def _pooled_shape(a: Shape, b: Shape, share: float) -> Shape:
    mean, std = _mixed(a.extent_m, a.extent_std_m, b.extent_m, b.extent_std_m, share)
    return Shape(a.kind, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


def _pooled_descriptor(a: Descriptor, b: Descriptor, share: float) -> Descriptor:
    names = a.motion.keys() | b.motion.keys()
    motion = {n: share * a.motion.get(n, b.motion.get(n, 0.0)) + (1.0 - share) * b.motion.get(n, a.motion.get(n, 0.0))
              for n in sorted(names)}  # fmt: skip
    if a.appearance is None or b.appearance is None:
        known = a if a.appearance is not None else b
        return Descriptor(known.appearance, known.appearance_std, motion)
    zero = tuple([0.0] * len(a.appearance))
    mean, std = _mixed(a.appearance, a.appearance_std or zero, b.appearance, b.appearance_std or zero, share)
    return Descriptor(tuple(mean), tuple(std), motion)


def _mixed(
    mean_a: Sequence[float], std_a: Sequence[float], mean_b: Sequence[float], std_b: Sequence[float], share: float
) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of a mixture of two, `share` of it the first."""
    ma, sa, mb, sb = (np.asarray(v, dtype=np.float64) for v in (mean_a, std_a, mean_b, std_b))
    mean: Float[np.ndarray, " d"] = share * ma + (1.0 - share) * mb
    second = share * (sa**2 + ma**2) + (1.0 - share) * (sb**2 + mb**2)
    return [float(v) for v in mean], [float(v) for v in np.sqrt(np.maximum(second - mean**2, 0.0))]
