"""One rigid motion of several bodies: the joint Gaussian of those that are bound to each other.

G groups of up to K members. The joint state of a group stacks its members' tangent vectors; what binds them is that all
share one rigid motion, a measurement of zero relative twist (the pseudo-measurement of an equality constraint: Simon
2010, "Kalman filtering with state constraints", section 2.2; ours leaves it a little play). So a detection of one
corrects all, how they lie to each other is learned by the same filter, and nothing is counted twice.

Empty places of a group have no rows in any measurement: a column of zeros, a unit variance, a residual of zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.filtering.correct import POSE_DIM
from worldsim.filtering.predict import white_acceleration
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.states import ObjectStates

PLAY_M_S, PLAY_RAD_S = 2e-3, 5e-3
"""Standard deviations of the relative twist of two that are bound, a frame: no joint is quite stiff."""

_LEAST_DENSITY = 1e-8  # of the process noise that is read off a prediction, (m/s^2)^2 s
_HALF = TANGENT_DIM // 2


def rigid_motion(
    linear: Float[Tensor, "G K 3"],
    angular: Float[Tensor, "G K 3"],
    arm: Float[Tensor, "G K 3"],
    mass: Float[Tensor, "G K"],
    inertia: Float[Tensor, "G K"],
) -> tuple[Float[Tensor, "G 1 3"], Float[Tensor, "G 1 3"]]:
    """Return the velocity of the common centre and the turn that have the momenta of all members together.

    Args:
        linear, angular: motions of the members (velocities, or steps).
        arm: from the common centre of mass to each member's.
        mass: kg, 0 for an empty place; inertia: of each about its own centre, kg m^2.
    """
    weight = mass.unsqueeze(-1)
    centre = (weight * linear).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    spin = inertia.unsqueeze(-1) * angular + weight * torch.linalg.cross(arm, linear - centre)
    turn = torch.linalg.solve(pooled_inertia(arm, mass, inertia), spin.sum(1).unsqueeze(-1))
    return centre, turn.mT


def pooled_inertia(
    arm: Float[Tensor, "G K 3"], mass: Float[Tensor, "G K"], inertia: Float[Tensor, "G K"]
) -> Float[Tensor, "G 3 3"]:
    """Return the inertia of each group about its centre of mass (the parallel axis theorem)."""
    eye = torch.eye(3, dtype=arm.dtype, device=arm.device)
    apart = arm.square().sum(-1)[..., None, None] * eye - arm.unsqueeze(-1) * arm.unsqueeze(-2)
    return (inertia[..., None, None] * eye + mass[..., None, None] * apart).sum(1)


def moved_as_one(
    before: ObjectStates, after: ObjectStates, mass: Float[Tensor, "G K"], inertia: Float[Tensor, "G K"]
) -> ObjectStates:
    """Return states after a step in which the members were predicted each for itself, moved as one body instead.

    What struck or carried one of them is in its own prediction; the whole takes up the sum of their momenta, so that
    an impulse moves the whole by what its mass and inertia allow, and how they lie to each other stays.

    Args:
        before, after: [G K] rows, group by group.
        mass, inertia: 0 for an empty place.
    """
    groups, places = mass.shape

    def each(value: Tensor) -> Tensor:
        return value.view(groups, places, -1)

    weight = mass.unsqueeze(-1)
    start = each(before.position)
    middle = (weight * start).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    arm = start - middle
    turned = each(quaternion.difference(after.orientation_xyzw, before.orientation_xyzw))
    step, turn = rigid_motion(each(after.position) - start, turned, arm, mass, inertia)
    rotation = quaternion.exp(turn).expand(groups, places, 4)
    arm = quaternion.rotate(rotation, arm)
    velocity, spin = rigid_motion(each(after.linear_velocity), each(after.angular_velocity), arm, mass, inertia)
    spin = spin.expand(groups, places, 3)
    return ObjectStates(
        (middle + step + arm).flatten(0, 1),
        quaternion.normalise(quaternion.multiply(rotation, each(before.orientation_xyzw))).flatten(0, 1),
        (velocity + torch.linalg.cross(spin, arm)).flatten(0, 1),
        spin.flatten(0, 1),
        after.extent_m,
    )


def block_diagonal(covariance: Float[Tensor, "G K 12 12"]) -> Float[Tensor, "G J J"]:
    """Return the joint covariance of members that know nothing of each other."""
    groups, places = covariance.shape[:2]
    joint = covariance.new_zeros(groups, places, TANGENT_DIM, places, TANGENT_DIM)
    own = torch.arange(places, device=covariance.device)
    joint[:, own, :, own, :] = covariance.transpose(0, 1)
    return joint.reshape(groups, places * TANGENT_DIM, places * TANGENT_DIM)


def marginals(joint: Float[Tensor, "G J J"]) -> Float[Tensor, "G K 12 12"]:
    """Return each member's own covariance."""
    places = joint.shape[-1] // TANGENT_DIM
    own = torch.arange(places, device=joint.device)
    blocks = joint.view(len(joint), places, TANGENT_DIM, places, TANGENT_DIM)
    return blocks[:, own, :, own, :].transpose(0, 1)


