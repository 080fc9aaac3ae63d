"""Online identification of a thrown cube: a belief over its physical parameters that sharpens toss by toss.

The belief is a cloud of E particles in transformed coordinates. Each watched toss is cut into short windows; every
particle predicts every window from its observed start, and is weighted by a heavy-tailed likelihood of the pose
errors. The likelihood is tempered so that no single toss may leave fewer than a set share of the cloud effective:
contact is chaotic and the model is not the truth, and a cloud that believes its best member too soon cannot turn back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.optimize import brentq
from torch import Tensor

from worldsim.dynamics import ContactSettings, quaternion
from worldsim.inference.rigid_rollout import BoxParameters, BoxStart, roll_out
from worldsim.types.card import ParameterPrior

__all__ = ["CUBE_PRIORS", "Identifier", "ParameterCloud", "RollOut", "Start", "Windows", "roll_out_cube"]

CUBE_PRIORS = (
    ParameterPrior("friction", 0.2, 0.4, "1", "log"),
    ParameterPrior("stiffness_per_s2", 30_000.0, 0.6, "1/s^2", "log"),
    ParameterPrior("damping_ratio", 0.25, 0.5, "1", "log"),
    ParameterPrior("edge_m", 0.1048, 0.012, "m", "log"),
    ParameterPrior("gravity_m_s2", 9.81, 0.12, "m/s^2", "identity"),
    ParameterPrior("inertia_scale", 1.2, 0.3, "1", "log"),
    ParameterPrior("centre_of_mass_x_m", 0.0, 0.003, "m", "identity"),
    ParameterPrior("centre_of_mass_y_m", 0.0, 0.003, "m", "identity"),
    ParameterPrior("centre_of_mass_z_m", 0.0, 0.003, "m", "identity"),
    ParameterPrior("corner_radius_m", 0.0015, 0.5, "m", "log"),
)
"""What is known of such a cube before the first toss: its nominal size and moment, and rough contact values."""

CUBE_INTERVAL_FACTORS: Mapping[str, float] = MappingProxyType(
    {
        "friction": 0.47,
        "stiffness_per_s2": 1.20,
        "damping_ratio": 1.14,
        "edge_m": 1.18,
        "gravity_m_s2": 1.19,
        "inertia_scale": 0.86,
        "centre_of_mass_x_m": 1.05,
        "centre_of_mass_y_m": 0.99,
        "centre_of_mass_z_m": 1.09,
        "corner_radius_m": 1.23,
    }
)
"""By how much a cube's 90 % intervals are stretched: what `worldsim transfer recovery --seeds 10000:11200` asks for."""


