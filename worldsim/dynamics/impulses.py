"""The impulses that keep bodies from entering each other: a cone-projected, accelerated gradient method.

Each body is solved for itself against things that do not yield, so a batch of N bodies is N small problems of one
shape: find normal impulses >= 0 and tangential impulses inside the friction disc such that no contact closes.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics.geometry import TINY


def contact_jacobian(
    basis: Float[Tensor, "N K 3 3"],
    arm: Float[Tensor, "N K 3"],
    rotation: Float[Tensor, "N 3 3"],
    inverse_root_mass: Float[Tensor, " N"],
    inverse_root_inertia: Float[Tensor, "N 3"],
) -> Float[Tensor, "N K3 6"]:
    """Return the whitened Jacobian G: contact velocities are G s, s = (sqrt(m) v, sqrt(I) R^T w).

    In these coordinates the kinetic energy is |s|^2 / 2, an impulse p changes s by G^T p, and the effective mass
    matrix of the contacts is (G G^T)^-1.

    Args:
        basis: rows normal, tangent, tangent, world frame.
        arm: from the centre of mass to the contact, m, world frame.
        rotation: body to world.
        inverse_root_mass: 1 / sqrt(mass).
        inverse_root_inertia: 1 / sqrt(principal moments), body axes.
    """
    turning = torch.linalg.cross(arm[:, :, None, :].expand_as(basis), basis)
    # Sums of products, not matrix products: batches of tiny matrices are slow in every linear-algebra library.
    angular = (turning[..., None] * rotation[:, None, None]).sum(-2) * inverse_root_inertia[:, None, None, :]
    linear = basis * inverse_root_mass[:, None, None, None]
    return torch.cat([linear, angular], dim=-1).flatten(1, 2)


def solve_impulses(
    jacobian: Float[Tensor, "N K3 6"],
    approach: Float[Tensor, "N K 3"],
    softness: Float[Tensor, "N K"] | None,
    friction: Float[Tensor, " N"],
    iterations: int,
) -> Float[Tensor, "N K 3"]:
    """Return the impulses (N s) along (normal, tangent, tangent) of each contact.

    Solves  0 <= p_n  complementary to  (G G^T p + approach)_n + softness p_n >= 0  and Coulomb's law for the
    tangents, by projected gradient steps preconditioned by the diagonal, with Nesterov's momentum. The step is
    1 / L with L >= the largest eigenvalue of the preconditioned matrix, taken from the 6 x 6 side.

    Args:
        jacobian: G, rows of inactive contacts zero.
        approach: velocity (m/s) along the basis before the impulses, minus what is aimed at.
        softness: compliance of the normals (m/s per N s), None for rigid contacts.
        friction: Coulomb coefficient.
        iterations: number of gradient steps.

    Source: Mazhar et al. 2015, "Using Nesterov's method to accelerate multibody dynamics with friction and
        contact", algorithm 1. Ours differs: the friction disc takes the normal impulse of the same iteration
        (Coulomb's law, not its convex relaxation, so sliding does not lift), the step bound is computed and
        not searched for, momentum is dropped by the gradient's sign, and the number of iterations is fixed.
    """
    # The batch goes last: the sums below run over leading axes and vectorise over N, which tiny batched matrix
    # products do not.
    columns = jacobian.permute(2, 1, 0).contiguous()  # [6, K3, N]
    target = approach.permute(1, 2, 0)  # [K, 3, N]
    contacts = target.shape[0]
    diagonal, bound = _diagonal_and_bound(columns, None if softness is None else softness.T)
    step = 1.0 / (diagonal * bound)
    soft_step = None if softness is None else step[:, 0] * softness.T
    impulse = torch.zeros_like(target)
    lookahead = impulse
    age = torch.zeros_like(friction)
    for _ in range(iterations):
        change = (columns * lookahead.flatten(0, 1)).sum(1)
        residual = (columns * change[:, None]).sum(0).unflatten(0, (contacts, 3)) + target
        trial = lookahead - step * residual
        normal = trial[:, 0] if soft_step is None else trial[:, 0] - soft_step * lookahead[:, 0]
        normal = normal.clamp_min(0.0)
        tangent = trial[:, 1:]
        length = torch.sqrt((tangent * tangent).sum(1) + TINY * TINY)
        share = (friction * normal / length).clamp_max(1.0)
        updated = torch.cat([normal[:, None], tangent * share[:, None]], dim=1)
        moved = updated - impulse
        # Momentum that has begun to point uphill is dropped, body by body (O'Donoghue & Candes 2015, section 3.2).
        uphill = (diagonal * (lookahead - updated) * moved).sum((0, 1)) > 0.0
        age = torch.where(uphill, 0.0, age + 1.0)
        lookahead = updated + (age / (age + 3.0)) * moved
        impulse = updated
    return impulse.permute(2, 0, 1)


def _diagonal_and_bound(
    columns: Float[Tensor, "6 K3 N"], softness: Float[Tensor, "K N"] | None
) -> tuple[Float[Tensor, "K 3 N"], Float[Tensor, " N"]]:
    """Return the preconditioner and a bound on the largest eigenvalue of the preconditioned matrix."""
    diagonal = (columns * columns).sum(0).unflatten(0, (-1, 3))
    normal_part = diagonal[:, 0] if softness is None else diagonal[:, 0] + softness
    tangent_part = diagonal[:, 1:].mean(1)  # one step for both tangents, so that the disc stays a disc
    diagonal = torch.stack([normal_part, tangent_part, tangent_part], dim=1) + TINY
    scaled = columns * diagonal.flatten(0, 1).rsqrt()
    small = (scaled[:, None] * scaled[None]).sum(2)  # [6, 6, N], the same eigenvalues as the large side
    squared = (small[:, :, None] * small[None]).sum(1)
    bound = (squared * squared).sum((0, 1)).add(TINY).pow(0.25) * TANGENT_ALLOWANCE
    if softness is not None:
        bound = bound + 1.0
    return diagonal, bound.clamp_min(1.0)


TANGENT_ALLOWANCE = 1.15
"""Covers averaging the two tangents' diagonals, which can scale one row up a little."""
