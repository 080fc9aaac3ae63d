"""What each object responds to and may bump into, read off the belief."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from worldsim.dynamics import ContactSettings, Obstacles
from worldsim.dynamics.neighbours import nearest_other
from worldsim.filtering.surroundings import Surroundings
from worldsim.types.belief import WorldBelief
from worldsim.types.control import COMMAND_DIM, Control
from worldsim.types.transfer import fetched

_STIMULUS_REACH_M = 8.0
_BOXES_NEAR, _BOXES_LOOKED_AT = 4, 16
# among many things contacts are rough anyway, and the filter corrects them at once; a lone toss is worth more
_AMONG_BOXES = ContactSettings(substeps=2, iterations=4, max_contacts=6)
_BUMP_MARGIN_M = 0.1
_SOLID = 0.5  # existence below which nothing bumps into it
_FLOOR_MARGIN_M, _FLOOR_SPEED_M_S = 0.05, 0.5


def surroundings(
    belief: WorldBelief,
    movers: Bool[np.ndarray, " C"],
    colliders: Bool[np.ndarray, " C"],
    own_slot: int | None,
    own_command: Float[np.ndarray, " U"],
    lawful: Bool[np.ndarray, " C"] | None = None,
) -> Surroundings:
    """Return the inputs of all C slots for the coming step.

    Args:
        belief: where everything is believed to be.
        movers: slots that others respond to (alive, able to move, awake).
        colliders: slots whose contacts are resolved this step.
        own_slot: slot of the own body, None for a passive observer.
        own_command: its command (forward speed m/s, yaw rate rad/s).
        lawful: slots whose meetings with each other are `worldsim.filtering.impacts`' to foretell: none of these is an
            obstacle to another.
    """
    position = belief.position
    nearest, known = nearest_mover(position, movers, belief.alive)
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
    near = obstacles(belief, colliders, lawful) if colliders.any() else None
    settings = _AMONG_BOXES if near is not None and near.boxes else ContactSettings()
    return Surroundings(control, position.new_zeros(belief.capacity, 6), near, settings)


def nearest_mover(
    position: Float[Tensor, "C 3"], movers: Bool[np.ndarray, " C"], living: Bool[Tensor, " C"]
) -> tuple[Int[Tensor, " C"], Bool[Tensor, " C"]]:
    """Return the slot of the mover nearest to each living slot (itself apart), and whether it is near enough to matter.

    Where there is none it is the slot itself.
    """
    place, alive = fetched(position, living)
    here, slots = np.flatnonzero(alive), np.flatnonzero(movers)
    index, known = np.arange(len(alive)), np.zeros(len(alive), dtype=bool)
    row_of = np.full(len(alive), -1)
    row_of[slots] = np.arange(len(slots))
    flat = place[:, :2]
    nearest = nearest_other(flat[here], flat[slots], row_of[here], _STIMULUS_REACH_M)
    found = nearest >= 0
    index[here[found]], known[here[found]] = slots[nearest[found]], True
    return torch.as_tensor(index, device=position.device), torch.as_tensor(known, device=position.device)


def may_bump(
    belief: WorldBelief, slots: Int[np.ndarray, " n"], dt_s: float, lawful: Bool[np.ndarray, " C"] | None = None
) -> Bool[np.ndarray, " n"]:
    """Return which of the bodies in `slots` are in the air, or so near another that they may touch it in `dt_s`.

    The other is no `lawful` one where the body is one itself; see `surroundings`.
    """
    if len(slots) == 0:
        return np.zeros(0, dtype=bool)
    here, size = belief.position.cpu().numpy(), belief.extent_m.cpu().numpy()
    velocity = belief.linear_velocity.cpu().numpy()[slots]
    flying = here[slots, 2] - 0.5 * size[slots, 2] > _FLOOR_MARGIN_M
    flying |= np.abs(velocity[:, 2]) > _FLOOR_SPEED_M_S
    others = np.flatnonzero(solid(belief))
    turn = Rotation.from_quat(belief.orientation_xyzw.cpu().numpy()[others]).inv()
    speed = np.linalg.norm(velocity, axis=1)
    reach = 0.5 * np.linalg.norm(size[slots, :2], axis=1) + _BUMP_MARGIN_M + 1.5 * dt_s * speed
    near = np.zeros(len(slots), dtype=bool)
    for row, slot in enumerate(slots):  # the few bodies that roll
        outside = np.abs(turn.apply(here[slot] - here[others])) - 0.5 * size[others]
        gap = np.linalg.norm(outside.clip(0.0), axis=1)
        bumps = others != slot
        if lawful is not None and lawful[slot]:
            bumps &= ~lawful[others]
        near[row] = bool(((gap < reach[row]) & bumps).any())
    return flying | near


def obstacles(
    belief: WorldBelief, colliders: Bool[np.ndarray, " C"], lawful: Bool[np.ndarray, " C"] | None = None
) -> Obstacles:
    """Return the boxes nearest to each colliding slot; the other slots get none. For `lawful` see `surroundings`."""
    rows = np.flatnonzero(colliders)
    if len(rows) == 0:
        return Obstacles.only_floor(belief.position)
    place = (belief.position.detach(), belief.extent_m.detach(), belief.orientation_xyzw.detach())
    here, size, turn = fetched(*place)
    radius = 0.5 * np.linalg.norm(size, axis=1)
    others = np.flatnonzero(solid(belief))
    if len(others) == 0:
        return Obstacles.only_floor(belief.position)
    gap = np.linalg.norm(here[rows, None] - here[None, others], axis=-1) - radius[others]
    gap[rows[:, None] == others[None]] = np.inf
    if lawful is not None:
        gap[lawful[rows][:, None] & lawful[others][None]] = np.inf
    shortlist = min(_BOXES_LOOKED_AT, len(others))
    within = np.argpartition(gap, shortlist - 1, axis=1)[:, :shortlist]
    # a wall's or a shelf's half diagonal reaches far beyond it: of what may be near, the boxes themselves are measured
    boxes = others[within]
    apart = _distance_to_boxes(here[rows], here[boxes], size[boxes], turn[boxes])
    apart[np.isinf(np.take_along_axis(gap, within, axis=1))] = np.inf
    count = min(_BOXES_NEAR, shortlist)
    order = np.argpartition(apart, count - 1, axis=1)[:, :count]
    near = np.zeros((len(here), count), dtype=np.int64)
    present = np.zeros((len(here), count), dtype=bool)
    near[rows] = np.take_along_axis(boxes, order, axis=1)
    present[rows] = np.isfinite(np.take_along_axis(apart, order, axis=1))
    index = torch.as_tensor(near, device=belief.position.device)
    return Obstacles(
        True,
        belief.position[index],
        belief.orientation_xyzw[index],
        0.5 * belief.extent_m[index],
        belief.linear_velocity[index],
        torch.as_tensor(present, device=belief.position.device),
    )


def _distance_to_boxes(
    place: Float[np.ndarray, "n 3"],
    centre: Float[np.ndarray, "n k 3"],
    size: Float[np.ndarray, "n k 3"],
    orientation_xyzw: Float[np.ndarray, "n k 4"],
) -> Float[np.ndarray, "n k"]:
    """Return how far (m) each place is from the boxes in its row, 0 within one."""
    offset = (place[:, None] - centre).reshape(-1, 3)
    local = Rotation.from_quat(orientation_xyzw.reshape(-1, 4)).apply(offset, inverse=True).reshape(centre.shape)
    return np.asarray(np.linalg.norm((np.abs(local) - 0.5 * size).clip(0.0), axis=-1))


def solid(belief: WorldBelief) -> Bool[np.ndarray, " C"]:
    """Return which slots hold what something can bump into: most of what was seen once is a false detection."""
    return np.asarray((belief.alive & (belief.existence > _SOLID)).detach().cpu().numpy())
