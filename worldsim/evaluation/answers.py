"""Answers what-if questions from a belief: predicts, decides nothing, and leaves the belief as it was."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation.questions import Asked, Question
from worldsim.loop import WorldModel
from worldsim.planning.boxes import outlines, top_and_bottom
from worldsim.planning.situation import OwnBody
from worldsim.types.graph import InteractionKind

__all__ = ["Answer", "Finding", "answer"]

STEP_S = 0.1
SAMPLES = 128
_LEVEL = 0.9
_HEADROOM_M = 0.05  # what hangs higher than this above the own hull is not touched


@dataclass(frozen=True, slots=True)
class Finding:
    """What is predicted of one thing.

    Attributes:
        object_id, kind: of the thing; the own body has the kind of its model.
        value: what was asked: (x, y, z) m, speed m/s, nearest gap m, or probability of touching.
        low, high: ends of the 90 % interval of the same over imagined futures (none for a probability).
    """

    object_id: int
    kind: str
    value: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question was answered with.

    Attributes:
        question: as it was asked; time_s: of the belief; horizon_s: how far ahead it looks.
        asked: what for; unit: of the values.
        findings: one a thing, the telling one (nearest, likeliest touched) first.
        text: the answer in words.
    """

    question: str
    time_s: float
    horizon_s: float
    asked: str
    unit: str
    findings: tuple[Finding, ...]
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Future:
    """S imagined futures of everything known, fixtures included: [S, T, N] about N ids."""

    object_id: np.ndarray
    position: Float[Tensor, "S T N 3"]
    speed: Float[Tensor, "S T N"]
    orientation_xyzw: Float[Tensor, "S T N 4"]
    extent_m: Float[Tensor, "N 3"]


def answer(world_model: WorldModel, question: Question) -> Answer:
    """Return the answer to `question` under the belief of `world_model`.

    Raises:
        ConfigurationError: the belief holds no own body.
        UnknownNameError: it holds no thing of that id or kind.
    """
    own_id = world_model.own_id
    if own_id is None or world_model.belief.slot_of(own_id) is None:
        raise ConfigurationError("ask: this belief holds no own body, so there is nobody to imagine acting.")
    rows = _meant(world_model, question, own_id)
    future = _imagine(world_model, question)
    index = [int(np.flatnonzero(future.object_id == i)[0]) for i in rows]
    found: list[Finding]
    if question.asked is Asked.WHERE:
        found = [_finding(world_model, future, n, future.position[:, -1, n]) for n in index]
    elif question.asked is Asked.HOW_FAST:
        found = [_finding(world_model, future, n, future.speed[:, -1, n, None]) for n in index]
    else:
        gap = _gaps(world_model, future, own_id, index)
        if question.asked is Asked.HOW_NEAR:
            found = [_finding(world_model, future, n, gap[:, :, k].amin(dim=1)[:, None]) for k, n in enumerate(index)]
            found.sort(key=lambda f: f.value[0])
        else:
            chance = (gap.amin(dim=1) <= 0.0).double().mean(dim=0)
            found = [
                Finding(rows[k], world_model.kind_of(rows[k]) or "unknown", (float(chance[k]),), None, None)
                for k in range(len(index))
            ]
            found.sort(key=lambda f: -f.value[0])
    unit = {Asked.WHERE: "m", Asked.HOW_FAST: "m/s", Asked.HOW_NEAR: "m", Asked.TOUCH: "1"}[question.asked]
    text = _text(question, found, unit, own_id)
    return Answer(
        question.text, world_model.belief.time_s, question.at_s, question.asked.value, unit, tuple(found), text
    )


def _meant(world_model: WorldModel, question: Question, own_id: int) -> list[int]:
    """Return the ids of the things that are asked about."""
    belief = world_model.belief
    alive = [int(i) for i in belief.object_id[belief.alive].tolist() if int(i) != own_id]
    thing = question.thing
    if thing.own:
        return [own_id]
    if thing.object_id is not None:
        if thing.object_id not in (*alive, own_id):
            raise UnknownNameError("thing in this belief", f"#{thing.object_id}", [f"#{i}" for i in (*alive, own_id)])
        return [thing.object_id]
    if not alive:
        raise ConfigurationError("ask: this belief holds nothing but the own body.")
    if thing.kind is None:  # anything, but not what the own body holds: that is touched all the time
        held = _held(world_model, own_id)
        return [i for i in alive if i not in held] or alive
    kinds = {i: world_model.kind_of(i) or "unknown" for i in alive}
    wanted = thing.kind.removesuffix("s") if thing.kind not in kinds.values() else thing.kind
    meant = [i for i, kind in kinds.items() if kind == wanted]
    if not meant:
        raise UnknownNameError("kind in this belief", thing.kind, sorted(set(kinds.values())))
    return meant


