"""From alarm to model: stop, ask, test, adopt or learn."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from worldsim.contracts.object_model import ObjectModel
from worldsim.engine import composites
from worldsim.engine.enquiries import Answer, Receipt, look_up
from worldsim.engine.state import GENERIC_MODEL, STARTER_TAG, EngineState
from worldsim.engine.tracking import Matched, Predicted
from worldsim.errors import WorldsimError
from worldsim.filtering.attributes import attribute_log_evidence
from worldsim.hypotheses.novelty import learned_card
from worldsim.hypotheses.trial import Trial, Verdict, judge, open_trial, weigh
from worldsim.inference import lifecycle
from worldsim.inference import slots as slot_table
from worldsim.inference.observe import Frame
from worldsim.inference.slots import density_of
from worldsim.types.query import Query
from worldsim.types.record import EventKind

_STUBBORN_NOISE, _STUBBORN_PAUSE_S = 3.0, 8.0  # of an object whose kind was confirmed after an alarm
_BLOWN_UP_M_S = 5.0  # faster than anything goes here: a wrong model has bounced it off something
_STRANGER_SPEED_M_S, _STRANGER_STILL = 0.3, 0.5  # it went so fast once, and stood for no more of its time
_LOOKS_THE_PART_NATS = 10.0  # by which size and look speak less for a loaded model than for the best one
_RETRY_FRAMES = 20  # between two calls to a registry on this machine that did not answer


def weigh_trials(state: EngineState, predicted: Predicted, matched: Matched, frame: Frame) -> None:
    """Fold this frame's detections into the open trials; where the object was missed, hypotheses only move on."""
    for object_id, trial in list(state.trials.items()):
        rows = predicted.trial_density[object_id]
        which = int(matched.detection[np.flatnonzero(state.ids == object_id)[0]])
        if which < 0:
            state.trials[object_id] = trial.moved(rows)
            continue
        noise = state.settings.sensor.pose_noise(frame.covariance[which : which + 1])
        state.trials[object_id] = weigh(
            trial, rows, frame.position[which : which + 1], frame.orientation_xyzw[which : which + 1], noise
        )


def decide(state: EngineState, now_s: float) -> None:
    """Close the trials that are ripe, publish what has been learned, and raise new alarms."""
    if not state.settings.loop.surprise:
        return
    for object_id in list(state.trials):
        trial = state.trials[object_id]  # anew each time: a verdict renumbers the models of the others
        verdict = judge(trial, now_s, state.library.kinds, state.settings.trial)
        if verdict is not None:
            _conclude(state, trial, verdict, now_s)
    _take_what_came_in(state, now_s)
    _publish_learned(state, now_s)
    state.asked = 0
    _raise_alarms(state, np.flatnonzero(_alarming(state, now_s)), now_s)
    if state.settings.loop.ask_about_strangers:
        for slot in np.flatnonzero(_strange(state)):
            _ask(state, int(slot), now_s)
    state.unasked &= state.waiting.keys()
    again = state.enquiries is not None or state.frames % _RETRY_FRAMES == 0
    for slot in _most_surprising(state, np.flatnonzero(state.holding(state.waiting if again else state.unasked))):
        if not _has_room(state):
            break
        if int(state.ids[slot]) not in state.trials:
            _ask(state, int(slot), now_s)


def alarmed_ids(state: EngineState, now_s: float) -> tuple[int, ...]:
    """Return the objects under alarm or under test."""
    raised = state.ids[_alarming(state, now_s)] if state.settings.loop.surprise else []
    return tuple(sorted({*state.trials, *state.waiting, *(int(i) for i in raised)}))


def _alarming(state: EngineState, now_s: float) -> Bool[np.ndarray, " C"]:
    loop = state.settings.loop
    value, existence = state.on_host("log_e_value", "existence")
    up = state.alive & state.ledger.settled & (existence > loop.confirm_existence) & (value > loop.alarm_threshold_nats)
    up &= np.isnan(state.ledger.learning_since_s)
    busy = {*state.trials, *state.waiting}
    if state.own_id is not None:
        busy.add(state.own_id)
    recent = {i for i, t in state.verdict_s.items() if now_s - t < loop.retest_s} - state.lawless
    return up & ~state.holding(busy | recent)


