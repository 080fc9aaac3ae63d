"""Imagined futures in the floor plane: the own body under candidate commands, and what it pushes along."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.planning.kinematics import unicycle_rollout
from worldsim.planning.planar.pushing import Outline, push_out, pushed_by
from worldsim.planning.situation import OwnBody

_SUBSTEP_M = 0.12  # the own body moves no farther between two looks for overlap
_ENOUGH_GAP_M = 0.02


@dataclass(frozen=True, slots=True)
class Pushable:
    """A thing that gives way when it is driven into.

    Attributes:
        object_id: in the belief.
        pose: (x, y, yaw) of its outline's middle, m and rad.
        outline: of the thing.
        resistance_m_s: how much slower the own body goes while it pushes, m/s: friction over the wheels' answer; beside
            its middle it is turned as well.
    """

    object_id: int
    pose: tuple[float, float, float]
    outline: Outline
    resistance_m_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PlanarFuture:
    """S imagined futures over T steps.

    Attributes:
        own: [S, T, 3] poses (x, y, yaw) of the own body.
        speed: [S, T] m/s.
        pushed: [S, T, N, 3] poses of the N pushables, in the frame of their outline's middle.
        pushing: [S, T, N] whether each was pushed in a step, 0 or 1.
    """

    own: Float[Tensor, "S T 3"]
    speed: Float[Tensor, "S T"]
    pushed: Float[Tensor, "S T N 3"]
    pushing: Float[Tensor, "S T N"]


def roll_out(
    own: OwnBody,
    pushables: tuple[Pushable, ...],
    command: Float[Tensor, "S T U"],
    limits: tuple[float, float],
    dt_s: float,
    held: Float[Tensor, "H 4"] | None = None,
) -> PlanarFuture:
    """Return what comes of S command sequences; differentiable in them.

    On the CPU, where no gradient is asked for, the same comes from machine code (`pushing_kernel`), to rounding.

    Args:
        own: the own body now.
        pushables: N things that it may push, and that push one another while it does.
        command: forward speed and yaw rate, each in [-1, 1] of `limits`, held over each step; more columns are unread.
        limits: highest speed (m/s) and yaw rate (rad/s).
        dt_s: length of a step, s.
        held: rectangles that the own body holds and pushes with, too (middle and half edges, in its frame).
    """
    samples, steps = command.shape[:2]
    if not pushables:  # nothing to touch: all steps at once
        alone = unicycle_rollout(own, command[..., :2], limits, dt_s)
        pose = torch.cat([alone.position, alone.heading[..., None]], dim=-1)
        none = command.new_zeros(samples, steps, 0)
        return PlanarFuture(pose, alone.speed, none[..., None].expand(-1, -1, -1, 3), none)
    pieces = max(1, math.ceil(limits[0] * dt_s / _SUBSTEP_M))
    piece_s = dt_s / pieces
    if type(command) is Tensor and command.device.type == "cpu" and not command.requires_grad:
        return _rolled_on_host(own, pushables, command[..., :2] * command.new_tensor(limits), pieces, piece_s, held)
    half = command.new_tensor(own.extent_m[:2]) / 2.0
    pose = command.new_tensor([*own.position, own.heading_rad]).expand(samples, 3)
    speed = command.new_full((samples,), own.speed_m_s)
    rate = command.new_full((samples,), own.yaw_rate_rad_s)
    things = [command.new_tensor(thing.pose).expand(samples, 3) for thing in pushables]
    pushing = [command.new_zeros(samples, 2) for _ in pushables]
    reach = [reach_m(own, held) + thing.outline.radius_m + _ENOUGH_GAP_M for thing in pushables]
    rows: list[tuple[Tensor, Tensor, list[Tensor], list[Tensor]]] = []
    for t in range(steps):
        wanted = command[:, t, :2] * command.new_tensor(limits)
        touched = [torch.zeros_like(speed) for _ in pushing]
        for _ in range(pieces):
            lost = sum(
                (p * thing.resistance_m_s for p, thing in zip(pushing, pushables)), torch.zeros_like(pose[:, :2])
            )
            pose, speed, rate = _drive(pose, speed, rate, wanted, lost, own, piece_s)
            before = list(things)
            hit = [torch.zeros_like(speed, dtype=torch.int64) for _ in pushables]
            for n, thing in enumerate(pushables):
                near = (pose[:, :2] - things[n][:, :2]).norm(dim=1).amin()
                if float(near.detach()) > reach[n]:  # no sample can touch it: most steps cost nothing
                    pushing[n] = torch.zeros_like(pushing[n])
                    continue
                things[n], depth, push = push_out(pose, half, things[n], thing.outline, held)
                hit[n] = (depth.detach() > 0.0).long()
                pushing[n] = push.detach() * hit[n][:, None]
            _passed_on(pushables, things, before, hit, pushing)
            touched = [torch.maximum(t, (h > 0).to(t.dtype)) for t, h in zip(touched, hit, strict=True)]
        rows.append((pose, speed, list(things), touched))
    return PlanarFuture(
        torch.stack([row[0] for row in rows], dim=1),
        torch.stack([row[1] for row in rows], dim=1),
        torch.stack([torch.stack(row[2], dim=1) for row in rows], dim=1),
        torch.stack([torch.stack(row[3], dim=1) for row in rows], dim=1),
    )


def _passed_on(
    pushables: tuple[Pushable, ...],
    things: list[Float[Tensor, "S 3"]],
    before: list[Float[Tensor, "S 3"]],
    hit: list[Int[Tensor, " S"]],
    pushing: list[Float[Tensor, "S 2"]],
) -> None:
    """Let what is pushed push others out of its way, and those again others.

    What it takes to push them comes from the own body, as far as they go where goes what pushes them.

    Args:
        pushables: N things.
        things, before: their poses, and those before the own body moved.
        hit: 1 where the own body pushes each, else 0; what is pushed by the former becomes 2, and so on.
        pushing: each push: its part along the own heading, and its lever (m).
    """
    for level in range(1, len(pushables)):
        for n, pusher in enumerate(pushables):
            rectangles = torch.cat([pusher.outline.centre, pusher.outline.half_m], dim=1).to(things[n])
            for m, other in enumerate(pushables):
                may = (hit[n] == level) & (hit[m] == 0)
                if not bool(may.any()):
                    continue
                moved, depth, _ = pushed_by(things[n], rectangles, things[m], other.outline)
                met = may & (depth.detach() > 0.0)
                there, here = (moved - things[m]).detach()[:, :2], (things[n] - before[n]).detach()[:, :2]
                far = there.norm(dim=1) * here.norm(dim=1)
                share = torch.where(far > 0.0, (there * here).sum(dim=1).clamp(min=0.0) / far, 0.0)
                pushing[m] = torch.where(met[:, None], share[:, None] * pushing[n], pushing[m])
                things[m] = torch.where(met[:, None], moved, things[m])
                hit[m] = torch.where(met, level + 1, hit[m])


def _rolled_on_host(
    own: OwnBody,
    pushables: tuple[Pushable, ...],
    wanted: Float[Tensor, "S T 2"],
    pieces: int,
    piece_s: float,
    held: Float[Tensor, "H 4"] | None,
) -> PlanarFuture:
    samples = len(wanted)
    start = np.array([*own.position, own.heading_rad, own.speed_m_s, own.yaw_rate_rad_s])
    placed = np.array([thing.pose for thing in pushables])
    path, things, pushing = (
        torch.from_numpy(part).to(wanted.dtype)
        for part in HostPlane(own, pushables, pieces, piece_s, held)(
            wanted.double().contiguous().numpy(),
            np.broadcast_to(start, (samples, 5)).copy(),
            np.broadcast_to(placed, (samples, *placed.shape)).copy(),
        )
    )
    return PlanarFuture(path[..., :3], path[..., 3], things, pushing)


class HostPlane:
    """The own body and what it may push, in machine code on the host; the compiler is imported when one is made."""

    def __init__(
        self,
        own: OwnBody,
        pushables: tuple[Pushable, ...],
        pieces: int,
        piece_s: float,
        held: Float[Tensor, "H 4"] | None = None,
    ) -> None:
        """Lay out what does not change: `pieces` to a step, each of `piece_s` s, and what is `held` (`roll_out`)."""
        from worldsim.planning.planar.pushing_kernel import futures

        outlines = [thing.outline for thing in pushables]
        self._futures = futures
        parts = _own_rectangles(own, held)
        self._own_rectangles = parts.numpy()
        answers = (float(own.speed_response_per_s), float(own.yaw_response_per_s))
        self._body = (*answers, piece_s, turn_per_lever(own), pieces)
        far = reach_m(own, held) + _ENOUGH_GAP_M
        rows = [
            (far + o.radius_m, o.characteristic_m**2, t.resistance_m_s, o.radius_m) for o, t in zip(outlines, pushables)
        ]
        self._things = np.array(rows, dtype=np.float64).reshape(-1, 4)
        self._first = np.cumsum([0, *(len(outline.centre) for outline in outlines)])
        boxes = [torch.cat([outline.centre, outline.half_m], dim=1).double().numpy() for outline in outlines]
        self._rectangles = np.concatenate([np.zeros((0, 4)), *boxes])

    def __call__(
        self,
        wanted: Float[np.ndarray, "S T 2"],
        start: Float[np.ndarray, "S 5"],
        placed: Float[np.ndarray, "S N 3"],
    ) -> tuple[Float[np.ndarray, "S T 5"], Float[np.ndarray, "S T N 3"], Float[np.ndarray, "S T N"]]:
        """Return the own body, what it may push, and whether it was pushed, after each of T steps.

        Args:
            wanted: speed (m/s) and yaw rate (rad/s) that are asked for.
            start: x, y, yaw, speed and yaw rate of the own body at first; so it is returned, too.
            placed: poses (x, y, yaw) of the N pushables at first.
        """
        return self._futures(
            wanted,
            start,
            self._own_rectangles,
            self._body,
            placed,
            self._things,
            self._first,
            self._rectangles,
        )


def _own_rectangles(own: OwnBody, held: Float[Tensor, "H 4"] | None) -> Float[Tensor, "B 4"]:
    """Return middles and half edges of the own body and of what it holds, in its frame."""
    body = torch.tensor([[0.0, 0.0, own.extent_m[0] / 2.0, own.extent_m[1] / 2.0]], dtype=torch.float64)
    return body if held is None else torch.cat([body, held.to(body)])


def reach_m(own: OwnBody, held: Float[Tensor, "H 4"] | None) -> float:
    """Return the distance of the farthest corner of the own body, and of what it holds, from its middle, m."""
    parts = _own_rectangles(own, held)
    return float((parts[:, :2].abs() + parts[:, 2:]).norm(dim=1).max())


def turn_per_lever(own: OwnBody) -> float:
    """Return by how much (rad/s) the own body turns for each m/s that a push takes off its speed and each m of lever.

    A force f takes f / (m k) off the speed of a mass m whose wheels answer at a rate k, and a torque t takes t / (I q)
    off the yaw rate that they answer at a rate q. The own body is taken for a box of even density.
    """
    length, width = own.extent_m[:2]
    return own.speed_response_per_s / own.yaw_response_per_s * 12.0 / (length**2 + width**2)


def _drive(
    pose: Float[Tensor, "S 3"],
    speed: Float[Tensor, " S"],
    rate: Float[Tensor, " S"],
    wanted: Float[Tensor, "S 2"],
    lost: Float[Tensor, "S 2"],
    own: OwnBody,
    dt_s: float,
) -> tuple[Float[Tensor, "S 3"], Float[Tensor, " S"], Float[Tensor, " S"]]:
    """Return pose, speed and yaw rate a piece of a step later: first-order answers, a unicycle's path.

    What is pushed takes `lost` off: speed (m/s) along the heading, but never more than is wanted, and the same times
    its lever (m^2/s), which turns the own body.
    """
    target = wanted[:, 0] - torch.minimum(
        torch.maximum(lost[:, 0], wanted[:, 0].clamp(max=0.0)), wanted[:, 0].clamp(min=0.0)
    )
    turning = wanted[:, 1] - lost[:, 1] * turn_per_lever(own)
    keep_v, keep_w = math.exp(-own.speed_response_per_s * dt_s), math.exp(-own.yaw_response_per_s * dt_s)
    after_v = target + (speed - target) * keep_v
    after_w = turning + (rate - turning) * keep_w
    # exact integrals of the lags over the step
    travelled = target * dt_s + (speed - target) * (1.0 - keep_v) / own.speed_response_per_s
    turned = turning * dt_s + (rate - turning) * (1.0 - keep_w) / own.yaw_response_per_s
    middle = pose[:, 2] + turned / 2.0
    step = torch.stack([travelled * torch.cos(middle), travelled * torch.sin(middle), turned], dim=-1)
    return pose + step, after_v, after_w
