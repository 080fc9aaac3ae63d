"""A double pendulum as the world model holds it: what is believed beforehand, how it is followed, and predicted.

A window has some frames of the past and then the future. From the past alone come the angles, the velocities and a
slowly drifting torque (friction that holds, a motor's offset) at its start; the future is predicted open loop from
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics.double_pendulum import PendulumParameters, pendulum_roll_out
from worldsim.inference.recursive_fit import GaussianBelief, RecursiveFit
from worldsim.types.card import ParameterPrior

__all__ = ["PENDULUM_PRIORS", "PendulumModel", "PendulumWindows"]

PENDULUM_PRIORS = (
    ParameterPrior("upper_inertia_kg_m2", 0.06, 0.5, "kg m^2", "log"),
    ParameterPrior("lower_inertia_kg_m2", 0.05, 0.5, "kg m^2", "log"),
    ParameterPrior("cross_inertia_kg_m2", 0.05, 0.5, "kg m^2", "log"),
    ParameterPrior("coupling_kg_m2", 0.025, 0.5, "kg m^2", "log"),
    ParameterPrior("upper_gravity_n_m", 3.0, 0.4, "N m", "log"),
    ParameterPrior("lower_gravity_n_m", 1.5, 0.4, "N m", "log"),
    ParameterPrior("shoulder_damping", 0.005, 1.5, "N m s/rad", "log"),
    ParameterPrior("elbow_damping", 0.005, 1.5, "N m s/rad", "log"),
    ParameterPrior("shoulder_friction", 0.1, 1.0, "N m", "log"),
    ParameterPrior("elbow_friction", 0.1, 1.0, "N m", "log"),
    ParameterPrior("shoulder_load_friction", 0.03, 1.5, "1", "log"),
    ParameterPrior("elbow_load_friction", 0.03, 1.5, "1", "log"),
    ParameterPrior("shoulder_gain", 1.0, 0.15, "1", "log"),
    ParameterPrior("elbow_gain", 1.0, 0.15, "1", "log"),
    ParameterPrior("shoulder_offset_n_m", 0.0, 0.03, "N m"),
    ParameterPrior("elbow_offset_n_m", 0.0, 0.03, "N m"),
)
"""What a builder knows of two links of 0.2 and 0.3 m and about half a kilogram each, before they move."""


@dataclass(frozen=True, slots=True)
class PendulumWindows:
    """W windows of one or more runs on an even grid; the start is at frame `past`.

    Attributes:
        angle: [B + 1 + T, 2, W] rad, observed.
        torque: [B + 1 + T, 2, W] N m, measured at the joints.
        past: B, frames before the start.
        dt_s: time between frames.
    """

    angle: Float[Tensor, "F 2 W"]
    torque: Float[Tensor, "F 2 W"]
    past: int
    dt_s: float

    def __len__(self) -> int:
        """Return the number of windows."""
        return self.angle.shape[2]

    @property
    def future(self) -> Float[Tensor, "T1 2 W"]:
        """Observed angles from the start on."""
        return self.angle[self.past :]

    def select(self, index: slice) -> PendulumWindows:
        """Return some of the windows."""
        return PendulumWindows(self.angle[..., index], self.torque[..., index], self.past, self.dt_s)


@dataclass(frozen=True, slots=True)
class PendulumModel:
    """Learns and predicts double pendulums.

    Attributes:
        fit: how windows correct the belief.
        angle_noise_rad: how far model and encoder differ over the past.
        drift_torque_n_m: prior spread of the slowly drifting torque.
        velocity_frames: frames of the past whose slope is the velocity where no model helps.
        compared_every: frames between the instants at which a window is compared in learning.
        priors: what is believed beforehand.
    """

    fit: RecursiveFit = field(default_factory=RecursiveFit)
    angle_noise_rad: float = 3e-3
    drift_torque_n_m: float = 0.05
    velocity_frames: int = 10
    compared_every: int = 10
    priors: tuple[ParameterPrior, ...] = PENDULUM_PRIORS

    def begin(self) -> GaussianBelief:
        """Return the prior."""
        return GaussianBelief.prior(self.priors, miss_scale=0.05)

    def assimilate(self, belief: GaussianBelief, windows: PendulumWindows) -> GaussianBelief:
        """Return the belief after watching some windows, each predicted as it will be when it counts."""
        compared = slice(self.compared_every // 2, None, self.compared_every)
        observed = windows.future[compared]

        def misses(natural: Float[np.ndarray, "K P"]) -> Float[np.ndarray, "K W M"]:
            off = self.predict(natural, windows)[:, compared] - observed
            return off.permute(0, 3, 1, 2).flatten(2).numpy()

        return self.fit.correct(belief, misses)

    def predict(
        self, natural: Float[np.ndarray, "K P"], windows: PendulumWindows, follow: bool = True
    ) -> Float[Tensor, "K T1 2 W"]:
        """Return the angles from the start on, open loop, for each of K parameter values.

        With `follow` the model follows the past first; else the start is the past's slope, and no torque drifts.
        """
        parameters = PendulumParameters.of(torch.as_tensor(natural, dtype=windows.angle.dtype))
        spread = (2, len(natural), len(windows))
        angle, velocity = (part[:, None].expand(spread) for part in self.sloped(windows))
        drift = torch.zeros_like(angle)
        if follow:
            angle, velocity, drift = self._followed(windows, parameters, len(natural))
        torque = windows.torque[windows.past :, :, None] + drift
        return pendulum_roll_out(angle, velocity, torque, parameters, windows.dt_s)[0].movedim(2, 0)

    def sloped(self, windows: PendulumWindows) -> tuple[Float[Tensor, "2 W"], Float[Tensor, "2 W"]]:
        """Return angle and velocity at the start, the latter from a parabola through the past's last frames."""
        count = min(self.velocity_frames, windows.past) + 1
        recent = windows.angle[windows.past + 1 - count : windows.past + 1]
        slope = _parabola(count, windows.dt_s, recent)[1]
        return windows.angle[windows.past], slope

    def _followed(
        self, windows: PendulumWindows, parameters: PendulumParameters, copies: int
    ) -> tuple[Float[Tensor, "2 K W"], Float[Tensor, "2 K W"], Float[Tensor, "2 K W"]]:
        """Return angle, velocity and drifting torque at the start: the fit of the model's own path to the past.

        Six unknowns a window (angles and velocities at the beginning of the past, two torques), `FOLLOWING_STEPS`
        Gauss-Newton steps from a parabola; the torques have a prior about zero.
        """
        past, dt_s = windows.past, windows.dt_s
        observed, torque = windows.angle[: past + 1, :, None], windows.torque[: past + 1, :, None]
        earliest = windows.angle[: min(STARTING_FRAMES, past + 1)]  # of the past alone, however short it is
        first = _parabola(len(earliest), dt_s, earliest.flip(0))
        unknown = torch.stack([first[0, 0], first[0, 1], -first[1, 0], -first[1, 1]])
        unknown = torch.cat([unknown, torch.zeros_like(unknown[:2])])[:, None].expand(6, copies, -1)
        steps = unknown.new_tensor([1e-5, 1e-5, 1e-4, 1e-4, 1e-4, 1e-4])
        shifts = torch.cat([steps.new_zeros(1, 6), torch.diag(steps)]).T  # [6 unknowns, 7 variants]
        prior = steps.new_tensor([0.0, 0.0, 0.0, 0.0, self.drift_torque_n_m**-2, self.drift_torque_n_m**-2])
        lumped = PendulumParameters(*(getattr(parameters, name)[:, :, None] for name in parameters.names()))
        for _ in range(FOLLOWING_STEPS):
            varied = unknown[..., None] + shifts[:, None, None]  # [6, K, W, 7]
            path, _ = pendulum_roll_out(varied[:2], varied[2:4], torque[..., None] + varied[4:], lumped, dt_s)
            miss = (path[..., 0] - observed)[::2]
            slope = ((path[..., 1:] - path[..., :1]) / steps)[::2]
            information = torch.einsum("tjkwa,tjkwb->kwab", slope, slope) / self.angle_noise_rad**2
            gradient = torch.einsum("tjkwa,tjkw->kwa", slope, miss) / self.angle_noise_rad**2
            gradient = gradient + prior * unknown.permute(1, 2, 0)
            move = torch.linalg.solve(information + torch.diag(prior), gradient)
            unknown = unknown - move.permute(2, 0, 1)
        drift = unknown[4:]
        path, velocity = pendulum_roll_out(unknown[:2], unknown[2:4], torque + drift, parameters, dt_s)
        return path[-1], velocity, drift


FOLLOWING_STEPS = 3

STARTING_FRAMES = 9
"""Frames of the past, from its beginning, whose parabola the following starts from."""


def _parabola(count: int, dt_s: float, recent: Float[Tensor, "n 2 W"]) -> Float[Tensor, "2 2 W"]:
    """Return value and slope at the last of `count` frames of the parabola of least squares through them."""
    time = dt_s * torch.arange(1 - count, 1, dtype=recent.dtype)
    design = torch.stack([torch.ones_like(time), time, time * time], dim=-1)
    return torch.einsum("an,njw->ajw", torch.linalg.pinv(design)[:2], recent)