def _held(world_model: WorldModel, own_id: int) -> set[int]:
    """Return the ids of what the own body is more likely than not to carry."""
    graph = world_model.graph
    ends = zip(graph.source.tolist(), graph.target.tolist(), graph.kind, graph.probability.tolist(), strict=True)
    pairs = [{a, b} for a, b, kind, p in ends if kind == InteractionKind.ATTACH and p > 0.5 and own_id in (a, b)]
    return set().union(*pairs) - {own_id}


def _commands(world_model: WorldModel, question: Question) -> Float[np.ndarray, "T 2"] | None:
    """Return the imagined commands in [-1, 1], None where the own body goes on as it was told."""
    if not question.acts:
        return None
    ego = world_model.settings.ego
    limits = (ego.speed_m_s, ego.yaw_rate_rad_s)
    rows: list[tuple[float, float]] = []
    steps, step_s = _steps(question)
    for act in question.acts:
        wanted = []
        for size, sign, limit, what in zip(
            (act.speed_m_s, act.yaw_rate_rad_s), act.signs, limits, ("speed", "yaw rate"), strict=True
        ):
            value = 0.5 * sign if size is None else size / limit
            if abs(value) > 1.0 + 1e-9:
                raise ConfigurationError(f"ask: a {what} of {abs(size or 0.0):g} is beyond the body's {limit:g}.")
            wanted.append(value)
        count = steps - len(rows) if act.duration_s is None else max(1, round(act.duration_s / step_s))
        rows += [(wanted[0], wanted[1])] * count
    return np.array((rows or [(0.0, 0.0)])[:steps])


def _imagine(world_model: WorldModel, question: Question) -> _Future:
    """Return sampled futures; what is not imagined to move stays, as uncertain as it is believed to be."""
    steps, step_s = _steps(question)
    commands = _commands(world_model, question)
    if commands is None:
        commands = _going_on(world_model)
    rollout = world_model.imagine(commands, steps, SAMPLES, step_s)
    belief = world_model.belief
    slots = torch.nonzero(belief.alive).reshape(-1)
    ids = belief.object_id[slots].cpu().numpy()
    generator = torch.Generator().manual_seed(0)  # the same question has the same answer
    spread = torch.diagonal(belief.joint_covariance[slots, :3, :3], dim1=1, dim2=2).clamp_min(0.0).sqrt().float().cpu()
    noise = torch.randn(SAMPLES, 1, len(ids), 3, generator=generator) * spread
    position = (belief.position[slots].float().cpu() + noise).repeat(1, steps, 1, 1)
    speed = belief.linear_velocity[slots].float().cpu().norm(dim=-1).expand(SAMPLES, steps, -1).clone()
    turn = belief.orientation_xyzw[slots].float().cpu().expand(SAMPLES, steps, -1, 4).clone()
    for column, object_id in enumerate(rollout.object_id):
        n = int(np.flatnonzero(ids == object_id)[0])
        position[:, :, n] = rollout.position[:, :, column].float().cpu()
        speed[:, :, n] = rollout.linear_velocity[:, :, column].float().cpu().norm(dim=-1)
        turn[:, :, n] = rollout.orientation_xyzw[:, :, column].float().cpu()
    return _Future(ids, position, speed, turn, belief.extent_m[slots].float().cpu())


def _steps(question: Question) -> tuple[int, float]:
    """Return how many steps a question's time is imagined in, and how long each is, s: they end when it does."""
    steps = max(1, round(question.at_s / STEP_S))
    return steps, question.at_s / steps


