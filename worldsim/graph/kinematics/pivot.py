"""The hypothesis that a point of the target stays at a point of the source: linear in both, given the turn."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_WIDE_M = 10.0
"""Standard deviation of the offset before the first observation, which is no evidence."""


class Pivot:
    """Recursive regression of place on turn: ``place = centre + G lever``, G the turn since the start.

    With a turn about one axis it is a hinge, with any turn a ball joint. Along the axis of a hinge the point is not
    determined: there its variance stays what it was.

    Attributes:
        mean: [E, 6] where the target's centre would be without a turn, minus the lever, is the point; then the lever.
        covariance: [E, 6, 6] float64, corrected in Joseph form.
        quadratic: [E] sum of squared innovations over their covariance, plus its log determinant.
    """

    def __init__(self, place: Float[Tensor, "E 3"], noise: Float[Tensor, " E"], reach_m: float) -> None:
        """Start at the first place; the point lies within about `reach_m` of the target's centre."""
        self.origin = place.clone()
        self.mean = place.new_zeros(len(place), 6)
        wide = [_WIDE_M**2] * 3 + [reach_m**2] * 3
        self.covariance = torch.diag(place.new_tensor(wide)).expand(len(place), 6, 6).clone()
        self.quadratic = torch.zeros_like(noise)
        self._started = torch.zeros_like(noise, dtype=torch.bool)

    def observe(
        self,
        place: Float[Tensor, "E 3"],
        turn: Float[Tensor, "E 3 3"],
        noise: Float[Tensor, " E"],
        turn_noise: Float[Tensor, " E"],
        seen: Bool[Tensor, " E"],
    ) -> Float[Tensor, " E"]:
        """Take in a place after a turn (with what is not known of it); return -2 log of its density."""
        identity = torch.eye(3, dtype=place.dtype, device=place.device).expand_as(turn)
        design = torch.cat([identity, turn - identity], dim=-1)
        innovation = (place - self.origin) - (design @ self.mean[..., None])[..., 0]
        lever = (turn @ self.mean[:, 3:, None])[..., 0]
        lever_covariance = turn @ self.covariance[:, 3:, 3:] @ turn.mT
        square = lever.square().sum(-1) + lever_covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
        # an error of the turn moves the centre across the lever
        swept = square[:, None, None] * identity - lever[:, :, None] * lever[:, None, :] - lever_covariance
        measured = noise[:, None, None] * identity + turn_noise[:, None, None] * swept
        factor = torch.linalg.cholesky(design @ self.covariance @ design.mT + measured)
        white = torch.linalg.solve_triangular(factor, innovation[..., None], upper=False)[..., 0]
        density = white.square().sum(-1) + 2.0 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        gain = torch.cholesky_solve(design @ self.covariance, factor).mT * seen[:, None, None]
        self.mean = self.mean + (gain @ innovation[..., None])[..., 0]
        left = torch.eye(6, dtype=place.dtype, device=place.device) - gain @ design
        covariance = left @ self.covariance @ left.mT + gain @ measured @ gain.mT
        self.covariance = 0.5 * (covariance + covariance.mT)
        return density

    def add(self, density: Float[Tensor, " E"], counts: Float[Tensor, " E"]) -> None:
        """Sum a frame where it counts."""
        self.quadratic = self.quadratic + density * counts

    def log_evidence(self) -> Float[Tensor, " E"]:
        """Return log p(places | turns), up to the constant of `Track.log_evidence`."""
        return -0.5 * self.quadratic

    def point(self) -> tuple[Float[Tensor, "E 3"], Float[Tensor, "E 3 3"]]:
        """Return the point in the source's frame, m, and its covariance."""
        at = self.origin + self.mean[:, :3] - self.mean[:, 3:]
        p = self.covariance
        return at, p[:, :3, :3] + p[:, 3:, 3:] - p[:, :3, 3:] - p[:, 3:, :3]
