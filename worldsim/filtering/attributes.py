"""How well each loaded model explains a size and an appearance: the hierarchical part of the evidence."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from worldsim.filtering.library import LoadedModels
from worldsim.filtering.likelihood import gaussian_log_density, seen_log_density


def attribute_log_evidence(
    extent_m: Float[Tensor, "N 3"],
    extent_variance_m2: Float[Tensor, "N 3"],
    appearance: Float[Tensor, "N A"],
    appearance_variance: Float[Tensor, "N A"],
    library: LoadedModels,
) -> Float[Tensor, "N L"]:
    """Return log p(estimated size and appearance | model) for every object and loaded model, nats.

    An instance's true attributes are drawn from the card's prior and estimated with the given variance, so the
    estimate is Gaussian with the sum of both variances around the card's mean. An appearance that was never seen is
    evidence of no model.
    """
    size = gaussian_log_density(
        extent_m.unsqueeze(1) - library.extent_mean, library.extent_std**2 + extent_variance_m2.unsqueeze(1)
    )
    look = seen_log_density(
        appearance.unsqueeze(1) - library.appearance_mean,
        library.appearance_std**2 + appearance_variance.unsqueeze(1),
    )
    return size + look
