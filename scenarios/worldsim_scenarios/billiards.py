"""Balls of different mass, bounce and grip that roll on a table and strike each other and the cushions.

With a reward it is a game: the balls lie still, and the robot is on the table with them (`potting`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Launch
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.simulation.task import REWARDS
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_assets import appearance
from worldsim_scenarios.potting import MOST_OBJECT_BALLS, POCKET_M, build_game
from worldsim_scenarios.stock import fence, floor, let_watch, onlooker, places_apart, tinted, worn

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

MOST_BALLS = 40
WATCH_S, GAME_S = 12.0, 90.0
"""Usual length of an episode in which nothing is asked, and of a game."""
ROOM_M2 = 0.8
"""Area of the table a ball."""
TABLE_RATIO = 2.0
"""Length of the table over its width."""
GAP_M = 0.3
"""Centres of balls start at least so far apart."""
STUBBORN_KG = 1e4
"""Mass of a ball that does not give way."""
CUSHION_M = 0.3
CUSHION_FRICTION, CUSHION_RESTITUTION = 0.2, 0.95
"""Slippery, since a rolling ball that grips a vertical wall climbs it."""
AIM_RAD = 0.12
"""Standard deviation of the aim."""
YARD_M = 1.6
"""Width of the strip beside the table where the robot stands."""
CAMERA_HEIGHT_M = 3.0
CAMERA_RANGE_M = 60.0

# ---------------------------------------------------------------------- assets

CUSHION_COLOUR: Vector = (0.16, 0.38, 0.25)
BALL_COLOURS: tuple[Vector, ...] = ((0.92, 0.88, 0.78), (0.85, 0.30, 0.22), (0.22, 0.45, 0.80), (0.92, 0.75, 0.22))

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "diameter_m": (0.16, 0.22),
    "mass_kg": (0.3, 0.9),
    "restitution": (0.80, 0.98),
    "friction": (0.2, 0.5),
    "rolling_friction_m": (0.0003, 0.0010),
    "speed_m_s": (0.8, 1.8),
}
"""Range of what is drawn evenly at each reset."""


@dataclass(frozen=True)
class Billiards(Scenario):
    """N balls between cushions; those that are launched are aimed at others, so that the first seconds are busy.

    Attributes:
        reward: ``none`` (nothing is asked; the robot stands beside the table and watches), or, for the game, ``dense``
            (the way of the nearest ball to a pocket, twice, a fifth of the robot's way to the cue ball, and 10 for
            success) or ``sparse`` (1 for success).
        object_balls: in the game: balls beside the cue ball, 1 to 6. The other numbers of balls are those of the watch.
        bodies: N, 2 to 40.
        launched: how many of them are launched, 1 to N; each is aimed at another ball.
        stubborn: the balls that lie still do not give way, however hard they are hit: what no ball can do.
        ghostly: the balls that are launched go through those that lie still: what no ball can do either.
        duration_s: length of an episode, s; None is the usual one, 12 s of watching or 90 s of game, which the field
            then has.
    """

    bodies: int = 8
    launched: int = 4
    stubborn: bool = False
    ghostly: bool = False
    duration_s: float | None = None
    reward: str = "none"
    object_balls: int = 3

    expert: ClassVar[str] = "striker"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.0, -5.0, 5.6), (0.0, -0.2, 0.0), vertical_field_rad=0.80, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward.
            ConfigurationError: a number cannot work.
        """
        if self.reward not in ("none", *REWARDS):
            raise UnknownNameError("reward", self.reward, ("none", *REWARDS))
        if not 1 <= self.object_balls <= MOST_OBJECT_BALLS:
            raise ConfigurationError(
                f"Billiards: object_balls is {self.object_balls}, expected 1 to {MOST_OBJECT_BALLS}."
            )
        if not 2 <= self.bodies <= MOST_BALLS:
            raise ConfigurationError(f"Billiards: bodies is {self.bodies}, expected 2 to {MOST_BALLS}.")
        if not 1 <= self.launched <= self.bodies:
            raise ConfigurationError(f"Billiards: launched is {self.launched}, expected 1 to bodies ({self.bodies}).")
        if self.duration_s is None:
            object.__setattr__(self, "duration_s", WATCH_S if self.reward == "none" else GAME_S)
        if not self._lasts_s > 0.0:
            raise ConfigurationError(f"Billiards: duration_s is {self.duration_s}, expected > 0.")

    @property
    def _lasts_s(self) -> float:
        return float(self.duration_s or 0.0)

    @property
    def half_m(self) -> tuple[float, float]:
        """Half the length and half the width of the table, m."""
        width = math.sqrt(self.bodies * ROOM_M2 / TABLE_RATIO)
        return (0.5 * TABLE_RATIO * width, 0.5 * width)

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put table, cushions, balls and the watching robot into `physics`, and strike."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"Billiards: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        if self.reward != "none":
            build_game(physics, self.object_balls, self.reward, rng)
            return
        x, y = self.half_m
        edge = VARIATION["diameter_m"][1] / 2.0
        places = places_apart(self.bodies, (x - edge, y - edge), GAP_M, rng)
        balls = [_ball(i, place, rng) for i, place in enumerate(places)]
        cushions = fence((x, y), CUSHION_M, CUSHION_COLOUR, rng, CUSHION_FRICTION, CUSHION_RESTITUTION)
        robot = onlooker(-y - YARD_M / 2.0, rng)
        strikes = self._strikes(balls, places, rng)
        if self.stubborn:
            balls = [ball if ball.name in strikes else replace(ball, mass_kg=STUBBORN_KG) for ball in balls]
        if self.ghostly:
            balls = [ball if ball.name in strikes else replace(ball, passes=tuple(strikes)) for ball in balls]
        physics.add_body(floor(2.0 * x + 4.0 * YARD_M), background=True)
        for spec in (robot, *cushions, *balls):
            physics.add_body(spec)
        physics.watch_contacts()
        let_watch(physics, robot, CAMERA_RANGE_M)
        physics.add_driver(Launch(strikes))
        for i, side in enumerate((-1.0, 1.0)):
            physics.add_camera(CameraSpec(f"ceiling_{i}", (side * x / 2.0, 0.0, CAMERA_HEIGHT_M), CAMERA_RANGE_M))

    def _strikes(self, balls: list[BodySpec], places: np.ndarray, rng: np.random.Generator) -> dict[str, Vector]:
        """Return the impulse of every launched ball, N s; where some lie still, it is they who are aimed at."""
        order = [int(i) for i in rng.permutation(self.bodies)]
        struck, still = order[: self.launched], order[self.launched :]
        impulses: dict[str, Vector] = {}
        for i in struck:
            j = int(rng.choice(still or [other for other in struck if other != i]))
            x, y = places[j] - places[i]
            angle = math.atan2(y, x) + AIM_RAD * float(rng.standard_normal())
            size = balls[i].mass_kg * _drawn(rng, "speed_m_s")
            impulses[balls[i].name] = (size * math.cos(angle), size * math.sin(angle), 0.0)
        return impulses

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: to keep clear where it watches; a ball in a pocket in the game."""
        if self.reward == "none":
            return Preferences(None, goal_tolerance_m=0.25, clearance_m=0.5)
        pot = PreferredOutcome("pot", "ball", "pocket", scale_m=0.2)
        return Preferences(None, goal_tolerance_m=POCKET_M, clearance_m=0.0, outcomes=(pot,))

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self._lasts_s


def _drawn(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*VARIATION[name]))


def _ball(number: int, place: np.ndarray, rng: np.random.Generator) -> BodySpec:
    colour = BALL_COLOURS[number % len(BALL_COLOURS)]
    diameter = _drawn(rng, "diameter_m")
    return BodySpec(
        name=f"ball_{number}",
        kind="ball",
        extent_m=(diameter, diameter, diameter),
        position=(float(place[0]), float(place[1]), diameter / 2.0),
        mass_kg=_drawn(rng, "mass_kg"),
        shape="sphere",
        colour=colour,
        friction=_drawn(rng, "friction"),
        restitution=_drawn(rng, "restitution"),
        rolling_friction=_drawn(rng, "rolling_friction_m"),
        appearance=worn(tinted(appearance("ball"), colour), rng),
    )
