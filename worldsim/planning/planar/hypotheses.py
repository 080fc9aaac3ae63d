"""Hypotheses about what is pushed: how much each thing resists, and which of them plays a role."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.errors import ConfigurationError

LIVE = 0.02
"""A hypothesis less probable than this is dead: nothing is done to refute it any further."""


class Exclusive:
    """K mutually exclusive hypotheses, by the logarithms of their probabilities (up to a constant)."""

    __slots__ = ()
    log_weight: Float[Tensor, " K"]

    @property
    def posterior(self) -> Float[Tensor, " K"]:
        """Probabilities."""
        return torch.softmax(self.log_weight, dim=0)

    @property
    def live(self) -> Bool[Tensor, " K"]:
        """Which hypotheses are still worth a question."""
        return self.posterior >= LIVE


@dataclass(frozen=True, slots=True)
class Hypotheses(Exclusive):
    """K mutually exclusive hypotheses about N things that can be pushed.

    Attributes:
        log_weight: [K] logarithms of their probabilities, up to a constant.
        resistance_m_s: [K, N] under each, by how much pushing each thing slows the own body, m/s.
        roles: role -> [K] index of the thing that plays it under each hypothesis.
    """

    log_weight: Float[Tensor, " K"]
    resistance_m_s: Float[Tensor, "K N"]
    roles: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ConfigurationError: they do not belong together.
        """
        count = self.log_weight.shape[0]
        if self.resistance_m_s.shape[0] != count or any(len(of) != count for of in self.roles.values()):
            raise ConfigurationError(
                f"Hypotheses: {count} weights, {tuple(self.resistance_m_s.shape)} resistances and roles "
                f"{ {name: len(of) for name, of in self.roles.items()} }; expected one row and one entry a hypothesis."
            )

    @classmethod
    def one_is_heaviest(cls, things: int, light_m_s: float, heavy_m_s: float) -> Hypotheses:
        """Return one hypothesis a thing, equally probable: it resists as a heavy one does, the others as light ones.

        >>> Hypotheses.one_is_heaviest(3, 0.1, 0.4).posterior
        tensor([0.3333, 0.3333, 0.3333])
        """
        resistance = torch.full((things, things), light_m_s)
        resistance.fill_diagonal_(heavy_m_s)
        return cls(torch.zeros(things), resistance, {"heaviest": tuple(range(things))})

    @property
    def expected_resistance_m_s(self) -> tuple[float, ...]:
        """Resistance of each of the N things, averaged over the hypotheses, m/s."""
        return tuple((self.posterior @ self.resistance_m_s).tolist())

    @property
    def entropy_nats(self) -> float:
        """How much is not known."""
        p = self.posterior.clamp(min=1e-12)
        return float(-(p * p.log()).sum())

    def observe(self, things: Sequence[int], loss_m_s: float, noise_m_s: float) -> Hypotheses:
        """Return what is believed after a steady push of `things` that slowed the own body by `loss_m_s`.

        Bayes' rule with a normal likelihood of width `noise_m_s`, which has to hold what varies between instances.

        Args:
            things: all that went along, whether the own body pushed it or what it pushed did.
            loss_m_s: by how much slower the own body went.
            noise_m_s: of that.
        """
        misfit = (self.resistance_m_s[:, list(things)].sum(dim=1) - loss_m_s) / noise_m_s
        weight = self.log_weight - 0.5 * misfit.square()
        return replace(self, log_weight=weight - torch.logsumexp(weight, dim=0))


def information_gain(
    pushing: Float[Tensor, "S T N"], hypotheses: Hypotheses, noise_m_s: float, frame_share: float
) -> Float[Tensor, " S"]:
    """Return how much each of S futures is expected to tell about the live hypotheses, nats.

    The mutual information between hypothesis and the own body's speed over the horizon. Given a hypothesis the speeds
    are normal about their prediction, so the speeds are a mixture of normals, and the information is bounded from below
    by ``-sum_k p_k ln sum_j p_j exp(-D_kj / 8)``, D_kj being the squared distance of two predictions in units of noise.

    Source: Kolchinsky & Tracey 2017, "Estimating mixture entropy with pairwise distances", eq. 10 with the
    Bhattacharyya distance; as a drive to act Friston et al. 2015 ("epistemic value") and pymdp's
    ``use_param_info_gain``. Ours counts live hypotheses alone, renormalised: a question whose answer is known is worth
    nothing, however well it is answered.

    Args:
        pushing: [S, T, N] whether each thing is pushed in each step, 0 to 1.
        hypotheses: about the N things.
        noise_m_s: of one look at the speed.
        frame_share: looks a step that count as independent.
    """
    live = hypotheses.live
    if int(live.sum()) < 2:
        return pushing.new_zeros(pushing.shape[0])
    p = hypotheses.posterior[live]
    p = (p / p.sum()).to(pushing.dtype)
    predicted = torch.einsum("stn,kn->skt", pushing, hypotheses.resistance_m_s[live].to(pushing.dtype))
    apart = (predicted[:, :, None] - predicted[:, None]).square().sum(dim=-1) * (frame_share / noise_m_s**2)
    return told_apart(p, apart)


def told_apart(p: Float[Tensor, " K"], apart: Float[Tensor, "S K K"]) -> Float[Tensor, " S"]:
    """Return the bound of `information_gain` for hypotheses of probabilities `p`, nats.

    Args:
        p: sums to 1.
        apart: D, squared distance of what each two of them predict, in units of the noise.
    """
    told = -(p * torch.log((p * torch.exp(-apart / 8.0)).sum(dim=-1))).sum(dim=-1)
    return told.clamp(min=0.0, max=math.log(len(p)))
