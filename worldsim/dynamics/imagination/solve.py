"""The impulses between bodies that both yield: accelerated projected gradient steps over all contacts at once.

The step of a contact is the inverse of its effective mass where each body's mass is shared out among its contacts,
which keeps simultaneous steps from overshooting.

Source: Tonge et al. 2012 (mass splitting); Mazhar et al. 2015 (Nesterov's momentum). Ours differs: Coulomb's disc
    takes the normal impulse of the same iteration, momentum is dropped sample by sample where it points uphill, and the
    number of iterations is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics.imagination.vectors import cross, dot, turned_back

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Bodies:
    """What resists: inverse masses and moments of N bodies and one more that never moves.

    Attributes:
        inverse_mass: [N1, S1] 1/kg; 0 for what is fixed.
        inverse_moments: [3, N1, S1] 1/(kg m^2), body axes.
        rotation: [3, 3, N1, S].
        inverse_inertia: [3, 3, N1, S] 1/(kg m^2), world axes.
    """

    inverse_mass: Float[Tensor, "N1 S1"]
    inverse_moments: Float[Tensor, "3 N1 S1"]
    rotation: Float[Tensor, "3 3 N1 S"]
    inverse_inertia: Float[Tensor, "3 3 N1 S"]

    @classmethod
    def of(
        cls,
        inverse_mass: Float[Tensor, "N1 S1"],
        inverse_moments: Float[Tensor, "3 N1 S1"],
        rotation: Float[Tensor, "3 3 N1 S"],
    ) -> Bodies:
        """Return the bodies as they are turned now."""
        scaled = rotation * inverse_moments  # R diag(m): the moments run along the columns
        inertia = torch.stack([(scaled[i][None] * rotation).sum(1) for i in range(3)])
        return cls(inverse_mass, inverse_moments, rotation, inertia)

    def spun_by(self, torque: Float[Tensor, "3 N1 S"]) -> Float[Tensor, "3 N1 S"]:
        """Return the change of spin under an angular impulse, world frame."""
        return (self.inverse_inertia * torque).sum(1)  # symmetric: rows are columns


@dataclass(frozen=True, slots=True)
class Levers:
    """Where C contacts act on their two bodies.

    Everything is told from one origin, so that a contact's turning effect on both its bodies is one cross product, and
    what bodies and contacts are to each other is a matrix of 1, -1 and 0, which multiplies sooner than rows are
    gathered.

    Attributes:
        first, second: [C] rows of the bodies.
        sides: [C, N1] 1 for the first body of a contact, -1 for the second.
        point: [3, C, S] m, from the origin.
        centre: [3, N1, S] m, centres of mass from the origin.
    """

    first: Int[Tensor, " C"]
    second: Int[Tensor, " C"]
    sides: Float[Tensor, "C N1"]
    point: Float[Tensor, "3 C S"]
    centre: Float[Tensor, "3 N1 S"]

    def relative_velocity(
        self, velocity: Float[Tensor, "3 N1 S"], spin: Float[Tensor, "3 N1 S"]
    ) -> Float[Tensor, "3 C S"]:
        """Return the velocity of the first body's point against the second's, m/s."""
        at_origin = velocity - cross(spin, self.centre)
        return torch.matmul(self.sides, at_origin) + cross(torch.matmul(self.sides, spin), self.point)

    def wrench_of(self, impulse: Float[Tensor, "3 C S"]) -> tuple[Float[Tensor, "3 N1 S"], Float[Tensor, "3 N1 S"]]:
        """Return impulse and angular impulse on each body, about its centre, of impulses on the first bodies."""
        push = torch.matmul(self.sides.T, impulse)
        return push, torch.matmul(self.sides.T, cross(self.point, impulse)) - cross(self.centre, push)


@dataclass(frozen=True, slots=True)
class Problem:
    """Contacts to be solved.

    Attributes:
        levers: where they act.
        active: [C, S].
        normal: [3, C, S].
        aim: [C, S] m/s, normal velocity that is wanted at least.
        friction: [C, S1].
        guess: [3, C, S] N s, where the iterations begin: the impulses of the step before, as most contacts last.
    """

    levers: Levers
    active: Bool[Tensor, "C S"]
    normal: Float[Tensor, "3 C S"]
    aim: Float[Tensor, "C S"]
    friction: Float[Tensor, "C S1"]
    guess: Float[Tensor, "3 C S"]


def solved(
    problem: Problem,
    bodies: Bodies,
    velocity: Float[Tensor, "3 N1 S"],
    spin: Float[Tensor, "3 N1 S"],
    iterations: int,
) -> tuple[Float[Tensor, "3 N1 S"], Float[Tensor, "3 N1 S"], Float[Tensor, "3 C S"]]:
    """Return velocities and spins after the impulses, and the impulses on the first bodies (N s).

    Args:
        problem: what the impulses have to achieve.
        bodies: who resists.
        velocity, spin: without the impulses.
        iterations: how many.
    """
    pace = _steps(problem, bodies)
    target = problem.levers.relative_velocity(velocity, spin) - problem.aim * problem.normal
    impulse = problem.guess * problem.active
    state = Iterate(impulse, impulse, torch.zeros_like(target[0, :1]))
    for _ in range(iterations):
        state = iterated(problem, bodies, target, pace, state)
    dv, dw = _changed(problem, bodies, state.impulse)
    return velocity + dv, spin + dw, state.impulse


@dataclass(frozen=True, slots=True)
class Iterate:
    """Impulses, where momentum carries them, and for how long it has lasted in each sample."""

    impulse: Float[Tensor, "3 C S"]
    lookahead: Float[Tensor, "3 C S"]
    age: Float[Tensor, "1 S"]


def iterated(
    problem: Problem,
    bodies: Bodies,
    target: Float[Tensor, "3 C S"],
    pace: tuple[Float[Tensor, "C S"], Float[Tensor, "C S"]],
    now: Iterate,
) -> Iterate:
    """Take one accelerated projected gradient step."""
    (step_normal, step_tangent), n = pace, problem.normal
    residual = target + problem.levers.relative_velocity(*_changed(problem, bodies, now.lookahead))
    along, held = dot(residual, n), dot(now.lookahead, n)
    normal = (held - step_normal * along).clamp_min(0.0)  # without contact the steps are 0, and so is all else
    tangent = now.lookahead - step_tangent * residual - (held - step_tangent * along) * n
    share = (problem.friction * normal * torch.rsqrt(dot(tangent, tangent) + _TINY * _TINY)).clamp_max(1.0)
    updated = normal * n + share * tangent
    moved = updated - now.impulse
    uphill = dot(residual, moved).sum(0, keepdim=True) > 0.0
    age = torch.where(uphill, 0.0, now.age + 1.0)
    return Iterate(updated, updated + (age / (age + 3.0)) * moved, age)


def _changed(
    problem: Problem, bodies: Bodies, impulse: Float[Tensor, "3 C S"]
) -> tuple[Float[Tensor, "3 N1 S"], Float[Tensor, "3 N1 S"]]:
    """Return what impulses on the first bodies, and their opposites on the second, change."""
    push, twist = problem.levers.wrench_of(impulse)
    return bodies.inverse_mass * push, bodies.spun_by(twist)


def _steps(problem: Problem, bodies: Bodies) -> tuple[Float[Tensor, "C S"], Float[Tensor, "C S"]]:
    """Return the steps along the normal and across it; 0 where there is no contact."""
    at, there = problem.levers, problem.active.to(problem.aim.dtype)
    count = torch.zeros_like(bodies.rotation[0, 0]).index_add(0, at.first, there).index_add(0, at.second, there)
    normal = across = torch.zeros_like(problem.aim)
    for rows in (at.first, at.second):
        arm = at.point - at.centre.index_select(1, rows)
        rotation = bodies.rotation.index_select(2, rows)
        moments = bodies.inverse_moments.index_select(1, rows)
        mass = bodies.inverse_mass.index_select(0, rows)
        shared = count.index_select(0, rows)
        lever = turned_back(rotation, cross(arm, problem.normal))
        normal = normal + shared * (mass + dot(lever, moments * lever))
        across = across + shared * (mass + moments.amax(0) * dot(arm, arm))
    return there / (normal + _TINY), there / (across + _TINY)
