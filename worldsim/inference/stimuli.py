"""What each object responds to and may bump into, read off the belief."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from worldsim.dynamics import Obstacles
from worldsim.filtering.surroundings import Surroundings
from worldsim.types.belief import WorldBelief
from worldsim.types.control import COMMAND_DIM, Control

_STIMULUS_REACH_M = 8.0
_BOXES_NEAR = 8


def surroundings(
    belief: WorldBelief,
    movers: Bool[np.ndarray, " C"],
    colliders: Bool[np.ndarray, " C"],
    own_slot: int | None,
    own_command: Float[np.ndarray, " U"],
) -> Surroundings:
    """Return the inputs of all C slots for the coming step.

    Args:
        belief: where everything is believed to be.
        movers: slots that others respond to (alive, able to move, awake).
        colliders: slots whose contacts are resolved this step.
        own_slot: slot of the own body, None for a passive observer.
        own_command: its command (forward speed m/s, yaw rate rad/s).
    """
    position = belief.position
    nearest, known = nearest_mover(position, movers)
    command = position.new_zeros(belief.capacity, COMMAND_DIM)
    commanded = torch.zeros(belief.capacity, dtype=torch.bool, device=position.device)
    if own_slot is not None:
        command[own_slot] = torch.as_tensor(own_command, dtype=position.dtype, device=position.device)
        commanded[own_slot] = True
    control = Control(
        command,
        commanded,
        position.index_select(0, nearest),
        belief.linear_velocity.index_select(0, nearest),
        known,
    )
    return Surroundings(control, position.new_zeros(belief.capacity, 6), obstacles(belief, colliders))


def nearest_mover(
    position: Float[Tensor, "C 3"], movers: Bool[np.ndarray, " C"]
) -> tuple[Int[Tensor, " C"], Bool[Tensor, " C"]]:
    """Return the slot of the mover nearest to each slot (itself apart), and whether it is near enough to matter."""
    here = position.detach().cpu().numpy()
    index = np.arange(len(here))
    slots = np.flatnonzero(movers)
    known = np.zeros(len(here), dtype=bool)
    if len(slots) > 1:
        flat = here[:, :2]
        distance, order = cKDTree(flat[slots]).query(flat, k=2)
        first_is_self = slots[order[:, 0]] == index
        pick = np.where(first_is_self, 1, 0)
        index = slots[order[np.arange(len(here)), pick]]
        known = distance[np.arange(len(here)), pick] < _STIMULUS_REACH_M
    return torch.as_tensor(index, device=position.device), torch.as_tensor(known, device=position.device)


def obstacles(belief: WorldBelief, colliders: Bool[np.ndarray, " C"]) -> Obstacles:
    """Return the boxes nearest to each colliding slot; the other slots get none."""
    rows = np.flatnonzero(colliders)
    if len(rows) == 0:
        return Obstacles.only_floor(belief.position)
    here = belief.position.detach().cpu().numpy()
    radius = 0.5 * np.linalg.norm(belief.extent_m.detach().cpu().numpy(), axis=1)
    others = np.flatnonzero(belief.alive.detach().cpu().numpy())
    gap = np.linalg.norm(here[rows, None] - here[None, others], axis=-1) - radius[others]
    gap[rows[:, None] == others[None]] = np.inf
    count = min(_BOXES_NEAR, len(others))
    order = np.argpartition(gap, count - 1, axis=1)[:, :count]
    near = np.zeros((len(here), count), dtype=np.int64)
    present = np.zeros((len(here), count), dtype=bool)
    near[rows] = others[order]
    present[rows] = np.isfinite(np.take_along_axis(gap, order, axis=1))
    index = torch.as_tensor(near, device=belief.position.device)
    return Obstacles(
        True,
        belief.position[index],
        belief.orientation_xyzw[index],
        0.5 * belief.extent_m[index],
        belief.linear_velocity[index],
        torch.as_tensor(present, device=belief.position.device),
    )
