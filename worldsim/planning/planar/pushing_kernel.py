"""Pushing in the floor plane, sample by sample: `worldsim.planning.planar.rollout` in machine code.

In arrays every piece of a step is some hundred operations on a few hundred samples of a few corners each, and handing
those out takes longer than they do. Here one loop goes through a sample's whole future. The arithmetic is that of
`rollout` and `pushing`, in double precision; a test holds the two together.

This file imports the compiler: it is imported by those who roll out on the host, at their first rollout.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from jaxtyping import Float, Int

from worldsim.dynamics.machine_code import compiled
from worldsim.planning.planar.pushing import HULL

# as in `pushing`; what is compiled here is kept until this file changes
_PROJECTIONS = 2
_HULL = (
    (1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0),
)  # fmt: skip
if HULL != _HULL:
    raise ImportError("worldsim.planning.planar.pushing_kernel: its hull is not that of `pushing`.")

_jit = numba.njit(nogil=True, error_model="numpy")


@_jit
def _deeper(
    points: Float[np.ndarray, "P 2"],
    pose: tuple[float, float, float],
    rectangles: Float[np.ndarray, "R 4"],
    other: tuple[float, float, float],
    found: Float[np.ndarray, " 7"],
    side: float,
) -> None:
    """Put depth, place and direction of the worst overlap into `found`, if it is worse than what is there.

    All overlaps are added to the last two numbers.

    Args:
        points: of a body, in its frame.
        pose: of that body, (x, y, yaw).
        rectangles: of the other body, in its frame: middle, half length and half width.
        other: pose of the other body.
        found: depth, x, y of the point, x and y of the direction; sums of all depths, and of depth times lever.
        side: 1 where the points are the thing's, which gives way along the direction out of the rectangle, else -1.
    """
    c, s, c_other, s_other = math.cos(pose[2]), math.sin(pose[2]), math.cos(other[2]), math.sin(other[2])
    for p in range(len(points)):
        x = pose[0] + c * points[p, 0] - s * points[p, 1]
        y = pose[1] + s * points[p, 0] + c * points[p, 1]
        dx, dy = x - other[0], y - other[1]
        local_x, local_y = c_other * dx + s_other * dy, c_other * dy - s_other * dx
        for r in range(len(rectangles)):
            along, across = local_x - rectangles[r, 0], local_y - rectangles[r, 1]
            left_x, left_y = rectangles[r, 2] - abs(along), rectangles[r, 3] - abs(across)
            depth = min(left_x, left_y)
            if depth <= 0.0:
                continue
            out_x = 0.0 if left_x > left_y else (side if along >= 0.0 else -side)
            out_y = 0.0 if left_x <= left_y else (side if across >= 0.0 else -side)
            normal_x, normal_y = c_other * out_x - s_other * out_y, s_other * out_x + c_other * out_y
            own_x, own_y = (other[0], other[1]) if side > 0.0 else (pose[0], pose[1])
            found[5] += depth
            found[6] += depth * ((x - own_x) * normal_y - (y - own_y) * normal_x)
            if depth > found[0]:
                found[0], found[1], found[2], found[3], found[4] = depth, x, y, normal_x, normal_y


@_jit
def _pushed_out(
    own: tuple[float, float, float],
    own_points: Float[np.ndarray, "Q 2"],
    own_rectangles: Float[np.ndarray, "B 4"],
    thing: tuple[float, float, float],
    corners: Float[np.ndarray, "P 2"],
    rectangles: Float[np.ndarray, "R 4"],
    squared_m2: float,
) -> tuple[tuple[float, float, float], bool, float, float]:
    """Return the thing's pose once it does not overlap with the own body, whether it did, and the push's parts.

    As `pushing.push_out`: along the own heading, and the lever about the own middle (m).
    """
    touched, along, lever, found = False, 0.0, 0.0, np.zeros(7)
    for k in range(_PROJECTIONS):
        found[:] = 0.0  # no depth of less than nothing
        _deeper(corners, thing, own_rectangles, own, found, 1.0)
        _deeper(own_points, own, rectangles, thing, found, -1.0)
        if found[0] <= 0.0:
            break
        if k == 0:
            touched, along = True, found[3] * math.cos(own[2]) + found[4] * math.sin(own[2])
            lever = found[6] / found[5]
        torque = (found[1] - thing[0]) * found[4] - (found[2] - thing[1]) * found[3]
        share = found[0] / (1.0 + torque * torque / squared_m2)
        thing = (thing[0] + found[3] * share, thing[1] + found[4] * share, thing[2] + torque * share / squared_m2)
    return thing, touched, along, lever


@_jit
def _passed_on(
    now: Float[np.ndarray, "N 3"],
    before: Float[np.ndarray, "N 3"],
    hit: Int[np.ndarray, " N"],
    pushes: Float[np.ndarray, "N 2"],
    things: Float[np.ndarray, "N 4"],
    first: Int[np.ndarray, " N1"],
    rectangles: Float[np.ndarray, "R 4"],
    points: tuple[Float[np.ndarray, "R8 2"], Float[np.ndarray, "R4 2"]],
) -> None:
    """Let what is pushed push others out of its way, and those again others (`rollout._passed_on`).

    Args:
        now, before: poses of the things, and where they were before the piece of the step.
        hit: 1 for what the own body pushed, 0 for what it did not; what is pushed by the former becomes 2, and so on.
        pushes: parts of each push along the own heading, and its lever.
        things, first, rectangles: as of `futures`.
        points: of the hulls and the corners of all rectangles, in the things' frames: 8 and 4 of each.
    """
    hulls, corners = points
    for level in range(1, len(things)):
        for n in range(len(things)):
            if hit[n] != level:
                continue
            pose, a, b = (now[n, 0], now[n, 1], now[n, 2]), first[n], first[n + 1]
            for m in range(len(things)):
                apart = math.hypot(now[n, 0] - now[m, 0], now[n, 1] - now[m, 1])
                if hit[m] != 0 or apart > things[n, 3] + things[m, 3]:
                    continue
                thing, c, d = (now[m, 0], now[m, 1], now[m, 2]), first[m], first[m + 1]
                thing, met, _, _ = _pushed_out(
                    pose, hulls[8 * a : 8 * b], rectangles[a:b], thing, corners[4 * c : 4 * d], rectangles[c:d],
                    things[m, 1],
                )  # fmt: skip
                if not met:
                    continue
                x, y, u, v = (
                    thing[0] - now[m, 0],
                    thing[1] - now[m, 1],
                    now[n, 0] - before[n, 0],
                    now[n, 1] - before[n, 1],
                )
                far = math.hypot(x, y) * math.hypot(u, v)
                share = max(x * u + y * v, 0.0) / far if far > 0.0 else 0.0
                pushes[m, 0], pushes[m, 1] = share * pushes[n, 0], share * pushes[n, 1]
                now[m, 0], now[m, 1], now[m, 2] = thing
                hit[m] = level + 1


@_jit
def _driven(
    pose: tuple[float, float, float],
    speed: float,
    rate: float,
    wanted: tuple[float, float],
    lost: tuple[float, float],
    answer: tuple[float, float, float],
) -> tuple[tuple[float, float, float], float, float]:
    """Return pose, speed and yaw rate a piece of a step later (`rollout._drive`).

    What is lost is speed (m/s) and yaw rate (rad/s); `answer` is (speed, yaw, seconds).
    """
    target = wanted[0] - min(max(lost[0], min(wanted[0], 0.0)), max(wanted[0], 0.0))
    turning = wanted[1] - lost[1]
    keep_v, keep_w = math.exp(-answer[0] * answer[2]), math.exp(-answer[1] * answer[2])
    travelled = target * answer[2] + (speed - target) * (1.0 - keep_v) / answer[0]
    turned = turning * answer[2] + (rate - turning) * (1.0 - keep_w) / answer[1]
    middle = pose[2] + turned / 2.0
    there = (pose[0] + travelled * math.cos(middle), pose[1] + travelled * math.sin(middle), pose[2] + turned)
    return there, target + (speed - target) * keep_v, turning + (rate - turning) * keep_w


@compiled
def futures(
    command: Float[np.ndarray, "S T 2"],
    start: Float[np.ndarray, "S 5"],
    own_rectangles: Float[np.ndarray, "B 4"],
    body: tuple[float, float, float, float, int],
    placed: Float[np.ndarray, "S N 3"],
    things: Float[np.ndarray, "N 4"],
    first: Int[np.ndarray, " N1"],
    rectangles: Float[np.ndarray, "R 4"],
) -> tuple[
    Float[np.ndarray, "S T 5"],
    Float[np.ndarray, "S T N 3"],
    Float[np.ndarray, "S T N"],
]:
    """Return the own body, the poses of what it may push, and whether each was pushed, after each step.

    The own body is x, y, yaw, speed and yaw rate.

    Args:
        command: forward speed (m/s) and yaw rate (rad/s) that are asked for.
        start: the own body's x, y, yaw, speed and yaw rate at first.
        own_rectangles: of the own body and of what it holds, in its frame: middle, half length and half width.
        body: how fast its speed and its yaw rate answer (1/s), the length of a piece of a step (s),
            `rollout.turn_per_lever`, and how many pieces there are to a step.
        placed: poses of the things at first.
        things: reach (m; farther away nothing touches), squared characteristic length (m^2), resistance (m/s), radius
            (m).
        first: rectangle that is each thing's first, and how many there are.
        rectangles: of all things, in their frames: middle, half length and half width.
    """
    samples, steps, count = command.shape[0], command.shape[1], len(things)
    own_path, thing_path = np.empty((samples, steps, 5)), np.empty((samples, steps, count, 3))
    pushing, lost, pushes = np.zeros((samples, steps, count)), np.zeros((count, 2)), np.zeros((count, 2))
    answer, signs, hit = (body[0], body[1], body[2]), np.array(_HULL), np.zeros(count, dtype=np.int64)
    now, before = np.empty((count, 3)), np.empty((count, 3))
    own_points = np.empty((len(signs) * len(own_rectangles), 2))
    for r in range(len(own_rectangles)):
        first_point = len(signs) * r
        own_points[first_point : first_point + len(signs)] = own_rectangles[r, :2] + signs * own_rectangles[r, 2:]
    corners, hulls = np.empty((4 * len(rectangles), 2)), np.empty((8 * len(rectangles), 2))
    for r in range(len(rectangles)):
        hulls[8 * r : 8 * r + 8] = rectangles[r, :2] + signs * rectangles[r, 2:]
        corners[4 * r : 4 * r + 4] = rectangles[r, :2] + signs[:4] * rectangles[r, 2:]
    for s in range(samples):
        pose, speed, rate = (start[s, 0], start[s, 1], start[s, 2]), start[s, 3], start[s, 4]
        now[:], lost[:] = placed[s], 0.0
        for t in range(steps):
            wanted = (command[s, t, 0], command[s, t, 1])
            for _ in range(body[4]):
                pose, speed, rate = _driven(pose, speed, rate, wanted, (lost[:, 0].sum(), lost[:, 1].sum()), answer)
                before[:], hit[:], pushes[:], lost[:] = now, 0, 0.0, 0.0
                for n in range(count):
                    thing = (now[n, 0], now[n, 1], now[n, 2])
                    if math.hypot(pose[0] - thing[0], pose[1] - thing[1]) > things[n, 0]:
                        continue
                    a, b = first[n], first[n + 1]
                    thing, met, along, lever = _pushed_out(
                        pose, own_points, own_rectangles, thing, corners[4 * a : 4 * b], rectangles[a:b], things[n, 1]
                    )
                    now[n, 0], now[n, 1], now[n, 2] = thing
                    if met:
                        hit[n], pushes[n, 0], pushes[n, 1] = 1, along, lever
                if count > 1:
                    _passed_on(now, before, hit, pushes, things, first, rectangles, (hulls, corners))
                for n in range(count):
                    if hit[n] > 0:
                        pushing[s, t, n] = 1.0
                        lost[n, 0], lost[n, 1] = things[n, 2] * pushes[n, 0], things[n, 2] * pushes[n, 1] * body[3]
            own_path[s, t, 0], own_path[s, t, 1], own_path[s, t, 2] = pose
            own_path[s, t, 3], own_path[s, t, 4], thing_path[s, t] = speed, rate, now
    return own_path, thing_path, pushing
