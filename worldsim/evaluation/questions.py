"""The small language of what-if questions: reads one, and says exactly where it stops understanding.

::

    question = "if" premise "," query ["?"]
    premise  = "nothing changes" | act { "then" act }
    act      = ["I"] motion { "and" motion } ["for" NUMBER "s"]
    motion   = "stop" | "wait" | "drive" [speed] | "back" [speed] | "turn" ("left" | "right") [rate]
    speed    = ["at"] NUMBER "m/s"                 half speed where it is left out
    rate     = ["at"] NUMBER "rad/s"               half rate where it is left out
    query    = "where" be thing [when] | "how fast" be thing [when]
             | "how near" do thing "come" [when] | do "I" "touch" thing [when]
    be       = "is" | "am" | "are" | "will" thing "be"
    do       = "do" | "does" | "will"
    thing    = "I" | "anything" | "#" NUMBER | ["the"] KIND
    when     = ("in" | "after") NUMBER "s"         the end of the premise where it is left out

The last act lasts until two seconds have passed, or as long as the query asks for.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from worldsim.errors import ConfigurationError

__all__ = ["Act", "Asked", "Question", "Thing", "parse_question"]

DEFAULT_HORIZON_S = 2.0
LONGEST_S = 10.0
_TOKEN = re.compile(r"\s*(m/s|rad/s|[A-Za-z][A-Za-z_-]*|\d+(?:\.\d+)?|\.\d+|[-#,?]|\S)")
_OWN = ("i", "me")


class Asked(enum.StrEnum):
    """What a question asks for."""

    WHERE = "where"
    HOW_FAST = "how fast"
    HOW_NEAR = "how near"
    TOUCH = "touch"


@dataclass(frozen=True, slots=True)
class Act:
    """What the own body is imagined to do.

    Attributes:
        speed_m_s: forward, negative backwards; None for half the highest speed forward, see `signs`.
        yaw_rate_rad_s: to the left; None for half the highest rate, see `signs`.
        signs: of speed and yaw rate where they are None (1, -1, or 0 for none).
        duration_s: None for the last act of a premise without one.
    """

    speed_m_s: float | None = 0.0
    yaw_rate_rad_s: float | None = 0.0
    signs: tuple[int, int] = (0, 0)
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Thing:
    """Of whom something is asked: the own body, an id, a kind, or anything (all None and False)."""

    own: bool = False
    object_id: int | None = None
    kind: str | None = None

    def __str__(self) -> str:
        """Return it in words."""
        if self.own:
            return "I"
        return f"#{self.object_id}" if self.object_id is not None else self.kind or "anything"


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was understood.

    Attributes:
        text: as it was asked.
        acts: the premise; empty for "nothing changes" (the own body goes on as it was told last).
        asked: what for.
        thing: of whom.
        at_s: how far ahead the answer looks, s.
    """

    text: str
    acts: tuple[Act, ...]
    asked: Asked
    thing: Thing
    at_s: float


def parse_question(text: str) -> Question:
    """Return the question that `text` asks.

    >>> q = parse_question("if I drive at 0.8 m/s and turn left for 1 s then stop, how near does the worker come?")
    >>> q.asked.value, q.thing.kind, [act.speed_m_s for act in q.acts]
    ('how near', 'worker', [0.8, 0.0])

    Raises:
        ConfigurationError: it is not in the language; the message says where and what was expected there.
    """
    return _Reader(text).question()


