"""Why an agent did what it did: what it believed, what it wanted, what it expected of each option."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from worldsim.types.planning import Preferences


class Cause(enum.StrEnum):
    """What made a choice differ from another one."""

    BELIEF = "belief"
    VALUE = "value"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class BelievedThing:
    """One thing as the decision saw it.

    Attributes:
        object_id: its id in the belief.
        position: (x, y, z) m, believed mean one planning step ahead.
        position_std_m: root mean square of the standard deviations over the axes, at the same time.
        speed_m_s: mean speed over the horizon.
        moves: False for what is held to be fixed.
        distance_m: of its centre from the own body's.
    """

    object_id: int
    position: tuple[float, float, float]
    position_std_m: float
    speed_m_s: float
    moves: bool
    distance_m: float


@dataclass(frozen=True, slots=True)
class ImaginedOption:
    """One thing that could have been done, and what was expected of it under belief and preferences of the decision.

    Attributes:
        name: in words.
        terms: expected cost by term of the objective, weights applied.
        end: (x, y) m of the own body at the end of the horizon.
        to_go_m: distance left along the route at the end, None without a goal or a way to it.
        nearest_mover_m: smallest expected gap between hulls to anything that moves, None where nothing does.
        touch_probability: chance of touching a mover within the horizon (movers taken as independent).
        nearest_standing_m: smallest gap to anything that stands, None where nothing is near.
    """

    name: str
    terms: dict[str, float]
    end: tuple[float, float]
    to_go_m: float | None
    nearest_mover_m: float | None
    touch_probability: float
    nearest_standing_m: float | None

    @property
    def cost(self) -> float:
        """Expected cost, all terms together."""
        return sum(self.terms.values())


@dataclass(frozen=True, slots=True)
class Attribution:
    """How much of a change of choice the change of belief accounts for, and how much the change of values.

    Both are Shapley values of a game of two players, in units of the objective's cost: how much belief (or value)
    moved the advantage of the option chosen now over the option chosen then. They add up to the whole move, and
    what did not change has exactly 0.

    Attributes:
        belief: share of the belief.
        value: share of the values.
    """

    belief: float
    value: float

    @property
    def cause(self) -> Cause:
        """Which of the two moved the choice further, neither where nothing did."""
        if max(self.belief, self.value) <= 0.0:
            return Cause.NEITHER
        return Cause.BELIEF if self.belief > self.value else Cause.VALUE


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a decision was made.

    Attributes:
        step: frame of the episode, from 0.
        time_s: of the belief.
        phase: what the agent was about, in a word.
        beliefs: what was believed of the things around, nearest first.
        own_position: (x, y) m, own_heading_rad: of the own body as believed.
        alarmed: ids of the things that it stood still for.
        preferences: what was wanted, goal included.
        options: what could have been done; the first is what was chosen.
        against_step: frame of the earlier decision that it is compared with, None where there is none.
        attribution: how belief and value account for the difference to that decision.
    """

    step: int
    time_s: float
    phase: str
    beliefs: tuple[BelievedThing, ...]
    own_position: tuple[float, float]
    own_heading_rad: float
    alarmed: tuple[int, ...]
    preferences: Preferences
    options: tuple[ImaginedOption, ...]
    against_step: int | None = None
    attribution: Attribution = field(default_factory=lambda: Attribution(0.0, 0.0))

    @property
    def cause(self) -> Cause:
        """Whether a belief or a value made this choice another one than the one it is compared with."""
        return self.attribution.cause

    def text(self) -> str:
        """Return the explanation in a few sentences."""
        chosen, rest = self.options[0], self.options[1:]
        lines = [f"At {self.time_s:.2f} s ({self.phase}) it chose '{chosen.name}', expected cost {chosen.cost:.3f}."]
        if rest:
            second = min(rest, key=lambda option: option.cost)
            lines.append(f"The best of the other options was '{second.name}', cost {second.cost:.3f}.")
        if self.alarmed:
            lines.append(f"It stood still for what it did not understand: {list(self.alarmed)}.")
        if self.against_step is None:
            lines.append("There is no earlier decision to compare it with.")
        elif self.cause is Cause.NEITHER:
            lines.append(f"Neither belief nor value had moved it away from its choice at step {self.against_step}.")
        else:
            a = self.attribution
            lines.append(
                f"Against step {self.against_step} the {self.cause.value} made the difference "
                f"(belief {a.belief:+.3f}, value {a.value:+.3f})."
            )
        return " ".join(lines)
