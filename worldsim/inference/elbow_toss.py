"""Two hinged boxes thrown on a board: what is believed of them beforehand, and open-loop predictions.

Both links are tracked by the pose of link 1 and the joint angle. Learning compares those, a window at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics import ContactSettings, quaternion
from worldsim.dynamics.hinged_pair import HingedPair, HingedPairState, hinged_pair_step
from worldsim.dynamics.motion import GRAVITY_M_S2
from worldsim.inference.recursive_fit import GaussianBelief, RecursiveFit
from worldsim.types.card import ParameterPrior

__all__ = ["ELBOW_PRIORS", "ElbowModel", "ElbowPaths", "ElbowWindows"]

ELBOW_PRIORS = (
    ParameterPrior("friction", 0.2, 0.4, "1", "log"),
    ParameterPrior("stiffness_per_s2", 20_000.0, 0.6, "1/s^2", "log"),
    ParameterPrior("damping_ratio", 0.3, 0.5, "1", "log"),
    ParameterPrior("inertia_along_m2", 8e-4, 0.5, "m^2", "log"),
    ParameterPrior("inertia_across_m2", 1.3e-3, 0.4, "m^2", "log"),
    ParameterPrior("joint_damping_m2_per_s", 3e-4, 1.0, "m^2/s", "log"),
    ParameterPrior("joint_friction_m2_per_s2", 3e-3, 1.0, "m^2/s^2", "log"),
    ParameterPrior("size_scale", 1.0, 0.03, "1", "log"),
    ParameterPrior("first_centre_x_m", 0.0, 0.003, "m"),
    ParameterPrior("first_centre_y_m", 0.0, 0.005, "m"),
    ParameterPrior("second_centre_x_m", 0.0, 0.003, "m"),
    ParameterPrior("second_centre_y_m", 0.0, 0.005, "m"),
    ParameterPrior("floor_m", 0.0, 0.002, "m"),
)
"""Box, hinge and mass of the drawing (elbow.urdf); contact and hinge friction are rough guesses."""

BOX_M = (0.1, 0.05, 0.05)
HINGE_IN_FIRST_M = (-0.035, 0.06, 0.0)
SECOND_BOX_M = (0.035, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ElbowPaths:
    """Poses of N pairs over T frames.

    Attributes:
        position: [T, N, 3] m, centre of link 1; orientation_xyzw: [T, N, 4] of it.
        joint_rad: [T, N].
    """

    position: Float[Tensor, "T N 3"]
    orientation_xyzw: Float[Tensor, "T N 4"]
    joint_rad: Float[Tensor, "T N"]

    def minus(self, other: ElbowPaths) -> tuple[Float[Tensor, "T N 3"], Float[Tensor, "T N 3"], Float[Tensor, "T N"]]:
        """Return the differences in position (m), orientation (rotation vector, rad) and joint angle (wrapped)."""
        first, second = torch.broadcast_tensors(self.orientation_xyzw, other.orientation_xyzw)
        turned = quaternion.difference(first, second)
        bent = torch.remainder(self.joint_rad - other.joint_rad + torch.pi, 2.0 * torch.pi) - torch.pi
        return self.position - other.position, turned, bent


@dataclass(frozen=True, slots=True)
class ElbowWindows:
    """W windows; velocities at their starts are backward differences, half a frame old.

    Attributes:
        paths: what was observed, the start first.
        velocity: [W, 3] m/s of link 1's centre, world; spin: [W, 3] rad/s of link 1, world; joint_rate: [W] rad/s.
        dt_s: time between frames.
    """

    paths: ElbowPaths
    velocity: Float[Tensor, "W 3"]
    spin: Float[Tensor, "W 3"]
    joint_rate: Float[Tensor, " W"]
    dt_s: float

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.joint_rate)


@dataclass(frozen=True, slots=True)
class ElbowModel:
    """Learns and predicts hinged pairs.

    Attributes:
        fit: how windows correct the belief.
        settings: of the contact solver.
        compared: frames after the start at which a window is compared in learning.
        sizes: m, rad and rad that count as one miss: of position, orientation and joint.
        priors: what is believed beforehand.
    """

    fit: RecursiveFit = field(default_factory=lambda: RecursiveFit(iterations=1, independent=1.0, step=0.05))
    settings: ContactSettings = field(default_factory=lambda: ContactSettings(substeps=8, iterations=10))
    compared: tuple[int, ...] = (5, 10, 15)
    sizes: tuple[float, float, float] = (0.005, 0.12, 0.12)
    priors: tuple[ParameterPrior, ...] = ELBOW_PRIORS

    def begin(self) -> GaussianBelief:
        """Return the prior."""
        return GaussianBelief.prior(self.priors, miss_scale=0.5)

    def assimilate(self, belief: GaussianBelief, windows: ElbowWindows) -> GaussianBelief:
        """Return the belief after watching some windows."""
        at, observed = list(self.compared), windows.paths
        seen = ElbowPaths(observed.position[at], observed.orientation_xyzw[at], observed.joint_rad[at])

        def misses(natural: Float[np.ndarray, "K P"]) -> Float[np.ndarray, "K W M"]:
            paths = self.predict(natural, windows, self.compared[-1] + 1)
            shape = (len(at), len(natural), len(windows))
            found = ElbowPaths(
                paths.position[at].reshape(*shape, 3),
                paths.orientation_xyzw[at].reshape(*shape, 4),
                paths.joint_rad[at].reshape(shape),
            )
            copies = ElbowPaths(seen.position[:, None], seen.orientation_xyzw[:, None], seen.joint_rad[:, None])
            position, turned, bent = found.minus(copies)
            sizes = self.sizes
            rows = torch.cat([position / sizes[0], turned / sizes[1], bent[..., None] / sizes[2]], dim=-1)
            return rows.permute(1, 2, 0, 3).flatten(2).double().numpy()

        return self.fit.correct(belief, misses)

    @torch.no_grad()
    def predict(self, natural: Float[np.ndarray, "K P"], windows: ElbowWindows, frames: int) -> ElbowPaths:
        """Return K x W paths, the first parameter value's first."""
        copies, width = len(natural), len(windows)
        rows = torch.as_tensor(np.repeat(natural, width, axis=0), dtype=windows.velocity.dtype)
        pair = _pair(rows)
        state = _start(windows, pair, copies)
        found = [state]
        for _ in range(frames - 1):
            state = hinged_pair_step(state, pair, windows.dt_s, self.settings)
            found.append(state)
        orientation = torch.stack([each.orientation_xyzw for each in found])
        hinge = torch.stack([each.hinge_m for each in found])
        centre = hinge - quaternion.rotate(orientation, pair.hinge_in_first_m.expand(*orientation.shape[:-1], 3))
        return ElbowPaths(centre, orientation, torch.stack([each.joint_rad for each in found]))