class _Reader:
    """Reads tokens from left to right; every rule of the grammar is a method."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [(match.group(1), match.start(1)) for match in _TOKEN.finditer(text)]
        self.at = 0

    # ------------------------------------------------------------------ tokens

    def peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place][0].lower() if place < len(self.tokens) else ""

    def take(self, *words: str) -> bool:
        """Go past `words` if they come next."""
        if [self.peek(i) for i in range(len(words))] != list(words):
            return False
        self.at += len(words)
        return True

    def need(self, *words: str) -> None:
        if not self.take(*words):
            raise self.wrong(repr(" ".join(words)))

    def wrong(self, expected: str) -> ConfigurationError:
        found = f"{self.tokens[self.at][0]!r}" if self.at < len(self.tokens) else "the end"
        place = self.tokens[self.at][1] if self.at < len(self.tokens) else len(self.text)
        return ConfigurationError(
            f"question: expected {expected}, found {found} at character {place + 1} of {self.text!r}. "
            'For example: "if I drive at 0.8 m/s for 2 s, how near does the worker come?" (docs/agents.md has all).'
        )

    def number(self, unit: str) -> float:
        token = self.peek()
        if not re.fullmatch(r"\d*\.?\d+", token):
            raise self.wrong(f"a number in {unit}")
        self.at += 1
        self.need(unit)
        return float(token)

    # ------------------------------------------------------------------ rules

    def question(self) -> Question:
        self.need("if")
        acts: list[Act] = []
        if not self.take("nothing", "changes"):
            acts.append(self.act())
            while self.take("then"):
                acts.append(self.act())
        self.need(",")
        asked, thing, at_s = self.query()
        self.take("?")
        if self.at < len(self.tokens):
            raise self.wrong("the end of the question")
        if any(act.duration_s is None for act in acts[:-1]):
            raise ConfigurationError(f"question: only the last act may do without 'for NUMBER s', in {self.text!r}.")
        return Question(self.text, tuple(acts), asked, thing, self.horizon(acts, at_s))

    def horizon(self, acts: list[Act], at_s: float | None) -> float:
        timed = sum(act.duration_s or 0.0 for act in acts)
        open_ended = not acts or acts[-1].duration_s is None
        found = at_s if at_s is not None else max(timed, DEFAULT_HORIZON_S) if open_ended else timed
        if not 0.0 < found <= LONGEST_S:
            raise ConfigurationError(
                f"question: it looks {found:g} s ahead, expected more than 0 and at most {LONGEST_S:g} s, "
                f"in {self.text!r}."
            )
        return found

    def act(self) -> Act:
        self.take("i")
        speed, rate, signs = self.motion()
        while self.take("and"):
            more_speed, more_rate, more_signs = self.motion()
            if any(one and other for one, other in zip(signs, more_signs, strict=True)):
                raise ConfigurationError(
                    f"question: one act drives or backs, and turns left or right, once each, in {self.text!r}. "
                    "What comes after it is another act: 'drive for 1 s then back for 1 s'."
                )
            speed = more_speed if speed == 0.0 else speed
            rate = more_rate if rate == 0.0 else rate
            signs = (signs[0] or more_signs[0], signs[1] or more_signs[1])
        duration = self.number("s") if self.take("for") else None
        return Act(speed, rate, signs, duration)

    def motion(self) -> tuple[float | None, float | None, tuple[int, int]]:
        if self.take("stop") or self.take("wait"):
            return 0.0, 0.0, (0, 0)
        for word, sign in (("drive", 1), ("back", -1)):
            if self.take(word):
                size = self.size("m/s")
                return (None if size is None else sign * size), 0.0, (sign, 0)
        if self.take("turn"):
            for word, sign in (("left", 1), ("right", -1)):
                if self.take(word):
                    size = self.size("rad/s")
                    return 0.0, (None if size is None else sign * size), (0, sign)
            raise self.wrong("'left' or 'right'")
        raise self.wrong("'stop', 'wait', 'drive', 'back' or 'turn'")

    def size(self, unit: str) -> float | None:
        if self.take("at") or re.fullmatch(r"\d*\.?\d+", self.peek()):
            return self.number(unit)
        return None

    def query(self) -> tuple[Asked, Thing, float | None]:
        if self.take("where"):
            return Asked.WHERE, self.being(), self.when()
        if self.take("how", "fast"):
            return Asked.HOW_FAST, self.being(), self.when()
        if self.take("how", "near"):
            self.doing()
            thing = self.thing()
            self.need("come")
            return Asked.HOW_NEAR, self.other(thing), self.when()
        self.doing()
        self.need("i", "touch")
        return Asked.TOUCH, self.other(self.thing()), self.when()

    def being(self) -> Thing:
        if self.take("will"):
            thing = self.thing()
            self.need("be")
            return thing
        if not any(self.take(word) for word in ("is", "am", "are")):
            raise self.wrong("'is', 'am', 'are' or 'will'")
        return self.thing()

    def doing(self) -> None:
        if not any(self.take(word) for word in ("do", "does", "will")):
            raise self.wrong("'where', 'how fast', 'how near', 'do', 'does' or 'will'")

    def when(self) -> float | None:
        return self.number("s") if self.take("in") or self.take("after") else None

    def other(self, thing: Thing) -> Thing:
        if thing.own:
            raise ConfigurationError(f"question: ask that of something other than the own body, in {self.text!r}.")
        return thing

    def thing(self) -> Thing:
        if self.peek() in _OWN:
            self.at += 1
            return Thing(own=True)
        if self.take("anything"):
            return Thing()
        if self.take("#"):
            token = self.peek()
            if not token.isdecimal():
                raise self.wrong("the number of a thing")
            self.at += 1
            return Thing(object_id=int(token))
        self.take("the")
        token = self.peek()
        if not re.fullmatch(r"[a-z][a-z_-]*", token):
            raise self.wrong("'I', 'anything', '#' and a number, or a kind")
        self.at += 1
        return Thing(kind=token)