def _strange(state: EngineState) -> Bool[np.ndarray, " C"]:
    """Return who moves by the broad model alone, was watched for long enough, and was never asked about."""
    loop, ledger, broad = state.settings.loop, state.ledger, state.broad
    moves = (ledger.speed_max > _STRANGER_SPEED_M_S) & (ledger.still_sum / ledger.watched < _STRANGER_STILL)
    sure = state.on_host("existence")[0] > loop.confirm_existence
    found = state.awake & ledger.settled & sure & moves & (ledger.hits >= loop.learn_min_frames)
    found &= broad[np.where(state.alive, state.model_index, 0)] & np.isnan(ledger.learning_since_s)
    asked = {*state.trials, *state.waiting, *state.verdict_s}
    if state.own_id is not None:
        asked.add(state.own_id)
    return found & ~state.holding(asked)


def _raise_alarms(state: EngineState, slots: Int[np.ndarray, " n"], now_s: float) -> None:
    """Tell every alarm, and ask about as many objects as there is room for, the most surprising first."""
    room = len(slots) if state.enquiries is not None else state.settings.loop.asked_a_step
    slots = _most_surprising(state, slots)
    for slot in slots:
        _tell_alarm(state, int(slot))
    for slot in slots[:room]:
        _ask(state, int(slot), now_s)
    left = slots[room:]
    state.unasked |= {int(i) for i in state.ids[left]}
    _keep_waiting(state, left)


