"""Hypotheses about where a hidden thing is: what a look tells of them, and what a future is expected to tell."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.errors import ConfigurationError
from worldsim.planning.planar.hypotheses import Exclusive

FOUND = 0.5
"""Probability that one look at a place shows a thing that is there: what stands in the way is believed, not known."""
_MADE_UP = 0.003  # and that it shows one where there is none


@dataclass(frozen=True, slots=True)
class Whereabouts(Exclusive):
    """K mutually exclusive hypotheses: the thing that plays a role is at one of K places.

    Attributes:
        log_weight: [K] logarithms of their probabilities, up to a constant.
        place: [K, 2] m, where the thing is under each.
        role: that it plays in the preferences.
    """

    log_weight: Float[Tensor, " K"]
    place: Float[Tensor, "K 2"]
    role: str

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ConfigurationError: they do not belong together.
        """
        if self.place.shape != (self.log_weight.shape[0], 2):
            raise ConfigurationError(
                f"Whereabouts: {self.log_weight.shape[0]} weights and places of shape {tuple(self.place.shape)}; "
                "expected one row of x and y a hypothesis."
            )

    @classmethod
    def anywhere(cls, place: Float[Tensor, "K 2"], role: str) -> Whereabouts:
        """Return one hypothesis a place, equally probable.

        >>> Whereabouts.anywhere(torch.zeros(4, 2), "hidden").posterior
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
        """
        return cls(torch.zeros(len(place)), place, role)

    def observe(self, looked: Bool[Tensor, " K"], shown: Float[Tensor, "D 2"], near_m: float) -> Whereabouts:
        """Return what is believed after one look round.

        Bayes' rule. A thing that shows within `near_m` of a place is taken for the one at that place, and moves it.

        Args:
            looked: [K] whether each place was in view.
            shown: [D, 2] m, where things that could be the one were seen.
            near_m: how far from a place a thing still counts as being at it.
        """
        weight, place = self.log_weight.clone(), self.place.clone()
        hit = torch.zeros(len(weight), dtype=torch.bool)
        for at in shown:
            away = (self.place - at).norm(dim=1)
            nearest = int(away.argmin())
            if float(away[nearest]) <= near_m:
                hit[nearest], place[nearest] = True, at
        weight = weight + torch.where(looked & ~hit, math.log((1.0 - FOUND) / (1.0 - _MADE_UP)), 0.0)
        weight = weight + torch.where(hit, math.log(FOUND / _MADE_UP), 0.0)
        return replace(self, log_weight=weight - torch.logsumexp(weight, dim=0), place=place)


def search_information(
    looks: Float[Tensor, "S T K"], posterior: Float[Tensor, " K"], live: Bool[Tensor, " K"]
) -> Float[Tensor, " S"]:
    """Return what each of S futures is expected to tell about where the thing is, nats.

    Half of it is the information that will have been gained at the end, half the mean over all steps: what is known
    sooner can be acted on for longer, and a look that is put off to the end of every horizon is never taken. Only live
    hypotheses count, renormalised: what is known well enough is worth no question.

    Args:
        looks: [S, T, K] whether each place is in view at each step, 0 to 1.
        posterior: [K] probabilities.
        live: [K] which count.
    """
    if int(live.sum()) < 2:
        return looks.new_zeros(looks.shape[0])
    told = information_by_step(looks[..., live], posterior[live].to(looks.dtype))
    return 0.5 * (told.mean(dim=1) + told[:, -1])


def missed_by_step(looks: Float[Tensor, "S T K"]) -> Float[Tensor, "S T K"]:
    """Return the probability that the thing has not shown at each place by each step though it is there."""
    return (1.0 - FOUND) ** looks.cumsum(dim=1)


def information_by_step(looks: Float[Tensor, "S T K"], weight: Float[Tensor, " K"]) -> Float[Tensor, "S T"]:
    """Return the mutual information between the thing's place and all that has shown by each step, nats.

    In closed form: by then the thing was found at place k with probability ``p_k f_k``, where
    ``f_k = 1 - (1 - FOUND)^looks``, or it was found nowhere, so the information is the entropy of that outcome less its
    expectation given the place. A look that shows what is not there is left out: it is 200 times rarer.

    Args:
        looks: [S, T, K] whether each place is in view at each step, 0 to 1.
        weight: [K] probabilities, up to a factor.
    """
    p, missed = weight / weight.sum(), missed_by_step(looks)
    found = 1.0 - missed
    at = p * found
    nowhere = (1.0 - at.sum(dim=-1)).clamp(min=0.0)
    outcome = -torch.special.xlogy(at, at).sum(dim=-1) - torch.special.xlogy(nowhere, nowhere)
    given = -(p * (torch.special.xlogy(found, found) + torch.special.xlogy(missed, missed))).sum(dim=-1)
    return (outcome - given).clamp(min=0.0)
