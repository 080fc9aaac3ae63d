"""Rollouts with contact: S samples of N bodies over T steps, differentiable in wrenches, starts and parameters.

One step, as an engine takes it (velocity first, then position with the new velocity): forces, contacts at the poses of
its start, impulses, motion. No Python branch on a tensor's value and no look at the host: the step runs under autograd,
`torch.compile(fullgraph=True)` and fake tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics.imagination.collide import Layout, Poses, Touching, touching
from worldsim.dynamics.imagination.host import HostRoller
from worldsim.dynamics.imagination.scene import ContactScene
from worldsim.dynamics.imagination.solve import Bodies, Levers, Problem, solved
from worldsim.dynamics.imagination.vectors import cross, dot, matrix, spun, turned, turned_back
from worldsim.errors import ConfigurationError

GRAVITY_M_S2 = 9.81


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """How a rollout is computed.

    Attributes:
        iterations: of the impulses, a step; they begin where the step before ended.
        first_iterations: of the first step, which begins with no impulses.
        margin_m: contacts nearer than this are always solved.
        restitution_threshold_m_s: slower approaches do not bounce.
        recovery: share of a penetration that a step takes away, by displacement alone.
        slop_m: penetration that is left alone.
    """

    iterations: int = 12
    first_iterations: int = 40
    margin_m: float = 5e-3
    restitution_threshold_m_s: float = 0.05
    recovery: float = 0.2
    slop_m: float = 1e-5

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.iterations, self.first_iterations) < 1 or not 0.0 <= self.recovery <= 1.0:
            raise ConfigurationError(
                f"RolloutSettings: iterations is {self.iterations}, recovery is {self.recovery}; expected at least 1, "
                "and a number in [0, 1]."
            )


@dataclass(frozen=True, slots=True)
class RolloutStart:
    """States of N bodies in S samples, at the centres of mass, world frame.

    Attributes:
        position: [S, N, 3] m.
        orientation_xyzw: [S, N, 4] of the principal axes.
        linear_velocity: [S, N, 3] m/s.
        angular_velocity: [S, N, 3] rad/s.
    """

    position: Float[Tensor, "S N 3"]
    orientation_xyzw: Float[Tensor, "S N 4"]
    linear_velocity: Float[Tensor, "S N 3"]
    angular_velocity: Float[Tensor, "S N 3"]

    def select(self, index: Int[Tensor, " s"]) -> RolloutStart:
        """Return some of the samples."""
        parts = (self.position, self.orientation_xyzw, self.linear_velocity, self.angular_velocity)
        return RolloutStart(*(part.index_select(0, index) for part in parts))


@dataclass(frozen=True, slots=True)
class RolloutPath:
    """Where everything goes.

    Attributes:
        position: [T, S, N, 3] m, at the end of each step.
        orientation_xyzw: [T, S, N, 4].
        linear_velocity: [T, S, N, 3] m/s.
        angular_velocity: [T, S, N, 3] rad/s.
        normal_impulse: [T, S, N] N s that contacts pushed each body with, in each step.
    """

    position: Float[Tensor, "T S N 3"]
    orientation_xyzw: Float[Tensor, "T S N 4"]
    linear_velocity: Float[Tensor, "T S N 3"]
    angular_velocity: Float[Tensor, "T S N 3"]
    normal_impulse: Float[Tensor, "T S N"]


@dataclass(frozen=True, slots=True)
class _World:
    """What stays the same over the steps; a row more than there are bodies stands for what planes belong to."""

    layout: Layout
    half: Float[Tensor, "3 N S1"]
    inverse_mass: Float[Tensor, "N1 S1"]
    moments: Float[Tensor, "3 N1 S1"]
    inverse_moments: Float[Tensor, "3 N1 S1"]
    friction: Float[Tensor, "C S1"]
    restitution: Float[Tensor, "C S1"]
    planes: tuple[Float[Tensor, "3 Q"], Float[Tensor, " Q"]]
    weight: Float[Tensor, "3 N1 1"]
    sides: Float[Tensor, "C N1"]


@dataclass(frozen=True, slots=True)
class _State:
    centre: Float[Tensor, "3 N1 S"]
    orientation: Float[Tensor, "4 N1 S"]
    velocity: Float[Tensor, "3 N1 S"]
    spin: Float[Tensor, "3 N1 S"]
    lasting: Float[Tensor, "3 C S"]


def rollout(
    scene: ContactScene,
    start: RolloutStart,
    wrench: Float[Tensor, "T *S N 6"],
    dt_s: float,
    settings: RolloutSettings | None = None,
) -> RolloutPath:
    """Roll S samples of N bodies out over T steps.

    Args:
        scene: who they are.
        start: where they are.
        wrench: [T, N, 6] or [T, S, N, 6] force (N) at the centre of mass and torque (N m), world frame, beside gravity:
            what an action does to the bodies.
        dt_s: step, s.
        settings: how it is computed; the defaults of `RolloutSettings` where None.

    Raises:
        ConfigurationError: the wrench is of other bodies, or it or the scene is of other samples.

    Source: Stewart & Trinkle 1996 (velocity-level time stepping). Ours differs: gaps may close within a step and no
        further (speculative contact), and penetration is mended by displacement alone.

    Example:
        >>> from worldsim.dynamics.imagination import ContactScene, Planes, RolloutStart, Solid, rollout
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> scene = ContactScene(
        ...     (Solid("sphere"),),
        ...     0.1 * one[:, None].expand(1, 3),
        ...     one,
        ...     0.004 * one[:, None].expand(1, 3),
        ...     0.5 * one,
        ...     0.0 * one,
        ...     Planes.floor(one),
        ... )
        >>> still = torch.zeros(1, 1, 3, dtype=torch.float64)
        >>> upright = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]], dtype=torch.float64)
        >>> above = still + torch.tensor([0.0, 0.0, 0.1], dtype=torch.float64)
        >>> path = rollout(scene, RolloutStart(above, upright, still, still), torch.zeros(9, 1, 6).double(), 1 / 60)
        >>> round(float(path.position[-1, 0, 0, 2]), 4)
        0.1
    """
    return Roller(scene, settings)(start, wrench, dt_s)


class Roller:
    """Rolls one scene out again and again: laid out once, and in machine code when asked."""

    def __init__(self, scene: ContactScene, settings: RolloutSettings | None = None, *, compiled: bool = False) -> None:
        """Lay the scene out.

        Args:
            scene: who there is.
            settings: how it is computed; the defaults of `RolloutSettings` where None.
            compiled: where no gradient is asked for, roll out in machine code on the host: the same numbers, several
                times sooner, since a sample is then troubled by its own contacts alone.

        Raises:
            ConfigurationError: `compiled`, and the scene has hulls, or lies on another device.
        """
        self.scene, self.settings = scene, settings or RolloutSettings()
        self._step: Callable[..., tuple[_State, Float[Tensor, "N1 S"]]] = _step
        self._host = HostRoller(scene, _in_order(self.settings)) if compiled else None

    @functools.cached_property
    def _world(self) -> _World:
        return _prepared(self.scene, Layout.of(self.scene))

    def __call__(self, start: RolloutStart, wrench: Float[Tensor, "T *S N 6"], dt_s: float) -> RolloutPath:
        """Roll the scene out; see `rollout`."""
        if wrench.shape[-2:] != (len(self.scene.solids), 6):
            raise ConfigurationError(
                f"rollout: wrench has shape {tuple(wrench.shape)}, expected [T, (S,) {len(self.scene.solids)}, 6]."
            )
        _check_samples(self.scene, start, wrench)
        if len(wrench) == 0 or len(start.position) == 0:
            none = start.position.new_zeros(len(wrench), *start.position.shape[:2], 14)
            place, turn, velocity, spin, onto = none.split([3, 4, 3, 3, 1], dim=-1)
            return RolloutPath(place, turn, velocity, spin, onto[..., 0])
        if self._host is not None and not (torch.is_grad_enabled() and self._asks_for_gradients(start, wrench)):
            parts = (start.position, start.orientation_xyzw, start.linear_velocity, start.angular_velocity)
            path = self._host([part.detach() for part in parts], wrench.detach(), dt_s)
            place, turn, velocity, spin, onto = path.split([3, 4, 3, 3, 1], dim=-1)
            return RolloutPath(place, turn, velocity, spin, onto[..., 0])
        state = _entered(start, len(self._world.layout.first))
        rows: list[tuple[Tensor, ...]] = []
        for now in wrench.unbind(0):
            iterations = self.settings.iterations if rows else self.settings.first_iterations
            push = now.permute(2, 1, 0) if now.dim() == 3 else now.T[..., None]
            push = torch.cat([push, torch.zeros_like(push[:, :1])], dim=1)
            state, impulse = self._step(self._world, state, push, dt_s, self.settings, iterations)
            rows.append((state.centre, state.orientation, state.velocity, state.spin, impulse))
        position, orientation, velocity, spin, onto = (torch.stack(part) for part in zip(*rows, strict=True))

        def out(x: Tensor) -> Tensor:
            return x[:, :, :-1].permute(0, 3, 2, 1)

        return RolloutPath(out(position), out(orientation), out(velocity), out(spin), onto[:, :-1].permute(0, 2, 1))

    def _asks_for_gradients(self, start: RolloutStart, wrench: Tensor) -> bool:
        """Return whether anything that goes in has a gradient."""
        scene, planes = self.scene, self.scene.planes
        given = (
            wrench, start.position, start.orientation_xyzw, start.linear_velocity, start.angular_velocity,
            scene.half_extent_m, scene.mass_kg, scene.moments_kg_m2, scene.friction, scene.restitution,
            planes.normal, planes.offset_m, planes.friction, planes.restitution,
        )  # fmt: skip
        return any(x.requires_grad for x in given)


def _check_samples(scene: ContactScene, start: RolloutStart, wrench: Float[Tensor, "T *S N 6"]) -> None:
    """Refuse a wrench, or numbers of a scene, that are told sample by sample for others than those that start."""
    samples = len(start.position)
    told = {"wrench": wrench.shape[1] if wrench.dim() == 4 else 1}
    told |= {name: len(x) if x.dim() == wide else 1 for name, (x, wide) in scene.numbers().items()}
    for name, count in told.items():
        if count not in (1, samples):
            raise ConfigurationError(
                f"rollout: {name} is of {count} samples, expected {samples}, as many as start, or 1."
            )


def _in_order(settings: RolloutSettings) -> tuple[int, int, float, float, float, float]:
    s = settings
    return s.iterations, s.first_iterations, s.margin_m, s.restitution_threshold_m_s, s.recovery, s.slop_m


def _prepared(scene: ContactScene, layout: Layout) -> _World:
    def rows(x: Tensor, extra: float) -> Tensor:
        """Return numbers [(S,) N] as [N1, S1]."""
        x = x.T if x.dim() == 2 else x[:, None]
        return torch.cat([x, torch.full_like(x[:1], extra)])

    def vectors(x: Tensor) -> Tensor:
        """Return vectors [(S,) N, 3] as [3, N, S1]."""
        return x.permute(2, 1, 0) if x.dim() == 3 else x.T[..., None]

    like = scene.mass_kg
    loose = torch.tensor([0.0 if solid.fixed else 1.0 for solid in scene.solids] + [0.0], dtype=like.dtype)
    loose = loose.to(like.device)[:, None]
    moments = vectors(scene.moments_kg_m2)
    moments = torch.cat([moments, torch.ones_like(moments[:, :1])], dim=1)
    friction, restitution = rows(scene.friction, 1.0), rows(scene.restitution, 1.0)
    bare = like.new_ones(1)
    of_plane = layout.plane + 1  # the first entry is for contacts with no plane
    ground = [
        torch.cat([bare, x]).index_select(0, of_plane)[:, None]
        for x in (scene.planes.friction, scene.planes.restitution)
    ]
    zero = torch.zeros_like(loose)
    return _World(
        layout,
        vectors(scene.half_extent_m),
        loose / rows(scene.mass_kg, 1.0),
        moments,
        loose / moments,
        friction.index_select(0, layout.first) * friction.index_select(0, layout.second) * ground[0],
        restitution.index_select(0, layout.first) * restitution.index_select(0, layout.second) * ground[1],
        (scene.planes.normal.T, scene.planes.offset_m),
        torch.stack([zero, zero, -GRAVITY_M_S2 * loose]),
        _sides(layout, loose),
    )


def _sides(layout: Layout, loose: Float[Tensor, "N1 1"]) -> Float[Tensor, "C N1"]:
    """Return 1 for the first body of each contact and -1 for the second."""
    sides = loose.new_zeros(len(layout.first), len(loose))
    one = torch.ones_like(sides[:, :1])
    return sides.scatter_add(1, layout.first[:, None], one).scatter_add(1, layout.second[:, None], -one)


def _entered(start: RolloutStart, contacts: int) -> _State:
    """Return the states with the samples last, and one more body, which stands still."""
    centre, orientation, velocity, spin = (
        x.permute(2, 1, 0).contiguous()
        for x in (start.position, start.orientation_xyzw, start.linear_velocity, start.angular_velocity)
    )
    still = torch.zeros_like(centre[:, :1])
    upright = torch.cat([still, torch.ones_like(still[:1])])
    return _State(
        torch.cat([centre, still], dim=1),
        torch.cat([orientation, upright], dim=1),
        torch.cat([velocity, still], dim=1),
        torch.cat([spin, still], dim=1),
        spin.new_zeros(3, contacts, spin.shape[-1]),
    )


def _step(
    world: _World,
    state: _State,
    push: Float[Tensor, "6 N1 S1"],
    dt_s: float,
    settings: RolloutSettings,
    iterations: int,
) -> tuple[_State, Float[Tensor, "N1 S"]]:
    """Take one step; return the state after it, and the normal impulse on each body."""
    rotation = matrix(state.orientation)
    bodies = Bodies.of(world.inverse_mass, world.inverse_moments, rotation)
    velocity = state.velocity + dt_s * (world.weight + world.inverse_mass * push[:3])
    turning = turned(rotation, world.moments * turned_back(rotation, state.spin))
    spin = state.spin + dt_s * bodies.spun_by(push[3:] - cross(state.spin, turning))
    if len(world.layout.first) == 0:
        moved = _State(
            state.centre + dt_s * velocity, spun(state.orientation, spin, dt_s), velocity, spin, state.lasting
        )
        return moved, torch.zeros_like(velocity[0])
    poses = Poses(state.centre[:, :-1], rotation[:, :, :-1], world.half)
    contacts = touching(world.layout, poses, world.planes)
    problem, strikes = _problem(world, state, contacts, (velocity, spin), dt_s, settings)
    velocity, spin, impulse = solved(problem, bodies, velocity, spin, iterations)
    centre = state.centre + dt_s * velocity + _recovered(world, contacts, settings)
    pressed = dot(impulse, problem.normal)
    onto = torch.zeros_like(velocity[0]).index_add(0, world.layout.first, pressed)
    onto = onto.index_add(0, world.layout.second, pressed)
    lasting = torch.where(strikes, 0.0, impulse)  # a blow does not last
    return _State(centre, spun(state.orientation, spin, dt_s), velocity, spin, lasting), onto


def _problem(
    world: _World,
    state: _State,
    contacts: Touching,
    free: tuple[Float[Tensor, "3 N1 S"], Float[Tensor, "3 N1 S"]],
    dt_s: float,
    settings: RolloutSettings,
) -> tuple[Problem, Bool[Tensor, "C S"]]:
    """Return what the impulses have to achieve, and which contacts are blows.

    No gap closes further than to zero. What meets within the step, and approached before the forces of the step (so
    that weight alone is no blow), bounces.
    """
    first, second = world.layout.first, world.layout.second
    origin = state.centre[:, :-1].mean(1, keepdim=True)  # near everything: little is lost to rounding
    gap = (contacts.gap + settings.slop_m).clamp_min(0.0)
    levers = Levers(first, second, world.sides, contacts.point - origin, state.centre - origin)
    before = dot(levers.relative_velocity(state.velocity, state.spin), contacts.normal)
    approach = dot(levers.relative_velocity(*free), contacts.normal)
    reached = gap + dt_s * approach < 0.0
    active = reached | (gap < settings.margin_m)
    strikes = reached & (before < -settings.restitution_threshold_m_s)
    aim = torch.where(strikes, -world.restitution * before, -gap / dt_s)
    return Problem(levers, active, contacts.normal, aim, world.friction, state.lasting), strikes


def _recovered(world: _World, contacts: Touching, settings: RolloutSettings) -> Float[Tensor, "3 N1 S"]:
    """Return the displacements that take bodies a little out of each other, the lighter one more."""
    first, second = world.layout.first, world.layout.second
    depth = (-contacts.gap - settings.slop_m).clamp_min(0.0)
    one, two = world.inverse_mass.index_select(0, first), world.inverse_mass.index_select(0, second)
    share = settings.recovery * depth / (one + two + 1e-12)
    push = share * contacts.normal
    deep = (depth > 0.0).to(depth.dtype)
    rows = contacts.gap.new_zeros(world.weight.shape[1], depth.shape[1])
    count = rows.index_add(0, first, deep).index_add(0, second, deep)
    nothing = rows.expand(3, *rows.shape)
    moved = nothing.index_add(1, first, one * push).index_add(1, second, -two * push)
    return moved / count.clamp_min(1.0)