def _most_surprising(state: EngineState, slots: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return slots in the order of the evidence against what is believed; as they are, where there is room for all."""
    if state.enquiries is not None or len(slots) <= state.settings.loop.asked_a_step:
        return slots
    return slots[np.argsort(-state.on_host("log_e_value")[0][slots], kind="stable")]


def _has_room(state: EngineState) -> bool:
    """Return whether another object may be asked about; a registry that is far away sees to that by itself."""
    loop = state.settings.loop
    few = state.asked < loop.asked_a_step and len(state.trials) < loop.tested_at_once
    return few or state.enquiries is not None


def _tell_alarm(state: EngineState, slot: int) -> None:
    object_id = int(state.ids[slot])
    state.tell(
        EventKind.ALARM,
        object_id,
        log_e_value_nats=round(float(state.belief.log_e_value[slot]), 3),
        believed=state.library.model_ids[state.model_index[slot]],
        channels={k: round(v, 3) for k, v in state.ledger.channel_share(slot).items()},
        position=[round(float(v), 3) for v in state.belief.position[slot]],
    )
    if float(state.belief.linear_velocity[slot].norm()) > _BLOWN_UP_M_S:
        state.belief = lifecycle.restarted(state.belief, state.index(np.array([slot])))


def _ask(state: EngineState, slot: int, now_s: float) -> None:
    """Query the registry about the object in `slot`; a registry that is far away is asked in the background."""
    object_id = int(state.ids[slot])
    wanted = state.settings.loop.candidates
    if state.enquiries is not None:
        if state.enquiries.may_ask(object_id):
            state.enquiries.ask(object_id, query_about(state, slot), wanted)
        _keep_waiting(state, np.array([slot]))
        return
    if not _has_room(state):
        state.unasked |= {object_id} - state.waiting.keys()
        _keep_waiting(state, np.array([slot]))
        return
    answer = Answer(object_id, query_about(state, slot))
    state.asked += 1
    if state.registry is not None:
        attempt = 2 if object_id in state.waiting.keys() - state.unasked else 1
        state.unasked.discard(object_id)
        answer = look_up(state.registry, object_id, answer.query, wanted, attempt)
    _take_answer(state, slot, answer, now_s)


def _keep_waiting(state: EngineState, slots: Int[np.ndarray, " n"]) -> None:
    """Keep requests, and run the objects on the broad model until they are answered."""
    new = [int(slot) for slot in slots if int(state.ids[slot]) not in state.waiting]
    for slot in new:
        state.waiting[int(state.ids[slot])] = state.library.model_ids[state.model_index[slot]]
    _run_by_broad_model(state, np.array(new, dtype=np.int64))


def _run_by_broad_model(state: EngineState, slots: Int[np.ndarray, " n"]) -> None:
    slots = slots[~state.broad[state.model_index[slots]]]
    if len(slots):
        broad = state.index(np.full(len(slots), state.generic))
        state.belief = lifecycle.take_model(state.belief, state.index(slots), broad, state.library)
        state.composites = composites.taken_over(state, slots)  # else a split gives back the old model's numbers


def _take_what_came_in(state: EngineState, now_s: float) -> None:
    """Take up what a registry far away has said since the last step."""
    for came in state.enquiries.collect() if state.enquiries is not None else ():
        slot = state.belief.slot_of(came.object_id)
        if isinstance(came, Receipt):
            _take_receipt(state, slot, came)
        elif slot is not None and came.object_id in state.waiting and came.object_id not in state.trials:
            _take_answer(state, slot, came, now_s)


def _take_answer(state: EngineState, slot: int, answer: Answer, now_s: float) -> None:
    """Open a trial of what was found; keep the request where the registry did not answer."""
    object_id = answer.object_id
    if answer.away is not None:
        if answer.attempt == 1:
            state.tell(EventKind.REGISTRY_AWAY, object_id, error=answer.away)
        _keep_waiting(state, np.array([slot]))
        return
    for model_id, why in answer.refused:  # corrupt, or run by no plug-in here
        state.tell(EventKind.REJECTED_INPUT, what="candidate", model_id=model_id, error=why)
    believed_id = state.waiting.pop(object_id, state.library.model_ids[state.model_index[slot]])
    state.tell(EventKind.QUERY, object_id, motion=dict(answer.query.motion), extent_m=answer.query.extent_m)
    present = set(state.library.model_ids)
    borrowed = [m for m in answer.models if m.card.model_id not in present]
    state.load(borrowed)
    ids = [m.card.model_id for m in answer.models]
    distances = [round(d, 3) for d in answer.candidates.distances]
    state.tell(EventKind.CANDIDATES, object_id, model_ids=[*ids], distances=distances)
    if believed_id in present and believed_id not in (*ids, GENERIC_MODEL):
        ids.append(believed_id)
    attributes = _attributes(state, slot)
    ids += _loaded_rivals(state, attributes, ids)
    candidates = [state.library.index_of(i) for i in ids]
    _run_by_broad_model(state, np.array([slot]))
    row = density_of(state.belief).select(state.index(np.array([slot])))
    state.trials[object_id] = open_trial(
        object_id,
        now_s,
        row,
        candidates,
        state.generic,
        attributes,
        state.library,
        tuple(m.card.model_id for m in borrowed),
        believed_id,
        state.settings.trial,
    )


def _loaded_rivals(state: EngineState, attributes: Float[np.ndarray, " L"], tested: list[str]) -> list[str]:
    """Return loaded models that look the part and would go untested: a registry is not asked for what is loaded.

    It may have been borrowed for another thing of the same kind, or been passed over while the thing stood still.
    """
    names, likely = state.library.model_ids, attributes > attributes.max() - _LOOKS_THE_PART_NATS
    likely &= ~state.broad & ~np.isin(names, tested)
    best = np.flatnonzero(likely)[np.argsort(-attributes[likely], kind="stable")]
    return [names[m] for m in best[: state.settings.loop.candidates]]


def query_about(state: EngineState, slot: int) -> Query:
    """Return what a registry is asked about the object in `slot`: what was seen of it, without what is loaded."""
    belief = state.belief
    size = belief.extent_m[slot].cpu().numpy()
    spread = belief.extent_variance_m2[slot].sqrt().cpu().numpy()
    look, look_spread = belief.appearance[slot].cpu().numpy(), belief.appearance_variance[slot].sqrt().cpu().numpy()
    known = bool(np.isfinite(look).all())
    return Query(
        extent_m=(float(size[0]), float(size[1]), float(size[2])),
        extent_std_m=(float(spread[0]), float(spread[1]), float(spread[2])),
        appearance=tuple(float(v) for v in look) if known else None,
        appearance_std=tuple(float(v) for v in look_spread) if known else None,
        motion=state.ledger.motion(slot),
        channel_share=state.ledger.channel_share(slot),
        exclude=frozenset(state.library.model_ids),
    )


def _attributes(state: EngineState, slot: int) -> Float[np.ndarray, " L"]:
    b, one = state.belief, slice(slot, slot + 1)
    evidence = attribute_log_evidence(
        b.extent_m[one], b.extent_variance_m2[one], b.appearance[one], b.appearance_variance[one], state.library
    )
    return evidence[0].cpu().numpy()


def _conclude(state: EngineState, trial: Trial, verdict: Verdict, now_s: float) -> None:
    """Adopt the winner (or open a new model), give the losers back."""
    slot = state.belief.slot_of(trial.object_id)
    assert slot is not None
    row = state.index(np.array([slot]))
    winner = int(trial.model_index[verdict.row])
    best = trial.density.select(state.index(np.array([verdict.row])))
    kinds = dict(zip(state.library.model_ids, state.library.kinds, strict=True))
    # the kind that raised the alarm has won: it is right about what, and was too sure about how
    confirmed = verdict.outcome == "adopt" and kinds.get(trial.believed) == state.library.kinds[winner]
    density = density_of(state.belief).put(row, best)
    belief = slot_table.put(
        slot_table.with_density(state.belief, density),
        row,
        model_index=state.index(np.array([winner])),
        log_e_value=state.belief.existence.new_zeros(1),
        noise_scale=state.belief.existence.new_full((1,), _STUBBORN_NOISE if confirmed else 1.0),
    )
    state.belief = belief
    posterior = _named_posterior(state, trial)
    name = state.library.model_ids[winner]
    if verdict.outcome == "novel":
        state.ledger.learning_since_s[slot] = now_s
        others = np.delete(trial.log_weight, verdict.row)
        state.ledger.learning_gain_nats[slot] = trial.log_weight[verdict.row] - others.max() if len(others) else 0.0
        state.tell(EventKind.NOVEL, trial.object_id, probability=verdict.probability, posterior=posterior)
    else:
        kind = state.library.kinds[winner]
        state.tell(
            EventKind.ADOPTION,
            trial.object_id,
            model_id=name,
            kind=kind,
            probability=verdict.probability,
            posterior=posterior,
            frames=trial.frames,
        )
    del state.trials[trial.object_id]
    state.verdict_s[trial.object_id] = now_s + (_STUBBORN_PAUSE_S if confirmed else 0.0)
    returned = [i for i in trial.borrowed if not (verdict.outcome == "adopt" and i == name)]
    before = next((m.card for m in state.library.models if m.card.model_id == trial.believed), None)
    kept = {name, GENERIC_MODEL}
    if before is not None and trial.believed not in kept and STARTER_TAG not in before.tags:
        returned.append(trial.believed)  # adopted earlier, and now better explained
        if not confirmed:
            state.tell(EventKind.REVERT, trial.object_id, model_id=trial.believed, replaced_by=name)
    state.unload(returned)
    state.tell(EventKind.RETURN, trial.object_id, model_ids=returned)


def _named_posterior(state: EngineState, trial: Trial) -> dict[str, float]:
    names = [state.library.model_ids[m] for m in trial.model_index]
    return {n: round(float(p), 6) for n, p in zip(names, trial.posterior(), strict=True)}


def posteriors(state: EngineState) -> dict[int, dict[str, float]]:
    """Return the posterior over hypotheses of every object under test."""
    return {i: _named_posterior(state, t) for i, t in state.trials.items()}


def _publish_learned(state: EngineState, now_s: float) -> None:
    """Turn what has been learned for long enough into a model of its own, and publish it."""
    loop = state.settings.loop
    since = state.ledger.learning_since_s
    ripe = state.alive & (now_s - since >= loop.learn_s) & (state.ledger.hits >= loop.learn_min_frames)
    for slot in np.flatnonzero(ripe):
        object_id = int(state.ids[slot])
        if state.enquiries is not None and state.enquiries.is_publishing(object_id):
            continue
        template = state.library.models[state.generic]
        card = learned_card(
            state.belief,
            int(slot),
            template,
            state.ledger.motion(int(slot)),
            int(state.ledger.hits[slot]),
            float(state.ledger.learning_gain_nats[slot]),
        )
        model = type(template)(card)
        if card.model_id in state.library.model_ids:  # its like has taught the same, to the last digit
            _know(state, int(slot), model)
            continue
        if state.enquiries is not None:
            state.enquiries.publish(object_id, model)
            continue
        where = ""
        if state.registry is not None:
            try:
                where = state.registry.publish(model)
            except WorldsimError as refused:  # as in `enquiries`: it may be the card that is refused
                if state.frames % _RETRY_FRAMES == 0:
                    state.tell(EventKind.REGISTRY_AWAY, object_id, error=str(refused))
                continue
        _know(state, int(slot), model)
        state.tell(EventKind.PUBLISH, object_id, model_id=card.model_id, published_as=where, kind=card.kind)


def _take_receipt(state: EngineState, slot: int | None, receipt: Receipt) -> None:
    """Run the object that a model was learned from by it, now that the registry has it."""
    object_id, card = receipt.object_id, receipt.model.card
    if receipt.published_as is None:
        state.tell(EventKind.REGISTRY_AWAY, object_id, error=receipt.refused)
        return
    if slot is not None and not np.isnan(state.ledger.learning_since_s[slot]):
        _know(state, slot, receipt.model)
    published = receipt.published_as
    state.tell(EventKind.PUBLISH, object_id, model_id=card.model_id, published_as=published, kind=card.kind)


def _know(state: EngineState, slot: int, model: ObjectModel) -> None:
    """Run the object in `slot` by a model that has been learned; load it, unless its like has taught the same."""
    name = model.card.model_id
    if name not in state.library.model_ids:
        state.load([model])
    state.belief = slot_table.put(
        state.belief,
        state.index(np.array([slot])),
        model_index=state.index(np.array([state.library.index_of(name)])),
        noise_scale=torch.ones(1, dtype=state.dtype, device=state.device),
    )
    state.ledger.learning_since_s[slot] = np.nan
