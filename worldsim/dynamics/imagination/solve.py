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

from worldsim.dynamics.imagination.vectors import cross, dot, turned, turned_back

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Bodies:
    """What resists: inverse masses and moments of N bodies and one more that never moves.

    Attributes:
        inverse_mass: [N1, S1] 1/kg; 0 for what is fixed.
        inverse_moments: [3, N1, S1] 1/(kg m^2), body axes.
        rotation: [3, 3, N1, S].
    """

    inverse_mass: Float[Tensor, "N1 S1"]
    inverse_moments: Float[Tensor, "3 N1 S1"]
    rotation: Float[Tensor, "3 3 N1 S"]

    def spun_by(self, torque: Float[Tensor, "3 N1 S"]) -> Float[Tensor, "3 N1 S"]:
        """Return the change of spin under an angular impulse, world frame."""
        return turned(self.rotation, self.inverse_moments * turned_back(self.rotation, torque))


@dataclass(frozen=True, slots=True)
class Levers:
    """Where C contacts act on their two bodies.

    Attributes:
        first, second: [C] rows of the bodies.
        arm_first, arm_second: [3, C, S] m from the centres of mass.
    """

    first: Int[Tensor, " C"]
    second: Int[Tensor, " C"]
    arm_first: Float[Tensor, "3 C S"]
    arm_second: Float[Tensor, "3 C S"]

    def relative_velocity(
        self, velocity: Float[Tensor, "3 N1 S"], spin: Float[Tensor, "3 N1 S"]
    ) -> Float[Tensor, "3 C S"]:
        """Return the velocity of the first body's point against the second's, m/s."""
        one = velocity.index_select(1, self.first) + cross(spin.index_select(1, self.first), self.arm_first)
        two = velocity.index_select(1, self.second) + cross(spin.index_select(1, self.second), self.arm_second)
        return one - two


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
    """Return velocities and spins after the impulses, and the impulses on the first bodies (N s)."""
    step_normal, step_tangent = _steps(problem, bodies)
    target = problem.levers.relative_velocity(velocity, spin) - problem.aim * problem.normal
    impulse = lookahead = problem.guess * problem.active
    age = torch.zeros_like(target[0, :1])
    for _ in range(iterations):
        dv, dw = _changed(problem, bodies, lookahead)
        residual = target + problem.levers.relative_velocity(dv, dw)
        along = dot(residual, problem.normal)
        held = dot(lookahead, problem.normal)
        normal = (held - step_normal * along).clamp_min(0.0)  # without contact the steps are 0, and so is all else
        tangent = lookahead - held * problem.normal - step_tangent * (residual - along * problem.normal)
        length = torch.sqrt(dot(tangent, tangent) + _TINY * _TINY)
        share = (problem.friction * normal / length).clamp_max(1.0)
        updated = normal * problem.normal + share * tangent
        moved = updated - impulse
        uphill = dot(residual, moved).sum(0, keepdim=True) > 0.0
        age = torch.where(uphill, 0.0, age + 1.0)
        lookahead = updated + (age / (age + 3.0)) * moved
        impulse = updated
    dv, dw = _changed(problem, bodies, impulse)
    return velocity + dv, spin + dw, impulse


def _changed(
    problem: Problem, bodies: Bodies, impulse: Float[Tensor, "3 C S"]
) -> tuple[Float[Tensor, "3 N1 S"], Float[Tensor, "3 N1 S"]]:
    """Return what impulses on the first bodies, and their opposites on the second, change."""
    at, nothing = problem.levers, torch.zeros_like(bodies.rotation[0])
    push = nothing.index_add(1, at.first, impulse).index_add(1, at.second, -impulse)
    twist = nothing.index_add(1, at.first, cross(at.arm_first, impulse))
    twist = twist.index_add(1, at.second, -cross(at.arm_second, impulse))
    return bodies.inverse_mass * push, bodies.spun_by(twist)


def _steps(problem: Problem, bodies: Bodies) -> tuple[Float[Tensor, "C S"], Float[Tensor, "C S"]]:
    """Return the steps along the normal and across it; 0 where there is no contact."""
    at, there = problem.levers, problem.active.to(problem.aim.dtype)
    count = torch.zeros_like(bodies.rotation[0, 0]).index_add(0, at.first, there).index_add(0, at.second, there)
    normal = across = torch.zeros_like(problem.aim)
    for rows, arm in ((at.first, at.arm_first), (at.second, at.arm_second)):
        rotation = bodies.rotation.index_select(2, rows)
        moments = bodies.inverse_moments.index_select(1, rows)
        mass = bodies.inverse_mass.index_select(0, rows)
        shared = count.index_select(0, rows)
        lever = turned_back(rotation, cross(arm, problem.normal))
        normal = normal + shared * (mass + dot(lever, moments * lever))
        across = across + shared * (mass + moments.amax(0) * dot(arm, arm))
    return there / (normal + _TINY), there / (across + _TINY)
