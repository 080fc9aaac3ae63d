"""What lies still stays where it lies: a correction around PyBullet's step that moves nothing by force.

Bullet's friction acts on velocities and remembers no place. The last digits of a solution that was cut short are the
same at every step, so that a box alone on a floor creeps by up to 0.03 mm a second, and the tenth of a stack by ten
times that, always the same way. Here a group of bodies that touch each other and what never moves, all of them slow for
a while, is put back together to where it came to rest, ten times a second.

Velocities are left as they are, so momentum is the engine's own, and a push that the engine answers with a velocity
sets the group free at the next look: what was undone until then is less than ``_SLOW_M_S * _LOOK_S``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worldsim.simulation.bullet_module import bullet
from worldsim.simulation.scene import Quaternion, Vector

__all__ = ["RestingGroups"]

_SLOW_M_S, _SLOW_RAD_S = 1e-3, 1e-2
_LOOK_S = 0.1
_LOOKS = 3
"""Looks in a row at which a group has to be slow, and within reach of where it was, before its place is kept."""

Place = tuple[Vector, Quaternion]


@dataclass(frozen=True, slots=True)
class _Group:
    """Bodies that touch, where they lay when they were first found slow, and how many looks ago that was."""

    places: Mapping[int, Place]
    looks: int


class RestingGroups:
    """Keeps the places of resting bodies of one client."""

    def __init__(self, client: int, step_s: float, bodies: Sequence[int]) -> None:
        """Watch the free `bodies` (PyBullet's numbers) of a client that steps by `step_s`."""
        self._client, self._bodies = client, tuple(bodies)
        self._every = max(1, round(_LOOK_S / step_s))
        self._steps = 0
        self._groups: dict[frozenset[int], _Group] = {}

    def after_step(self) -> None:
        """Look at the bodies where it is time to, and put back what rests."""
        self._steps += 1
        if self._steps % self._every:
            return
        found: dict[frozenset[int], _Group] = {}
        for members in self._touching():
            now = {uid: bullet.getBasePositionAndOrientation(uid, physicsClientId=self._client) for uid in members}
            if not all(self._slow(uid) for uid in members):
                continue
            group = self._groups.get(members)
            if group is None or not _near(group.places, now):
                found[members] = _Group(now, 1)
                continue
            found[members] = _Group(group.places, group.looks + 1)
            if group.looks >= _LOOKS:
                self._put_back(group.places)
        self._groups = found

    def _touching(self) -> list[frozenset[int]]:
        """Return the groups of free bodies that touch each other, those that touch nothing left out."""
        watched = set(self._bodies)
        neighbours: dict[int, set[int]] = {}
        for uid in self._bodies:
            points = bullet.getContactPoints(uid, physicsClientId=self._client)
            if any(point[9] > 0.0 for point in points):
                neighbours[uid] = {point[2] for point in points} & watched
        groups = []
        waiting = set(neighbours)
        while waiting:
            members: set[int] = set()
            frontier = {waiting.pop()}
            while frontier:
                members |= frontier
                frontier = {other for uid in frontier for other in neighbours.get(uid, ())} - members
            waiting -= members
            groups.append(frozenset(members))
        return groups

    def _slow(self, uid: int) -> bool:
        velocity, spin = bullet.getBaseVelocity(uid, physicsClientId=self._client)
        return math.hypot(*velocity) < _SLOW_M_S and math.hypot(*spin) < _SLOW_RAD_S

    def _put_back(self, places: Mapping[int, Place]) -> None:
        for uid, (position, orientation) in places.items():
            velocity, spin = bullet.getBaseVelocity(uid, physicsClientId=self._client)
            bullet.resetBasePositionAndOrientation(uid, position, orientation, physicsClientId=self._client)
            bullet.resetBaseVelocity(uid, velocity, spin, physicsClientId=self._client)


def _near(before: Mapping[int, Place], now: Mapping[int, Place]) -> bool:
    """Return whether no body has come farther than the slow speed takes it between two looks."""
    reach = _SLOW_M_S * _LOOK_S
    return all(math.dist(before[uid][0], place[0]) < reach for uid, place in now.items())
