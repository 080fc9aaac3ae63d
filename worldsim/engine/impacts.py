"""Impacts: which round bodies may meet in the coming step, and whether those that met did as bodies do.

Each pair that may meet is followed for a few frames under four hypotheses, in shadow: the law of impact holds; nothing
happens, each goes through the other; the first, or the second, does not give way (`worldsim.hypotheses.impact`). What
the last three say together against the first is a likelihood ratio, so that if the law holds it exceeds 1/alpha in no
more than alpha of the impacts (Ville's inequality); where it does, an alarm is raised on both.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Int

from worldsim.dynamics import quaternion
from worldsim.dynamics.neighbours import pairs_within
from worldsim.engine.state import EngineState
from worldsim.filtering.correct import POSE_DIM, correct, innovation
from worldsim.filtering.density import Density
from worldsim.filtering.impacts import Inputs, Outcome, Pairs, outcome
from worldsim.filtering.likelihood import log_diagonal, whitened_student_t
from worldsim.filtering.predict import Prediction, predict
from worldsim.filtering.surroundings import Surroundings
from worldsim.hypotheses.impact import FIRST_STAYS, FREE, LAW, SECOND_STAYS, ImpactTests, components
from worldsim.inference import slots as slot_table
from worldsim.inference.observe import Frame
from worldsim.inference.slots import density_of
from worldsim.inference.stimuli import solid
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.record import CHANNELS, Channel

_MOVES_M_S = 0.05  # one of two that meet is faster than this
_SIGMAS = 3.5  # of the distance between two: farther than this they do not meet
_ROUNDS = 2  # of impacts within a step
_SURELY = 0.02  # a case less probable than this is left out
_COUNTS = 0.05  # probability of meeting from which a frame is part of an impact
_AFTERWARDS_FRAMES = 4  # frames after it in which it shows what became of them
_LONGEST_FRAMES = 16
_DOF = 8.0
_LEANS_M = 0.03
_SLIP_NOISE = 2.0  # times the usual noise: a ball that was struck slips before it rolls


def may_meet(
    state: EngineState, dt_s: float
) -> tuple[Int[np.ndarray, " E"], Int[np.ndarray, " E"], Int[np.ndarray, " E"]]:
    """Return the slots of the pairs of round bodies that may meet within `dt_s`, and the round of each pair.

    Within a round no slot is in two pairs: in round 0 each is with the one that it would meet first, and in the next
    with another, whom it may strike as well or instead.
    """
    none = np.zeros(0, dtype=np.int64)
    round_ones = np.flatnonzero(follows_the_law(state))
    if len(round_ones) < 2:
        return none, none, none
    belief = state.belief
    position, velocity = (t.cpu().numpy()[round_ones] for t in (belief.position, belief.linear_velocity))
    radius = 0.5 * belief.extent_m.cpu().numpy()[round_ones].mean(-1)
    own = torch.diagonal(belief.joint_covariance, dim1=1, dim2=2).cpu().numpy()[round_ones]
    width = np.sqrt(own[:, :3].max(-1) + dt_s**2 * own[:, 6:9].max(-1))
    speed = np.linalg.norm(velocity, axis=1)
    movers = np.flatnonzero(speed > _MOVES_M_S)
    if len(movers) == 0:
        return none, none, none
    reach = (
        radius[movers] + radius.max() + dt_s * (speed[movers] + speed.max()) + _SIGMAS * (width[movers] + width.max())
    )
    row, other, apart = pairs_within(position[movers], reach, position)
    first = movers[row]
    fresh = (first < other) | ((speed[other] <= _MOVES_M_S) & (first != other))
    first, other, apart = first[fresh], other[fresh], apart[fresh]
    line = (position[first] - position[other]) / np.maximum(apart, 1e-9)[:, None]
    closing = -((velocity[first] - velocity[other]) * line).sum(-1)
    gap = apart - radius[first] - radius[other]
    margin = _SIGMAS * np.hypot(width[first], width[other])
    near = gap - margin < dt_s * closing.clip(0.0)
    first, other, gap, closing = first[near], other[near], gap[near], closing[near]
    order = np.argsort(gap / closing.clip(1e-3), kind="stable")
    first, other = first[order], other[order]
    rounds = np.full(len(order), _ROUNDS)
    for number in range(_ROUNDS):
        left = np.flatnonzero(rounds == _ROUNDS)
        rank = np.full(len(round_ones), len(order))
        for side in (first, other):
            np.minimum.at(rank, side[left], left)
        rounds[left[(rank[first[left]] == left) & (rank[other[left]] == left)]] = number
    taken = rounds < _ROUNDS
    return round_ones[first[taken]], round_ones[other[taken]], rounds[taken]


def follows_the_law(state: EngineState) -> Bool[np.ndarray, " C"]:
    """Return who is awake and believed to be a round body with a mass: whose impacts the law of impact foretells."""
    models = np.where(state.alive, state.model_index, 0)
    trusted = state.ledger.settled & ~state.holding([*state.trials, *state.waiting])
    return state.awake & ~state.deferred & trusted & state.library.is_round[models]


def begin(state: EngineState, first: Int[np.ndarray, " E"], second: Int[np.ndarray, " E"]) -> None:
    """Follow each pair that may meet, and no more those of whom one is gone or under test."""
    if len(first) == 0 and state.impacts is None:
        return
    source = density_of(state.belief)
    tests = state.impacts if state.impacts is not None else ImpactTests.none(source)
    lawful = state.ids[follows_the_law(state)]
    tests = _kept(tests, np.asarray(np.isin(tests.pair, lawful).all(-1)))
    slots = np.stack([first, second], axis=-1)
    ids = state.ids[slots]
    slots = np.take_along_axis(slots, np.argsort(ids, axis=-1), axis=-1)
    ids = np.sort(ids, axis=-1)
    fresh = ~(ids[:, None] == tests.pair[None]).all(-1).any(-1)
    if fresh.any():
        tests = _joined(tests, _opened(state, source, slots[fresh]))
    state.impacts = tests if len(tests) else None


def _opened(state: EngineState, source: Density, slots: Int[np.ndarray, "T 2"]) -> ImpactTests:
    """Return a test of each pair of slots; each component knows the masses, and they differ in them."""
    count, models = len(slots), state.model_index[slots]
    columns = state.library.body_columns.cpu().numpy()[models, 0]
    at = state.index(slots.reshape(-1)), state.index(columns.reshape(-1))
    variance = source.covariance[at[0], TANGENT_DIM + at[1], TANGENT_DIM + at[1]]
    value = source.parameters[at[0], at[1]]
    is_log = state.library.is_log[state.index(models.reshape(-1)), at[1]]
    spread = (variance / torch.where(is_log, torch.ones_like(value), value**2)).cpu().numpy().reshape(-1, 2)
    hypothesis, heavier, log_weight = components(np.sqrt(spread.sum(-1)))
    many = len(hypothesis)
    rows = source.select(state.index(np.repeat(slots[:, None], many, axis=1).reshape(-1)))
    place = torch.arange(len(rows), device=state.device)
    column = TANGENT_DIM + state.index(np.repeat(columns[:, None], many, axis=1).reshape(-1))
    rows.covariance[place, column] = 0.0
    rows.covariance[place, :, column] = 0.0
    return ImpactTests(
        np.sort(state.ids[slots], axis=-1),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=bool),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=bool),
        np.repeat(np.arange(count), many),
        np.tile(hypothesis, count),
        heavier.reshape(-1, 2),
        np.tile(log_weight, count),
        rows,
    )


def _joined(a: ImpactTests, b: ImpactTests) -> ImpactTests:
    return ImpactTests(
        np.concatenate([a.pair, b.pair]),
        np.concatenate([a.since, b.since]),
        np.concatenate([a.met, b.met]),
        np.concatenate([a.frames, b.frames]),
        np.concatenate([a.told, b.told]),
        np.concatenate([a.test, b.test + len(a)]),
        np.concatenate([a.hypothesis, b.hypothesis]),
        np.concatenate([a.heavier, b.heavier]),
        np.concatenate([a.log_weight, b.log_weight]),
        Density.cat([a.density, b.density]),
    )


def _kept(tests: ImpactTests, which: Bool[np.ndarray, " T"]) -> ImpactTests:
    """Return some of the tests, without the components that have become too light."""
    worth, log_weight = tests.lightened()
    of_kept = which[tests.test[worth]]
    worth, log_weight = worth[of_kept], log_weight[of_kept]
    rows = torch.as_tensor((2 * worth[:, None] + np.arange(2)).reshape(-1), device=tests.density.parameters.device)
    number = np.cumsum(which) - 1
    return ImpactTests(
        tests.pair[which],
        tests.since[which],
        tests.met[which],
        tests.frames[which],
        tests.told[which],
        number[tests.test[worth]],
        tests.hypothesis[worth],
        tests.heavier[worth],
        log_weight,
        tests.density.select(rows),
    )


def slots_of(state: EngineState, tests: ImpactTests) -> Int[np.ndarray, "T 2"]:
    """Return the slots of the pairs under test."""
    alive = np.flatnonzero(state.alive)
    order = np.argsort(state.ids[alive])
    return alive[order[np.searchsorted(state.ids[alive], tests.pair, sorter=order)]]


def let_meet(
    source: Density,
    ahead: Prediction,
    meeting: tuple[Int[np.ndarray, " E"], Int[np.ndarray, " E"], Int[np.ndarray, " E"]],
    inputs: Inputs,
) -> None:
    """Overwrite the predicted rows of those who may meet (`may_meet`) by what comes of it, round by round.

    What a later round does to a body is added to what an earlier one did: each of both starts from before the step.
    """
    struck = ahead.touching.clone()
    for number in range(_ROUNDS):
        first, second = (side[meeting[2] == number] for side in meeting[:2])
        if len(first) == 0:
            return
        pairs = Pairs(first, second, np.ones((len(first), 2)))
        ends = outcome(source, ahead.density, struck, pairs, inputs)
        rows = torch.as_tensor(np.concatenate([first, second]), device=ahead.touching.device)
        ahead.density.write(rows, ends.either)
        ahead.touching[rows] = ahead.touching[rows] | (ends.probability.repeat(2) >= _COUNTS)
        struck[rows] = struck[rows] | (ends.probability.repeat(2) > 0.0)


def go_on(state: EngineState, around: Surroundings, colliding: Bool[np.ndarray, " C"], dt_s: float) -> None:
    """Carry all components of the tests on by `dt_s`, to what comes of it where the two meet."""
    tests, library = state.impacts, state.library
    if tests is None:
        return
    of_pair = slots_of(state, tests)
    slots = of_pair[tests.test].reshape(-1)
    around, models = around.select(state.index(slots)), state.model_index[slots]
    if not colliding[slots].any():  # the usual case, and far the cheaper one: nothing but each other to bump into
        around = dataclasses.replace(around, obstacles=None)
    scale = tests.density.parameters.new_full((len(slots),), _SLIP_NOISE)
    loop = state.settings.loop
    ahead = predict(tests.density, models, library, around, scale, dt_s, loop.linearisation)
    meeting = np.flatnonzero(tests.hypothesis != FREE)
    pairs = Pairs(2 * meeting, 2 * meeting + 1, tests.heavier[meeting])
    inputs = Inputs(models, library, around, scale, dt_s)
    ends = outcome(tests.density, ahead.density, ahead.touching, pairs, inputs)
    state.impacts = _followed(tests.with_rows(ahead.density), meeting, ends, _leaning(state, of_pair))


def _followed(
    tests: ImpactTests, meeting: Int[np.ndarray, " m"], ends: Outcome, leans: Bool[np.ndarray, "T 2"]
) -> ImpactTests | None:
    """Return the tests after the step: a component of which it is open whether the two met becomes two.

    Of two that meet, it is lawful that one which leans on a third thing (`leans`) does not give way.
    """
    everyone = len(ends.probability)
    meets = np.zeros(len(tests.test))
    meets[meeting] = ends.probability.cpu().numpy()
    likely = np.zeros(len(tests))
    law = tests.hypothesis == LAW
    np.maximum.at(likely, tests.test[law], meets[law])
    since = np.where(likely >= _COUNTS, 0, tests.since + 1)
    of_first, of_second = (leans & (since == 0)[:, None])[tests.test].T
    may_stay = of_first & (tests.hypothesis == FIRST_STAYS) | of_second & (tests.hypothesis == SECOND_STAYS)
    hypothesis = np.where(may_stay, LAW, tests.hypothesis)
    tests = dataclasses.replace(
        tests, hypothesis=hypothesis, since=since, met=tests.met | (since == 0), frames=tests.frames + 1
    )
    # component by component: as it is where nobody meets, and the rows of those who do and who do not
    row = np.full(len(tests.test), -1)
    row[meeting] = np.arange(len(meeting))
    may, must = meets > _SURELY, meets < 1.0 - _SURELY
    split = np.concatenate([np.flatnonzero(may), np.flatnonzero(must)])
    met = np.arange(len(split)) < may.sum()
    every = Density.cat([ends.met, ends.missed, tests.density])
    of_pair = np.where(met, 0, 2 * everyone) + row[split]
    as_is = 4 * everyone + 2 * split
    open_ = row[split] >= 0
    first, second = np.where(open_, of_pair, as_is), np.where(open_, of_pair + everyone, as_is + 1)
    index = torch.as_tensor(np.stack([first, second], axis=-1).reshape(-1), device=tests.density.parameters.device)
    share = np.where(met, meets[split], 1.0 - meets[split])
    tests = dataclasses.replace(
        tests,
        test=tests.test[split],
        hypothesis=tests.hypothesis[split],
        heavier=tests.heavier[split],
        log_weight=tests.log_weight[split] + np.log(share),
        density=every.select(index),
    )
    tests = _kept(tests, tests.met & (since <= _AFTERWARDS_FRAMES) & (tests.frames <= _LONGEST_FRAMES))
    return tests if len(tests) else None


def _leaning(state: EngineState, slots: Int[np.ndarray, "T 2"]) -> Bool[np.ndarray, "T 2"]:
    """Return who leans, or nearly so, on something that is not the other of its pair: a wall, or a third ball."""
    belief, mine = state.belief, slots.reshape(-1)
    others = np.flatnonzero(solid(belief))
    place, extent = belief.position.cpu().numpy(), belief.extent_m.cpu().numpy()
    rotation = quaternion.to_matrix(belief.orientation_xyzw).cpu().numpy()[others]
    away = place[mine][:, None] - place[others][None]
    inside = np.abs(np.einsum("nji,tnj->tni", rotation, away)) - 0.5 * extent[others]
    to_box = np.linalg.norm(inside.clip(0.0), axis=-1)
    to_ball = np.linalg.norm(away, axis=-1) - 0.5 * extent[others].mean(-1)
    gap = np.where(follows_the_law(state)[others], to_ball, to_box) - 0.5 * extent[mine].mean(-1)[:, None]
    partner = slots[:, ::-1].reshape(-1)
    gap[(others == mine[:, None]) | (others == partner[:, None])] = np.inf
    return np.asarray((gap < _LEANS_M).any(-1).reshape(-1, 2))


def weigh(state: EngineState, detection: Int[np.ndarray, " C"], frame: Frame) -> None:
    """Fold this frame's detections into the tests, and tell whom the law of impact does not hold for."""
    state.lawless = frozenset()
    tests = state.impacts
    if tests is None:
        return
    which = detection[slots_of(state, tests)][tests.test].reshape(-1)  # [2 M]
    seen = np.flatnonzero(which >= 0)
    gained = np.zeros(len(which))
    if len(seen):
        mine, looks = state.index(seen), state.index(which[seen])
        some = tests.density.select(mine)
        noise = state.settings.sensor.pose_noise(frame.covariance[looks])
        # turning tells most of slow ones: at a tenth of a metre a second a ball turns by three degrees in a frame
        new = innovation(some, frame.position[looks], frame.orientation_xyzw[looks], noise)
        nats = whitened_student_t(new.nis, 2.0 * log_diagonal(new.root).sum(-1), POSE_DIM, _DOF)
        corrected, _ = correct(some, new.residual, noise, new.root)
        tests = tests.with_rows(tests.density.put(mine, corrected))
        gained[seen] = nats.cpu().numpy()
    tests = dataclasses.replace(tests, log_weight=tests.log_weight + gained.reshape(-1, 2).sum(-1))
    found = ~tests.told & (tests.log_ratio() > state.settings.loop.impact_threshold_nats)
    state.impacts = dataclasses.replace(tests, told=tests.told | found)
    if found.any():
        lawless = np.unique(tests.pair[found])
        state.lawless = frozenset(lawless.tolist())
        _blame(state, np.flatnonzero(state.holding(state.lawless) & state.alive))


def _blame(state: EngineState, slots: Int[np.ndarray, " n"]) -> None:
    """Make it an alarm: what no body does is as surprising as a thing that nothing explains."""
    loop, row = state.settings.loop, state.index(slots)
    value = state.belief.log_e_value[row].clamp_min(loop.alarm_threshold_nats + 1.0)
    state.belief = slot_table.put(state.belief, row, log_e_value=value)
    state.ledger.surprise_sum[slots, CHANNELS.index(Channel.CONTACT)] += loop.impact_threshold_nats