def carried_joint(
    joint: Float[Tensor, "G J J"], ahead: Float[Tensor, "G K 12 12"], dt_s: float
) -> Float[Tensor, "G J J"]:
    """Return the joint covariance a step later, free motion with the noise that each member's own prediction has.

    Args:
        joint: before the step.
        ahead: covariances of the members, each predicted for itself from its marginal.
        dt_s: length of the step, s.
    """
    places = joint.shape[-1] // TANGENT_DIM
    free = torch.eye(TANGENT_DIM, dtype=joint.dtype, device=joint.device)
    free[:_HALF, _HALF:] += dt_s * free[:_HALF, :_HALF]
    slope = torch.block_diag(*[free] * places)
    gone = slope @ joint @ slope.T
    excess = torch.diagonal(ahead - marginals(gone), dim1=-2, dim2=-1)[..., _HALF:] / dt_s
    noise = white_acceleration(excess.clamp_min(_LEAST_DENSITY).flatten(0, 1), dt_s)
    return gone + block_diagonal(noise.view(*excess.shape[:2], TANGENT_DIM, TANGENT_DIM))


def bound_columns(states: ObjectStates, there: Bool[Tensor, "G K"]) -> Float[Tensor, "G R J"]:
    """Return the derivative of the relative twists (of the members after the first, against it), R = 6 (K - 1)."""
    groups, places = there.shape
    position = states.position.view(groups, places, 3)
    spin = _cross(states.angular_velocity.view(groups, places, 3)[:, 0])
    arm = _cross(position[:, 1:] - position[:, :1])
    eye = torch.eye(3, dtype=position.dtype, device=position.device)
    columns = position.new_zeros(groups, places - 1, 6, places, TANGENT_DIM)
    for row in range(places - 1):  # places of a group, not objects
        columns[:, row, 0:3, 0, 0:3] = spin
        columns[:, row, 0:3, row + 1, 0:3] = -spin
        columns[:, row, 0:3, 0, 6:9] = -eye
        columns[:, row, 0:3, row + 1, 6:9] = eye
        columns[:, row, 0:3, 0, 9:12] = arm[:, row]
        columns[:, row, 3:6, 0, 9:12] = -eye
        columns[:, row, 3:6, row + 1, 9:12] = eye
    columns = columns * there[:, 1:, None, None, None]
    return columns.reshape(groups, 6 * (places - 1), places * TANGENT_DIM)


def bound(joint: Float[Tensor, "G J J"], states: ObjectStates, there: Bool[Tensor, "G K"]) -> Float[Tensor, "G J J"]:
    """Return the joint covariance given that the members, whose means move as one already, are bound."""
    columns = bound_columns(states, there)
    play = joint.new_tensor([PLAY_M_S**2] * 3 + [PLAY_RAD_S**2] * 3).repeat(there.shape[1] - 1)
    variance = torch.where(there[:, 1:].repeat_interleave(6, dim=1), play, torch.ones_like(play))
    return measured(joint, columns, torch.diag_embed(variance), play.new_zeros(len(joint), len(play)))[0]