def _going_on(world_model: WorldModel) -> Float[np.ndarray, "1 2"]:
    """Return the command that keeps the own body's believed motion."""
    belief, own_id = world_model.belief, world_model.own_id
    slot = None if own_id is None else belief.slot_of(own_id)
    if slot is None:
        return np.zeros((1, 2))
    x, y, z, w = belief.orientation_xyzw[slot].tolist()
    heading = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    vx, vy, _ = belief.linear_velocity[slot].tolist()
    ego = world_model.settings.ego
    speed = (vx * math.cos(heading) + vy * math.sin(heading)) / ego.speed_m_s
    return np.clip([[speed, float(belief.angular_velocity[slot, 2]) / ego.yaw_rate_rad_s]], -1.0, 1.0)


def _gaps(world_model: WorldModel, future: _Future, own_id: int, index: list[int]) -> Float[Tensor, "S T n"]:
    """Return the distance (m) between the own hull and each thing in every future, seen from above."""
    own = int(np.flatnonzero(future.object_id == own_id)[0])
    length, width, height = future.extent_m[own].tolist()
    body = OwnBody((0.0, 0.0), 0.0, 0.0, 0.0, (length, width, height))
    discs = list(zip(*(part.tolist() for part in body.discs()), strict=True))
    x, y, z, w = future.orientation_xyzw[:, :, own].unbind(-1)
    heading = torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    ahead = torch.stack([torch.cos(heading), torch.sin(heading)], dim=-1)
    top = float(future.position[:, :, own, 2].mean()) + height / 2 + _HEADROOM_M
    expected = future.position[:, 0, index].mean(dim=0)  # who hangs above does so in all futures, or in none
    _, bottom = top_and_bottom(expected, future.orientation_xyzw[0, 0, index], future.extent_m[index])
    gaps = []
    for s in range(SAMPLES):
        at, turn = future.position[s][:, index], future.orientation_xyzw[s, 0, index]
        boxes = outlines(at, torch.zeros_like(at), turn, future.extent_m[index])
        centre = future.position[s, :, own, :2]
        gap = torch.stack(
            [boxes.signed_distance((centre + o * ahead[s])[None])[0] - radius for o, radius in discs]
        ).amin(dim=0)
        gaps.append(torch.where(bottom > top, torch.inf, gap))
    return torch.stack(gaps)


def _finding(world_model: WorldModel, future: _Future, row: int, values: Float[Tensor, "S V"]) -> Finding:
    object_id = int(future.object_id[row])
    tail = (1.0 - _LEVEL) / 2.0
    low, high = torch.quantile(values, torch.tensor([tail, 1.0 - tail]), dim=0, interpolation="nearest")
    return Finding(
        object_id,
        world_model.kind_of(object_id) or "unknown",
        tuple(values.mean(dim=0).tolist()),
        tuple(low.tolist()),
        tuple(high.tolist()),
    )


def _text(question: Question, found: list[Finding], unit: str, own_id: int) -> str:
    """Return the telling finding in words."""
    first = found[0]
    who = "the own body" if first.object_id == own_id else f"the {first.kind} #{first.object_id}"
    if question.asked is Asked.TOUCH:
        text = f"within {question.at_s:g} s, {who} is touched with probability {first.value[0]:.2f}"
    elif question.asked is Asked.HOW_NEAR:
        assert first.low is not None and first.high is not None  # noqa: PT018 - given together
        if not math.isfinite(first.value[0]):
            return f"{who} hangs above and cannot be touched."
        text = (
            f"within {question.at_s:g} s, {who} comes as near as {first.value[0]:.2f} m "
            f"(90 %: {first.low[0]:.2f} to {first.high[0]:.2f} m)"
        )
    else:
        assert first.low is not None and first.high is not None  # noqa: PT018 - given together
        values = ", ".join(f"{v:.2f}" for v in first.value)
        spans = ", ".join(f"{a:.2f} to {b:.2f}" for a, b in zip(first.low, first.high, strict=True))
        text = f"in {question.at_s:g} s, {who} is expected at ({values}) {unit} (90 %: {spans})"
        if question.asked is Asked.HOW_FAST:
            text = f"in {question.at_s:g} s, {who} is expected to move at {values} {unit} (90 %: {spans})"
    more = f"; {len(found) - 1} more of that kind" if len(found) > 1 and question.thing.kind is not None else ""
    return text + more + "."
