"""What the contact law leaves unexplained of a square's first bounce in the plane, learned as bounces come.

Physics first: the residual is a change of the velocities after the bounce, linear in smooth features of how the square
strikes, with a prior about zero. Where physics explains a bounce the residual stays nothing. Each bounce is also
learned from as its mirror image, so that left and right are alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from worldsim.dynamics.motion import GRAVITY_M_S2

__all__ = ["Bounce", "BounceResidual", "PlanePath", "find_bounce"]


@dataclass(frozen=True, slots=True)
class PlanePath:
    """Paths of N squares in a vertical plane.

    Attributes:
        x, z: [T, N] m; theta: [T, N] rad about -y.
        dt_s: time between frames.
    """

    x: Float[np.ndarray, "T N"]
    z: Float[np.ndarray, "T N"]
    theta: Float[np.ndarray, "T N"]
    dt_s: float

    def minus(self, other: PlanePath) -> Float[np.ndarray, "3 T N"]:
        """Return the differences in x, z and theta, the last wrapped."""
        turned = (self.theta - other.theta + np.pi) % (2.0 * np.pi) - np.pi
        return np.stack([self.x - other.x, self.z - other.z, turned])

    def plus(self, change: Float[np.ndarray, "3 T N"]) -> PlanePath:
        """Return the paths with `change` added."""
        return replace(self, x=self.x + change[0], z=self.z + change[1], theta=self.theta + change[2])


@dataclass(frozen=True, slots=True)
class Bounce:
    """How each of N squares is predicted to strike first.

    Attributes:
        elapsed_s: [T, N] time since the impact, 0 before.
        tilt_rad: [N] angle of the sides against the floor, -pi/4 to pi/4.
        slip_m_s: [N] tangential speed of the corner that strikes.
        spin_rad_s: [N] before the impact.
    """

    elapsed_s: Float[np.ndarray, "T N"]
    tilt_rad: Float[np.ndarray, " N"]
    slip_m_s: Float[np.ndarray, " N"]
    spin_rad_s: Float[np.ndarray, " N"]


def find_bounce(
    path: PlanePath, speed_m_s: Float[np.ndarray, " N"], spin_rad_s: Float[np.ndarray, " N"], side_angle_rad: float
) -> Bounce:
    """Return the first bounce of predicted paths.

    Args:
        path: predicted.
        speed_m_s: horizontal velocity at the start.
        spin_rad_s: of theta at the start.
        side_angle_rad: of the sides against theta.
    """
    fall = GRAVITY_M_S2 * path.dt_s
    jump = np.diff(np.diff(path.z, axis=0), axis=0) / path.dt_s + fall
    struck = jump > JUMP_M_S
    last = len(path.z) - 1
    frame = np.where(struck.any(axis=0), struck.argmax(axis=0) + 1, last)
    each = np.arange(path.z.shape[1])
    tilt = (path.theta[frame, each] + side_angle_rad + 0.25 * np.pi) % (0.5 * np.pi) - 0.25 * np.pi
    elapsed = np.maximum(np.arange(last + 1)[:, None] - frame, 0) * path.dt_s
    slip = speed_m_s + spin_rad_s * path.z[frame, each]
    return Bounce(elapsed, tilt, slip, spin_rad_s)


JUMP_M_S = 0.5
"""Least change of the vertical velocity that is called a bounce."""


@dataclass(frozen=True, slots=True)
class BounceResidual:
    """Bayesian linear regression of three velocity changes (x, z, theta), in information form.

    Attributes:
        harmonics: of the tilt, whose period is a quarter turn.
        scale: [3] sizes of the changes (m/s, m/s, rad/s) that count as one.
        prior_precision: of each weight, in those sizes.
        memory: share of the information kept from one bounce to the next: physics goes on learning meanwhile.
        student_dof: tails of the changes.
        information: [3, F, F] of what was learned; moment: [3, F].
        scatter: [3] typical unexplained change, in the sizes.
        bounces: how many were learned from.
    """

    harmonics: int = 4
    scale: tuple[float, float, float] = (0.15, 0.3, 8.0)
    prior_precision: float = 3.0
    memory: float = 0.995
    student_dof: float = 3.0
    information: Float[np.ndarray, "3 F F"] | None = None
    moment: Float[np.ndarray, "3 F"] | None = None
    scatter: Float[np.ndarray, " 3"] | None = None
    bounces: int = 0

    def correction(self, bounce: Bounce) -> Float[np.ndarray, "3 T N"]:
        """Return what is to be added to predicted x, z and theta."""
        features = self._features(bounce.tilt_rad, bounce.slip_m_s, bounce.spin_rad_s)
        change = np.stack([scale * (features @ weight) for scale, weight in zip(self.scale, self._weights(features))])
        return np.asarray(change[:, None, :] * bounce.elapsed_s)

    def learned(self, bounce: Bounce, miss: Float[np.ndarray, "3 T N"]) -> BounceResidual:
        """Return the residual after seeing by how much physics missed N paths (observed minus predicted)."""
        weight = np.where(bounce.elapsed_s > SETTLED_S, bounce.elapsed_s, 0.0)
        seen = weight.sum(axis=0) > 0.0
        if not seen.any():
            return self
        change = (miss * weight).sum(axis=1)[:, seen] / (bounce.elapsed_s * weight).sum(axis=0)[seen]
        tilt, slip, spin = bounce.tilt_rad[seen], bounce.slip_m_s[seen], bounce.spin_rad_s[seen]
        features = np.concatenate([self._features(tilt, slip, spin), self._features(-tilt, -slip, -spin)])
        mirrored = np.array([-1.0, 1.0, -1.0])[:, None] * change
        targets = np.concatenate([change, mirrored], axis=1) / np.array(self.scale)[:, None]
        size = features.shape[1]
        kept = self.memory ** int(seen.sum())
        information = np.zeros((3, size, size)) if self.information is None else kept * self.information
        moment = np.zeros((3, size)) if self.moment is None else kept * self.moment
        scatter = np.ones(3) if self.scatter is None else self.scatter.copy()
        for row, weights in enumerate(self._weights(features)):
            off = targets[row] - features @ weights
            trust = (self.student_dof + 1.0) / (self.student_dof + (off / scatter[row]) ** 2)
            information[row] += (features * trust[:, None]).T @ features
            moment[row] += features.T @ (trust * targets[row])
            rate = max(0.02, 1.0 / (self.bounces + 5.0))
            scatter[row] *= np.exp(
                rate * (np.log(max(float(np.median(np.abs(off))) * 1.48, 0.05)) - np.log(scatter[row]))
            )
        return replace(
            self, information=information, moment=moment, scatter=scatter, bounces=self.bounces + int(seen.sum())
        )

    def _weights(self, features: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "3 F"]:
        size = features.shape[1]
        if self.information is None or self.moment is None:
            return np.zeros((3, size))
        precision = self.information + self.prior_precision * np.eye(size)
        return np.linalg.solve(precision, self.moment[..., None])[..., 0]

    def _features(
        self, tilt: Float[np.ndarray, " N"], slip: Float[np.ndarray, " N"], spin: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, "N F"]:
        """Return harmonics of the tilt, the same times the slip's direction, and three of them times the spin."""
        waves = [np.ones_like(tilt)]
        for order in range(1, self.harmonics + 1):
            waves += [np.cos(4 * order * tilt), np.sin(4 * order * tilt)]
        shape = np.stack(waves, axis=1)
        sliding, spinning = np.tanh(slip / 0.3)[:, None], (np.clip(spin, -10.0, 10.0) / 5.0)[:, None]
        return np.concatenate([shape, shape * sliding, shape[:, :3] * spinning], axis=1)


SETTLED_S = 0.016
"""A change is read off the path this long after the bounce and later, when a second corner has struck too."""