def measured(
    joint: Float[Tensor, "G J J"],
    columns: Float[Tensor, "G R J"],
    noise: Float[Tensor, "G R R"],
    residual: Float[Tensor, "G R"],
) -> tuple[Float[Tensor, "G J J"], Float[Tensor, "G J"], Float[Tensor, " G"], Float[Tensor, " G"]]:
    """Return posterior covariance (Joseph form), step of the mean, log density of the residual (nats) and its NIS.

    The density leaves out the constant of the number of rows, ``R/2 log 2 pi``: what is compared has the same rows.
    """
    across = columns @ joint
    root = torch.linalg.cholesky_ex(across @ columns.mT + noise).L
    gain = torch.cholesky_solve(across, root).mT
    left = torch.eye(joint.shape[-1], dtype=joint.dtype, device=joint.device) - gain @ columns
    posterior = left @ joint @ left.mT + gain @ noise @ gain.mT
    white = torch.linalg.solve_triangular(root, residual.unsqueeze(-1), upper=False).squeeze(-1)
    nis = white.square().sum(-1)
    log_root = torch.diagonal(root, dim1=-2, dim2=-1).log().sum(-1)
    step = (gain @ residual.unsqueeze(-1)).squeeze(-1)
    return 0.5 * (posterior + posterior.mT), step, -0.5 * nis - log_root, nis


def seen_poses(
    joint: Float[Tensor, "G J J"],
    residual: Float[Tensor, "G K 6"],
    noise: Float[Tensor, "G K 6 6"],
    seen: Bool[Tensor, "G K"],
) -> tuple[Float[Tensor, "G J J"], Float[Tensor, "G K 12"], Float[Tensor, " G"], Float[Tensor, " G"]]:
    """Return what `measured` does of the detected poses of members, none of those that were not seen."""
    groups, places = seen.shape
    pose = torch.eye(TANGENT_DIM, dtype=joint.dtype, device=joint.device)[:POSE_DIM]
    own = torch.arange(places, device=joint.device)
    columns = joint.new_zeros(groups, places, POSE_DIM, places, TANGENT_DIM)
    columns[:, own, :, own, :] = (seen[..., None, None] * pose).transpose(0, 1)
    wide = joint.new_zeros(groups, places, POSE_DIM, places, POSE_DIM)
    one = torch.eye(POSE_DIM, dtype=joint.dtype, device=joint.device)
    wide[:, own, :, own, :] = torch.where(seen[..., None, None], noise, one).transpose(0, 1)
    rows = places * POSE_DIM
    posterior, step, density, nis = measured(
        joint,
        columns.reshape(groups, rows, -1),
        wide.reshape(groups, rows, rows),
        torch.where(seen[..., None], residual, torch.zeros_like(residual)).reshape(groups, rows),
    )
    return posterior, step.view(groups, places, TANGENT_DIM), density, nis


def log_density(nis: Float[Tensor, " n"], root: Float[Tensor, "n k k"]) -> Float[Tensor, " n"]:
    """Return the log density of single residuals, with the same constant left out."""
    return -0.5 * nis - torch.diagonal(root, dim1=-2, dim2=-1).log().sum(-1)


def pooled_mass(
    mean: Float[Tensor, "G K"], std: Float[Tensor, "G K"], there: Bool[Tensor, "G K"]
) -> tuple[Float[Tensor, " G"], Float[Tensor, " G"]]:
    """Return mean and standard deviation of the mass of each group, its members' masses independent and log-normal.

    Args:
        mean: [G, K] of the logarithm; std: of it.
        there: [G, K] which places are taken.
    """
    one = torch.where(there, (mean + 0.5 * std.square()).exp(), torch.zeros_like(mean))
    variance = one.square() * torch.expm1(std.square())
    return one.sum(1), variance.sum(1).sqrt()


def chi_square_scale(nis: Float[Tensor, " G"], degrees: Float[Tensor, " G"], limit: float) -> Float[Tensor, " G"]:
    """Return by how much a covariance is widened where what was seen is far outside: NIS over thrice the expected."""
    return (nis / (3.0 * degrees.clamp_min(1.0))).clamp(1.0, limit)


def _cross(vector: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3 3"]:
    """Return the matrix of the cross product with a vector."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
