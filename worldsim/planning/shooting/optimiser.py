"""The contracts of planning by shooting: a model that prices action sequences, and a search for cheap ones.

Both are structural. Any object with ``get_cost(info_dict, action_candidates)`` is a model, ours or a stranger's: the
shape is that of the solvers of stable-worldmodel (Costable), which is not imported.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.errors import ConfigurationError, WorldsimError


@runtime_checkable
class CandidateCost(Protocol):
    """Prices candidate action sequences; lower is better."""

    def get_cost(
        self, info_dict: Mapping[str, Any], action_candidates: Float[Tensor, "B S T U"]
    ) -> Float[Tensor, "B S"]:
        """Return the expected cost of each candidate.

        Args:
            info_dict: what is known of each of B worlds; arrays and tensors have the axes [B, S, ...].
            action_candidates: S sequences of T actions for each world, each number in [-1, 1].
        """
        ...


@dataclass(frozen=True, slots=True)
class Shot:
    """What a search found.

    Attributes:
        actions: [B, T, U] the chosen sequence of each world.
        cost: [B] what the model says it costs.
        asked: how many candidates the model priced for each world.
    """

    actions: Float[Tensor, "B T U"]
    cost: Float[Tensor, " B"]
    asked: int


class ShootingOptimiser(abc.ABC):
    """Searches for action sequences that a model finds cheap."""

    @abc.abstractmethod
    def optimise(
        self,
        model: CandidateCost,
        info_dict: Mapping[str, Any],
        start: Float[Tensor, "B T U"],
        rng: np.random.Generator,
    ) -> Shot:
        """Return the best sequences found, each action in [-1, 1].

        Args:
            model: prices candidates.
            info_dict: what is known of each of B worlds; arrays and tensors have the axes [B, ...].
            start: where the search begins: the last plan, shifted, or zeros.
            rng: the only source of randomness.

        Raises:
            WorldsimError: the model's costs have another shape than [B, S], or are not finite.
        """


def for_each_candidate(info_dict: Mapping[str, Any], candidates: int) -> dict[str, Any]:
    """Return what is known of B worlds, [B, ...], for S candidates of each, [B, S, ...]; anything else as it is.

    >>> for_each_candidate({"goal": np.zeros((2, 3))}, 5)["goal"].shape
    (2, 5, 3)
    """
    expanded: dict[str, Any] = {}
    for name, value in info_dict.items():
        if isinstance(value, Tensor):
            expanded[name] = value.unsqueeze(1).expand(value.shape[0], candidates, *value.shape[1:])
        elif isinstance(value, np.ndarray):
            expanded[name] = np.repeat(value[:, None], candidates, axis=1)
        else:
            expanded[name] = value
    return expanded


def priced(
    model: CandidateCost, info_dict: Mapping[str, Any], candidates: Float[Tensor, "B S T U"]
) -> Float[Tensor, "B S"]:
    """Return the model's costs, checked; errors as `ShootingOptimiser.optimise`."""
    cost = model.get_cost(for_each_candidate(info_dict, candidates.shape[1]), candidates)
    if not isinstance(cost, Tensor) or cost.shape != candidates.shape[:2]:
        shape = tuple(cost.shape) if isinstance(cost, Tensor) else type(cost).__name__
        raise WorldsimError(
            f"{type(model).__name__}.get_cost returned {shape}, expected a tensor {tuple(candidates.shape[:2])}: one "
            "cost a candidate."
        )
    if not bool(torch.isfinite(cost).all()):
        raise WorldsimError(f"{type(model).__name__}.get_cost returned costs that are not finite.")
    return cost


def smooth_noise(
    shape: tuple[int, int, int, int], exponent: float, rng: np.random.Generator
) -> Float[Tensor, "B S T U"]:
    """Return noise of unit variance whose power falls with frequency f as ``f ** -exponent``, along the axis T.

    Source: Timmer & Koenig 1995, "On generating power law noise"; for planning Pinneri et al. 2020, section 3.1. Ours
    leaves the lowest frequency no larger than the second lowest, so that the mean of a sequence stays bounded.

    Args:
        shape: (B, S, T, U).
        exponent: 0 for white noise, 2 for a random walk.
        rng: draws it.
    """
    worlds, samples, steps, width = shape
    frequency = np.fft.rfftfreq(steps)
    frequency[0] = frequency[1] if steps > 1 else 1.0
    power = frequency ** (-exponent / 2.0)
    parts = rng.standard_normal((2, worlds, samples, width, len(frequency)))
    real = [0, -1] if steps % 2 == 0 else [0]  # these have no imaginary part: the real one carries all their power
    parts[0][..., real] *= np.sqrt(2.0)
    spectrum = (parts[0] + 1j * parts[1]) * power
    drawn = np.fft.irfft(spectrum, n=steps, axis=-1)
    times = np.full(len(frequency), 2.0)  # how often a frequency stands in the whole spectrum: its mirror image counts
    times[real] = np.sqrt(2.0)
    drawn *= steps / np.linalg.norm(times * power)
    return torch.from_numpy(np.ascontiguousarray(drawn.transpose(0, 1, 3, 2))).to(torch.float32)


def check_counts(name: str, **counts: int) -> None:
    """Check that every count is at least 1.

    Raises:
        ConfigurationError: one is not.
    """
    for field, value in counts.items():
        if value < 1:
            raise ConfigurationError(f"{name}: {field} is {value}, expected at least 1.")
