"""What PyBullet is told about how to compute, and what each choice changes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from worldsim.errors import UnknownNameError


@dataclass(frozen=True, slots=True)
class EnginePreset:
    """Numerical settings of the Bullet engine.

    Attributes:
        time_step_s: length of one engine step. Bullet's own default is 1/240 s.
        solver_iterations: most iterations of the contact solver in one step. Bullet: 50; 30 hold a stack of three to
            within 1e-7 m for a second and take four fifths of the time.
        linear_damping: share of a body's linear velocity that is taken away each second, of which no physical cause
            is modelled. Bullet gives every body 0.04, so a body in free flight slows down.
        angular_damping: the same for its angular velocity. Bullet: 0.04.
        joint_damping: viscous torque of every joint that names none of its own, N m s. PyBullet: 0.04 through URDF.
        restitution_velocity_threshold_m_s: impacts slower than this do not bounce. Bullet: 0.2, which kills the
            last bounces of everything.
        contact_slop_m: penetration that is left alone. Bullet: 1e-5 for multi-bodies.
        contact_breaking_threshold_m: contact points farther apart than this are forgotten. Bullet: 0.02, so that a
            thing carries contact points while still 2 cm away.
        contact_erp: share of a penetration that is pushed out in one step. Bullet: 0.08.
        split_impulse: push penetrating bodies apart without giving them velocity. Bullet: off, so that a body which
            starts inside another is thrown out with real speed.
        deterministic_overlapping_pairs: sort the pairs before solving. Bullet: off, and a restored state then
            diverges by centimetres in a few hundred steps.
        sleeping: let resting bodies fall asleep. Asleep bodies ignore small forces and are not restored exactly.
    """

    time_step_s: float = 1.0 / 240.0
    solver_iterations: int = 50
    linear_damping: float = 0.04
    angular_damping: float = 0.04
    joint_damping: float = 0.04
    restitution_velocity_threshold_m_s: float = 0.2
    contact_slop_m: float = 1e-5
    contact_breaking_threshold_m: float = 0.02
    contact_erp: float = 0.08
    split_impulse: bool = False
    deterministic_overlapping_pairs: bool = False
    sleeping: bool = False

    def changes(self) -> dict[str, tuple[object, object]]:
        """Return setting -> (engine default, value here) of every setting that differs from the default."""
        defaults, mine = asdict(AS_IT_COMES), asdict(self)
        return {name: (defaults[name], value) for name, value in mine.items() if value != defaults[name]}


AS_IT_COMES = EnginePreset()
"""Bullet with the defaults of a game engine."""

ACCURATE = EnginePreset(
    solver_iterations=30,
    linear_damping=0.0,
    angular_damping=0.0,
    joint_damping=0.0,
    restitution_velocity_threshold_m_s=0.05,
    contact_slop_m=1e-5,
    contact_breaking_threshold_m=0.005,
    split_impulse=True,
    deterministic_overlapping_pairs=True,
)
"""Bullet without the game engine's shortcuts, repeatable to the last bit."""

PRESETS = {"accurate": ACCURATE, "as_it_comes": AS_IT_COMES}


def named(name: str) -> EnginePreset:
    """Return the preset called `name`.

    >>> named("accurate").linear_damping
    0.0

    Raises:
        UnknownNameError: no such preset.
    """
    if name not in PRESETS:
        raise UnknownNameError("engine preset", name, PRESETS)
    return PRESETS[name]
