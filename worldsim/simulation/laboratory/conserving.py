"""One step of PyBullet that keeps what free motion keeps, by corrections around the engine.

Three holes of Bullet's multi-body integrator, and what is done about each; between steps the engine holds the true
velocities, so whoever reads it sees nothing of it.

1. *Free flight.* Bullet moves with the velocity at the end of a step, so a thing falls by ``g h t / 2`` too far. Here
   it is moved with the velocity at the middle of the step, and given the velocity at the end after it.
2. *Free rotation.* Bullet integrates Euler's equations explicitly, and an asymmetric top gains energy. Here the
   angular momentum in space is what is kept; the body is turned by the implicit midpoint rule on the rotation group
   (symmetric, so energy has no drift), and its angular velocity follows from momentum and orientation.
3. *Impacts of round bodies.* Bullet's restitution acts on a velocity that a nearby contact has already changed, so an
   elastic ball gains or loses energy at every bounce, whatever the step. Here the impacts within a step are found in
   order, each is resolved by Newton's law at its own time with equal and opposite impulses (friction included), and
   Bullet's own restitution of these bodies is zero.

Whatever a contact of Bullet's does in a step is added to the momentum, so nothing is lost that the engine gave; a body
that a contact carries is left to the engine altogether.

Source: Simo and Wong (1991), "Unconditionally stable algorithms for rigid body dynamics that exactly preserve energy
and momentum", section 3 (ours uses the exponential map and two fixed-point iterations).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from worldsim.simulation.bullet_module import bullet
from worldsim.simulation.engine import RigidState
from worldsim.simulation.geometry import cross, turned
from worldsim.simulation.laboratory.impacts import Mover, Pair, resolve_impacts
from worldsim.simulation.laboratory.scene import Force, midpoint_force
from worldsim.simulation.scene import Quaternion, Vector

__all__ = ["ConservedBody", "ConservingStep"]

_PUSHED_M_S = 1e-9  # a velocity that differs by more from what was foreseen was changed by a contact
_NO_VECTOR: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ConservedBody:
    """A free body of the client.

    Attributes:
        uid: PyBullet's number.
        mass_kg: of the body.
        moments_kg_m2: principal moments along the body's axes.
        radius_m: of a sphere, whose impacts are resolved here; None for every other shape.
        friction, restitution: of its impacts.
    """

    uid: int
    mass_kg: float
    moments_kg_m2: Vector
    radius_m: float | None = None
    friction: float = 0.0
    restitution: float = 0.0

    @property
    def lopsided(self) -> bool:
        """Whether its moments differ, so that its axis wanders."""
        low, high = min(self.moments_kg_m2), max(self.moments_kg_m2)
        return high - low > 1e-9 * high

    @property
    def bounces(self) -> bool:
        """Whether its impacts are resolved here."""
        return self.radius_m is not None and self.restitution > 0.0


@dataclass(slots=True)
class _Flight:
    """What one body is to do in one step: mean motion, and velocities at its end."""

    body: ConservedBody
    position: Vector
    mean_velocity: Vector
    end_velocity: Vector
    spin: Vector
    mean_spin: Vector
    orientation: Quaternion
    momentum: Vector | None


class ConservingStep:
    """Advances a client by one step, corrections around it."""

    def __init__(
        self,
        client: int,
        step_s: float,
        gravity_m_s2: Vector,
        bodies: Sequence[ConservedBody],
        fixed: Sequence[int] = (),
        force: Force | None = None,
    ) -> None:
        """Take charge of the free `bodies` of a client; `fixed` are the numbers of what never moves.

        `force` acts on the first of `bodies`.
        """
        self._client, self._h, self._pull, self._force = client, step_s, gravity_m_s2, force
        self._bodies, self._fixed = tuple(bodies), tuple(fixed)
        self._bouncing = any(body.bounces for body in bodies)

    def advance(self) -> None:
        """Advance by one step."""
        c = self._client
        flights = {}
        for index, body in enumerate(self._bodies):
            carried = any(point[9] > 0.0 for point in bullet.getContactPoints(body.uid, physicsClientId=c))
            if carried:
                if index == 0 and self._force is not None:
                    self._push(body, self._force(*self._motion(body)[:2]))
                continue
            flights[body.uid] = self._plan(body, index == 0)
        if self._bouncing and flights:
            self._bounce(flights)
        bullet.stepSimulation(physicsClientId=c)
        for flight in flights.values():
            self._finish(flight)

    def _motion(self, body: ConservedBody) -> tuple[Vector, Vector, Quaternion, Vector]:
        position, orientation = bullet.getBasePositionAndOrientation(body.uid, physicsClientId=self._client)
        velocity, spin = bullet.getBaseVelocity(body.uid, physicsClientId=self._client)
        return position, velocity, orientation, spin

    def _push(self, body: ConservedBody, force: Vector) -> None:
        at = bullet.getBasePositionAndOrientation(body.uid, physicsClientId=self._client)[0]
        bullet.applyExternalForce(body.uid, -1, force, at, bullet.WORLD_FRAME, physicsClientId=self._client)

    def _plan(self, body: ConservedBody, pushed: bool) -> _Flight:
        """Give the body the velocities that make the engine move it by the mean ones."""
        position, velocity, orientation, spin = self._motion(body)
        h, pull, c = self._h, self._pull, self._client
        first = middle = pull
        if pushed and self._force is not None:
            state = RigidState(position, orientation, velocity, spin)
            start, mid = midpoint_force(self._force, body.mass_kg, pull, state, h)
            first = _plus(pull, start, 1.0 / body.mass_kg)
            middle = _plus(pull, mid, 1.0 / body.mass_kg)
            bullet.applyExternalForce(body.uid, -1, mid, position, bullet.WORLD_FRAME, physicsClientId=c)
        mean = _plus(velocity, first, 0.5 * h)
        mean_spin, momentum = spin, None
        if body.lopsided:
            momentum = _through(orientation, spin, body.moments_kg_m2, False)
            mean_spin = self._mean_spin(body, orientation, spin, momentum)
            torque = cross(mean_spin, _through(orientation, mean_spin, body.moments_kg_m2, False))
            # cancels the engine's own explicit gyroscopic term
            bullet.applyExternalTorque(body.uid, -1, torque, bullet.WORLD_FRAME, physicsClientId=c)
        bullet.resetBaseVelocity(body.uid, _plus(mean, middle, -h), mean_spin, physicsClientId=c)
        return _Flight(body, position, mean, _plus(velocity, middle, h), spin, mean_spin, orientation, momentum)

    def _mean_spin(self, body: ConservedBody, q: Quaternion, spin: Vector, momentum: Vector) -> Vector:
        """Return the angular velocity at the middle of the step, there consistent with the momentum."""
        mean = spin
        for _ in range(3):
            mean = _through(_advanced(q, mean, 0.5 * self._h), momentum, body.moments_kg_m2, True)
        return mean

    def _bounce(self, flights: dict[int, _Flight]) -> None:
        """Resolve the impacts of this step, and set the mean motion of who was hit."""
        h, c = self._h, self._client
        movers: dict[int, Mover] = {}
        for uid, flight in flights.items():
            start = _plus(flight.mean_velocity, self._pull, -0.5 * h)
            movers[uid] = Mover(flight.body, start, flight.spin, self._pull)
        pairs = [
            pair
            for body in self._bodies
            if body.bounces and body.uid in movers
            for pair in self._near(body, flights, movers)
        ]
        if all(pair.time_to_impact() >= h for pair in pairs):
            return
        resolve_impacts(pairs, list(movers.values()), h)
        for uid, mover in movers.items():
            if mover.hits:
                flight = flights[uid]
                flight.mean_velocity = _plus(_NO_VECTOR, mover.moved, 1.0 / h)
                flight.end_velocity, flight.spin, flight.mean_spin = mover.velocity, mover.spin, mover.spin
                bullet.resetBaseVelocity(
                    uid, _plus(flight.mean_velocity, self._pull, -h), mover.spin, physicsClientId=c
                )

    def _near(self, body: ConservedBody, flights: dict[int, _Flight], movers: dict[int, Mover]) -> list[Pair]:
        """Return what a ball may meet in this step: balls that come after it, and what never moves."""
        mover, radius = movers[body.uid], body.radius_m or 0.0
        pairs = []
        for other in self._bodies[self._bodies.index(body) + 1 :]:
            if other.bounces and other.uid in movers:
                apart = _plus(flights[body.uid].position, flights[other.uid].position, -1.0)
                distance = math.hypot(*apart)
                if distance > 0.0:
                    normal = _plus(_NO_VECTOR, apart, 1.0 / distance)
                    gap = distance - radius - (other.radius_m or 0.0)
                    pairs.append(Pair(mover, movers[other.uid], gap, normal, apart))
        reach = math.hypot(*mover.velocity) * self._h + 0.01
        for other_uid in self._fixed:
            for point in bullet.getClosestPoints(body.uid, other_uid, reach, physicsClientId=self._client):
                pairs.append(Pair(mover, None, point[8], point[7]))
        return pairs

    def _finish(self, flight: _Flight) -> None:
        """Give the body the velocities at the end of the step; what a contact changed stays changed."""
        body, c = flight.body, self._client
        velocity, spin = bullet.getBaseVelocity(body.uid, physicsClientId=c)
        change = _plus(velocity, flight.mean_velocity, -1.0)
        if max(map(abs, change)) < _PUSHED_M_S:
            velocity = flight.end_velocity
        if flight.momentum is not None:
            kick = _plus(spin, flight.mean_spin, -1.0)
            momentum = _plus(flight.momentum, _through(flight.orientation, kick, body.moments_kg_m2, False), 1.0)
            orientation = bullet.getBasePositionAndOrientation(body.uid, physicsClientId=c)[1]
            spin = _through(orientation, momentum, body.moments_kg_m2, True)
        bullet.resetBaseVelocity(body.uid, velocity, spin, physicsClientId=c)


def _plus(a: Vector, b: Vector, factor: float) -> Vector:
    return (a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2])


def _through(q: Quaternion, v: Vector, moments: Vector, inverse: bool) -> Vector:
    """Return the inertia tensor (or its inverse) of a body turned by `q`, times `v`."""
    x, y, z = turned((-q[0], -q[1], -q[2], q[3]), v)
    a, b, c = moments
    return turned(q, (x / a, y / b, z / c) if inverse else (x * a, y * b, z * c))


def _advanced(q: Quaternion, spin: Vector, time_s: float) -> Quaternion:
    """Return `q` turned by a constant world-frame angular velocity."""
    speed = math.hypot(*spin)
    if speed * time_s < 1e-12:
        return q
    s, w = math.sin(0.5 * speed * time_s) / speed, math.cos(0.5 * speed * time_s)
    x, y, z = s * spin[0], s * spin[1], s * spin[2]
    return (
        w * q[0] + x * q[3] + y * q[2] - z * q[1],
        w * q[1] - x * q[2] + y * q[3] + z * q[0],
        w * q[2] + x * q[1] - y * q[0] + z * q[3],
        w * q[3] - x * q[0] - y * q[1] - z * q[2],
    )