class Start(Protocol):
    """Where W windows start, for whatever kind of thing is thrown."""

    def repeated(self, times: int) -> Self:
        """Return the starts `times` over."""
        ...

    def joined(self, others: Sequence[Self]) -> Self:
        """Return these starts and those of `others`, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Windows:
    """W short stretches of one or more tosses. A thing of several bodies has a column a body.

    Attributes:
        start: their starts, velocities at the pose.
        position: [T, W, 3] m observed; orientation_xyzw: [T, W, 4].
        present: [T, W] False beyond the end of a toss.
        dt_s: time between frames.
    """

    start: Start
    position: Float[Tensor, "T W 3"]
    orientation_xyzw: Float[Tensor, "T W 4"]
    present: Bool[Tensor, "T W"]
    dt_s: float


@dataclass(frozen=True, slots=True)
class ParameterCloud:
    """E particles of P parameters in transformed coordinates, with log weights.

    Attributes:
        priors: names, transforms and priors of the P columns.
        particles: [E, P].
        log_weights: [E], unnormalised.
        position_scale_m, rotation_scale_rad: [H] learned sizes of the errors at each compared horizon.
        tosses: how many were watched.
    """

    priors: tuple[ParameterPrior, ...]
    particles: Float[np.ndarray, "E P"]
    log_weights: Float[np.ndarray, " E"]
    position_scale_m: Float[np.ndarray, " H"]
    rotation_scale_rad: Float[np.ndarray, " H"]
    tosses: int = 0

    @property
    def weights(self) -> Float[np.ndarray, " E"]:
        """Normalised weights."""
        return _normalised(self.log_weights)

    def natural(self, particles: Float[np.ndarray, "E P"] | None = None) -> Float[np.ndarray, "E P"]:
        """Return the particles (all of the cloud's where None) in natural units."""
        values = self.particles if particles is None else particles
        is_log = np.array([prior.transform == "log" for prior in self.priors])
        return np.where(is_log, np.exp(np.where(is_log, values, 0.0)), values)

    def interval(self, level: float = 0.9) -> dict[str, tuple[float, float, float]]:
        """Return (median, low, high) of every parameter in natural units."""
        natural, weights = self.natural(), self.weights
        tail = 0.5 * (1.0 - level)
        found: dict[str, tuple[float, float, float]] = {}
        for column, prior in enumerate(self.priors):
            order = np.argsort(natural[:, column])
            cumulative = np.cumsum(weights[order]) - 0.5 * weights[order]
            low, mid, high = np.interp([tail, 0.5, 1.0 - tail], cumulative, natural[order, column])
            found[prior.name] = (float(mid), float(low), float(high))
        return found

    def draw(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "S P"]:
        """Return `count` particles drawn by weight (systematically, so that a few represent the cloud)."""
        return self.particles[_systematic(self.weights, count, rng)]


RollOut = Callable[
    [Float[np.ndarray, "E P"], Any, int, float, ContactSettings],
    tuple[Float[Tensor, "T N 3"], Float[Tensor, "T N 4"]],
]
"""(natural parameters of E particles, E x W starts, frames, dt_s, settings) -> poses; the first particle's come first.

The starts are of the type that the thing needs. A thing of several bodies gives a column a body, windows first.
"""


def roll_out_cube(
    natural: Float[np.ndarray, "E P"], starts: BoxStart, frames: int, dt_s: float, settings: ContactSettings
) -> tuple[Float[Tensor, "T N 3"], Float[Tensor, "T N 4"]]:
    """Roll out cubes of parameters in the order of `CUBE_PRIORS`."""
    parameters = box_parameters(natural, len(starts.position) // len(natural), starts.position)
    return roll_out(starts, parameters, frames, dt_s, settings)


@dataclass(frozen=True, slots=True)
class Identifier:
    """Learns a `ParameterCloud` from windows, one toss after another.

    Attributes:
        particles: E.
        horizons: frames after the start at which poses are compared.
        temperature: power of the likelihood of one toss; below 1 because the errors within a toss are one
            error seen several times, and because the model is not the truth.
        least_effective: share of the cloud that must stay effective in one reweighting.
        rounds: most reweightings a toss; a toss that tells more than that tells it the next time.
        shrinkage: Liu and West's a, pulls resampled particles to the mean as far as the kernel spreads them.
        settings: of the contact solver.
        priors: what is believed before the first toss.
        roll_out: how the thing moves, given parameters in the order of `priors`.
        interval_factors: parameter -> by how much the cloud's own interval of it is stretched, 1 where none is named.
    """

    particles: int = 128
    horizons: tuple[int, ...] = (10, 20, 35, 50)
    temperature: float = 0.04
    least_effective: float = 0.4
    rounds: int = 2
    shrinkage: float = 0.95
    settings: ContactSettings = field(default_factory=lambda: ContactSettings(substeps=2, iterations=8))
    priors: tuple[ParameterPrior, ...] = CUBE_PRIORS
    roll_out: RollOut = roll_out_cube
    interval_factors: Mapping[str, float] = field(default_factory=lambda: CUBE_INTERVAL_FACTORS)

    def interval(self, cloud: ParameterCloud) -> dict[str, tuple[float, float, float]]:
        """Return (median, low, high) of the 90 % interval of every parameter in natural units.

        The cloud's likelihood is tempered, and takes no account of how a start was mismeasured; how wide its intervals
        have to be read follows from tosses of which the truth is known (split conformal prediction).
        """
        own, found = cloud.interval(0.9), {}
        for prior in cloud.priors:
            name, factor = prior.name, self.interval_factors.get(prior.name, 1.0)
            inward = np.log if prior.transform == "log" else np.asarray
            outward = np.exp if prior.transform == "log" else np.asarray
            middle, low, high = inward(np.array(own[name]))
            stretched = outward(np.array([middle, middle + factor * (low - middle), middle + factor * (high - middle)]))
            found[name] = (float(stretched[0]), float(stretched[1]), float(stretched[2]))
        return found

    def begin(self, rng: np.random.Generator) -> ParameterCloud:
        """Return the prior cloud."""
        centre = np.array([np.log(p.mean) if p.transform == "log" else p.mean for p in self.priors])
        spread = np.array([p.std for p in self.priors])
        drawn = centre + spread * rng.standard_normal((self.particles, len(self.priors)))
        growth = np.asarray(self.horizons) / self.horizons[0]
        return ParameterCloud(self.priors, drawn, np.zeros(self.particles), 1.5e-3 * growth, 0.04 * growth)

    def assimilate(
        self, cloud: ParameterCloud, windows: Windows, tosses: int, rng: np.random.Generator
    ) -> ParameterCloud:
        """Return the belief after watching the windows of `tosses` further tosses."""
        return self.assimilate_each([cloud], [windows], tosses, [rng])[0]

    def assimilate_each(
        self,
        clouds: Sequence[ParameterCloud],
        windows: Sequence[Windows],
        tosses: int,
        rngs: Sequence[np.random.Generator],
    ) -> list[ParameterCloud]:
        """Return the beliefs about several things, each after watching its own windows; they share the roll-outs."""
        found, remaining = list(clouds), [1.0] * len(clouds)
        for _ in range(self.rounds):
            open_ones = [index for index, left in enumerate(remaining) if left > LEAST_LEFT]
            if not open_ones:
                break
            errors = self._errors([found[index] for index in open_ones], [windows[index] for index in open_ones])
            for index, seen in zip(open_ones, errors, strict=True):
                found[index], power = self._reweighted(found[index], seen, remaining[index])
                remaining[index] -= power
                if remaining[index] > LEAST_LEFT:
                    found[index] = self._rejuvenate(found[index], rngs[index])
        for index, cloud in enumerate(found):
            if _effective(cloud.weights) < 0.5 * self.particles:
                found[index] = self._rejuvenate(cloud, rngs[index])
        return [replace(cloud, tosses=cloud.tosses + tosses) for cloud in found]

    def _reweighted(self, cloud: ParameterCloud, seen: _Errors, most: float) -> tuple[ParameterCloud, float]:
        """Return the cloud weighted by a power, at most `most`, of the likelihood; and the power."""
        log_likelihood = self.temperature * self._log_likelihood(cloud, *seen)
        power = min(most, self._tempering(cloud.log_weights, log_likelihood))
        cloud = replace(cloud, log_weights=cloud.log_weights + power * log_likelihood)
        return self._learn_scales(cloud, *seen), power

    def _errors(self, clouds: Sequence[ParameterCloud], windows: Sequence[Windows]) -> list[_Errors]:
        """Return, for each cloud, the errors of every particle at every horizon of every window of its own."""
        count, horizons = self.particles, list(self.horizons)
        widths = [each.position.shape[1] for each in windows]
        natural = np.concatenate([np.repeat(c.natural(), w, axis=0) for c, w in zip(clouds, widths, strict=True)])
        starts = [each.start.repeated(count) for each in windows]
        positions, orientations = self.roll_out(
            natural, starts[0].joined(starts[1:]), horizons[-1] + 1, windows[0].dt_s, self.settings
        )
        sizes = [count * width for width in widths]
        parts = zip(
            positions[horizons].split(sizes, dim=1), orientations[horizons].split(sizes, dim=1), windows, strict=True
        )
        return [self._misses(position, orientation, each) for position, orientation, each in parts]

    def _misses(
        self, position: Float[Tensor, "H EW 3"], orientation: Float[Tensor, "H EW 4"], windows: Windows
    ) -> _Errors:
        """Return position (m) and rotation (rad) errors, and where something was observed."""
        count, horizons = self.particles, list(self.horizons)
        seen_p = windows.position[horizons].repeat(1, count, 1)
        seen_q = windows.orientation_xyzw[horizons].repeat(1, count, 1)
        off = (position - seen_p).norm(dim=-1).unflatten(1, (count, -1))
        turned = quaternion.geodesic_angle(orientation, seen_q).unflatten(1, (count, -1))
        # A particle whose rollout left the finite numbers is as wrong as can be.
        off = off.nan_to_num(nan=10.0, posinf=10.0).transpose(0, 1)
        turned = turned.nan_to_num(nan=np.pi).transpose(0, 1)
        return off.double().numpy(), turned.double().numpy(), windows.present[horizons].numpy()

    def _log_likelihood(
        self,
        cloud: ParameterCloud,
        position: Float[np.ndarray, "E H W"],
        rotation: Float[np.ndarray, "E H W"],
        present: Bool[np.ndarray, "H W"],
    ) -> Float[np.ndarray, " E"]:
        """Return the summed Student-t log likelihood (3 degrees of freedom, 6 dimensions a pose)."""
        scale_p, scale_r = cloud.position_scale_m[:, None], cloud.rotation_scale_rad[:, None]
        squared = (position / scale_p) ** 2 + (rotation / scale_r) ** 2
        each = -0.5 * (STUDENT_DOF + 6.0) * np.log1p(squared / STUDENT_DOF)
        return np.asarray((each * present).sum((1, 2)))

    def _tempering(self, log_weights: Float[np.ndarray, " E"], log_likelihood: Float[np.ndarray, " E"]) -> float:
        """Return the largest power, at most 1, that leaves the cloud effective enough."""
        least = min(self.least_effective * self.particles, 0.9 * _effective(_normalised(log_weights)))

        def spare(power: float) -> float:
            return _effective(_normalised(log_weights + power * log_likelihood)) - least

        return 1.0 if spare(1.0) >= 0.0 else float(brentq(spare, 0.0, 1.0, xtol=1e-3))

    def _learn_scales(
        self,
        cloud: ParameterCloud,
        position: Float[np.ndarray, "E H W"],
        rotation: Float[np.ndarray, "E H W"],
        present: Bool[np.ndarray, "H W"],
    ) -> ParameterCloud:
        """Move the error sizes towards the typical error of the believed particles (medians: tails are wide)."""
        weights = cloud.weights[:, None, None]
        rate = max(0.05, 1.0 / (cloud.tosses + 4.0))

        def typical(errors: Float[np.ndarray, "E H W"], old: Float[np.ndarray, " H"]) -> Float[np.ndarray, " H"]:
            mean = (weights * errors).sum(0)
            rows = [np.median(row[seen]) if seen.any() else before for row, seen, before in zip(mean, present, old)]
            return np.exp((1.0 - rate) * np.log(old) + rate * np.log(np.maximum(rows, SMALLEST_SCALE)))

        return replace(
            cloud,
            position_scale_m=typical(position, cloud.position_scale_m),
            rotation_scale_rad=typical(rotation, cloud.rotation_scale_rad),
        )

    def _rejuvenate(self, cloud: ParameterCloud, rng: np.random.Generator) -> ParameterCloud:
        """Resample and spread the particles, keeping their mean and covariance (Liu and West 2001, section 10.3.2)."""
        weights = cloud.weights
        mean = weights @ cloud.particles
        centred = cloud.particles - mean
        covariance = (weights[:, None] * centred).T @ centred
        # Few effective particles underestimate correlations' complement; a share of the prior keeps every
        # direction open.
        floor = np.diag([(LEAST_SPREAD * prior.std) ** 2 for prior in self.priors])
        root = np.linalg.cholesky(covariance + floor)
        kept = cloud.particles[_systematic(weights, self.particles, rng)]
        noise = rng.standard_normal(kept.shape) @ root.T
        a = self.shrinkage
        return replace(
            cloud,
            particles=a * kept + (1.0 - a) * mean + np.sqrt(1.0 - a * a) * noise,
            log_weights=np.zeros(self.particles),
        )


_Errors = tuple[Float[np.ndarray, "E H W"], Float[np.ndarray, "E H W"], Bool[np.ndarray, "H W"]]
"""Position errors (m), rotation errors (rad), and where something was observed."""

LEAST_LEFT = 1e-3
"""A share of a toss's likelihood that is smaller is not worth another reweighting."""

STUDENT_DOF = 3.0
"""Tails of the pose errors: an impact predicted on the wrong side of an edge is wrong by far."""

SMALLEST_SCALE = 1e-4
"""m and rad: no error size is believed to be smaller, which keeps perfect windows from dominating."""

LEAST_SPREAD = 0.1
"""Least spread of the resampling kernel, in prior standard deviations."""


def box_parameters(natural: Float[np.ndarray, "E P"], copies: int, like: Tensor) -> BoxParameters:
    """Return parameters in the order of `CUBE_PRIORS`, each row `copies` times in a row, as tensors like `like`."""
    rows = torch.as_tensor(np.repeat(natural, copies, axis=0), dtype=like.dtype, device=like.device)
    friction, stiffness, damping, edge, gravity, inertia, x, y, z, radius = rows.unbind(-1)
    return BoxParameters(friction, stiffness, damping, edge, gravity, inertia, torch.stack([x, y, z], dim=-1), radius)


def _normalised(log_weights: Float[np.ndarray, " E"]) -> Float[np.ndarray, " E"]:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def _effective(weights: Float[np.ndarray, " E"]) -> float:
    return float(1.0 / (weights**2).sum())


def _systematic(weights: Float[np.ndarray, " E"], count: int, rng: np.random.Generator) -> np.ndarray:
    places = (rng.random() + np.arange(count)) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), places), len(weights) - 1)
