"""What the world model assumes of its sensors (a belief about them; the sensors' own settings are never read)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SensorModel:
    """Assumed sensor characteristics.

    Attributes:
        detection_probability: of a visible object in one frame.
        clutter_per_m3: false detections per frame and cubic metre.
        extent_noise_share: standard deviation of a detected edge length as a share of it.
        extent_noise_m: the same, its constant part.
        appearance_noise: standard deviation of each component of the appearance descriptor.
        birth_existence: probability that an unclaimed detection is a thing and not clutter.
    """

    detection_probability: float = 0.95
    clutter_per_m3: float = 1e-4
    extent_noise_share: float = 0.03
    extent_noise_m: float = 0.004
    appearance_noise: float = 0.06
    birth_existence: float = 0.2

    def extent_variance(self, extent_m: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        """Return the noise variance (m^2) of detected edge lengths."""
        return (self.extent_noise_share * extent_m) ** 2 + self.extent_noise_m**2

    def appearance_variance(self) -> float:
        """Return the noise variance of one appearance component."""
        return self.appearance_noise**2

    def pose_noise(self, covariance: Float[Tensor, "D 6 6"]) -> Float[Tensor, "D 6 6"]:
        """Return the reported covariance with a floor (0.01 mm, 0.003 degrees) that keeps it invertible."""
        floor = torch.tensor([1e-10] * 3 + [2.5e-9] * 3, dtype=covariance.dtype, device=covariance.device)
        return covariance + torch.diag(floor)