def _pair(rows: Float[Tensor, "N P"]) -> HingedPair:
    """Return the properties of parameters in the order of `ELBOW_PRIORS`."""
    friction, stiffness, ratio, along, across, damping, dry, size, x1, y1, x2, y2, floor = rows.unbind(-1)
    zero, one = torch.zeros_like(x1), torch.ones_like(x1)[:, None]
    return HingedPair(
        friction=friction,
        stiffness_per_s2=stiffness,
        damping_per_s=2.0 * ratio * stiffness.sqrt(),
        half_extent_m=0.5 * size[:, None] * rows.new_tensor(BOX_M),
        inertia_m2=torch.stack([along, across, across], dim=-1),
        hinge_in_first_m=one * rows.new_tensor(HINGE_IN_FIRST_M),
        second_box_m=one * rows.new_tensor(SECOND_BOX_M),
        first_centre_m=torch.stack([x1, y1, zero], dim=-1),
        second_centre_m=torch.stack([x2, y2, zero], dim=-1),
        joint_damping_m2_per_s=damping,
        joint_friction_m2_per_s2=dry,
        floor_m=floor,
    )


def _start(windows: ElbowWindows, pair: HingedPair, copies: int) -> HingedPairState:
    """Return the states at the starts; the fall of the half frame that velocities lag is made up for."""
    orientation = windows.paths.orientation_xyzw[0].repeat(copies, 1)
    arm = quaternion.rotate(orientation, pair.hinge_in_first_m)
    spin = windows.spin.repeat(copies, 1)
    velocity = windows.velocity.repeat(copies, 1) + torch.linalg.cross(spin, arm)
    lag = torch.zeros_like(velocity)
    lag[:, 2] = 0.5 * windows.dt_s * GRAVITY_M_S2
    resting = velocity.norm(dim=-1, keepdim=True) < RESTING_M_S
    velocity = velocity - torch.where(resting, 0.0, lag)
    rate = windows.joint_rate.repeat(copies)[:, None]
    hinge = windows.paths.position[0].repeat(copies, 1) + arm
    joint = windows.paths.joint_rad[0].repeat(copies)
    return HingedPairState(hinge, orientation, joint, torch.cat([velocity, spin, rate], dim=-1))


RESTING_M_S = 0.05
"""Below this speed a pair lies on the board and does not fall through the half frame."""
