"""From alarm to model: stop, ask, test, adopt or learn."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float

from worldsim.contracts.object_model import ObjectModel
from worldsim.engine.state import GENERIC_MODEL, STARTER_TAG, EngineState
from worldsim.engine.tracking import Matched, Predicted
from worldsim.errors import PluginError, RegistryError
from worldsim.filtering.attributes import attribute_log_evidence
from worldsim.hypotheses.novelty import learned_card
from worldsim.hypotheses.trial import Trial, Verdict, judge, open_trial, weigh
from worldsim.inference import lifecycle
from worldsim.inference import slots as slot_table
from worldsim.inference.observe import Frame
from worldsim.inference.slots import density_of
from worldsim.types.query import Candidates, Query
from worldsim.types.record import EventKind

_STUBBORN_NOISE, _STUBBORN_PAUSE_S = 3.0, 8.0  # of an object whose kind was confirmed after an alarm
_RETRY_FRAMES = 20  # between two calls to a registry that did not answer


def weigh_trials(state: EngineState, predicted: Predicted, matched: Matched, frame: Frame) -> None:
    """Fold this frame's detections into the open trials; where the object was missed, hypotheses only move on."""
    slots = {int(i): int(s) for s, i in enumerate(state.ids) if i >= 0}
    for object_id, trial in list(state.trials.items()):
        rows = predicted.trial_density[object_id]
        which = int(matched.detection[slots[object_id]])
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
    _publish_learned(state, now_s)
    for slot in np.flatnonzero(_alarming(state, now_s)):
        _alarm(state, int(slot), now_s)
    if state.waiting and state.frames % _RETRY_FRAMES == 0:
        for object_id in sorted(state.waiting):
            found = state.belief.slot_of(object_id)
            if found is not None and object_id not in state.trials:
                _ask(state, found, now_s)


def alarmed_ids(state: EngineState, now_s: float) -> tuple[int, ...]:
    """Return the objects under alarm or under test."""
    raised = state.ids[_alarming(state, now_s)] if state.settings.loop.surprise else []
    return tuple(sorted({*state.trials, *state.waiting, *(int(i) for i in raised)}))


def _alarming(state: EngineState, now_s: float) -> Bool[np.ndarray, " C"]:
    loop = state.settings.loop
    value = state.belief.log_e_value.cpu().numpy()
    sure = state.belief.existence.cpu().numpy() > loop.confirm_existence
    up = state.alive & state.ledger.settled & sure & (value > loop.alarm_threshold_nats)
    up &= np.isnan(state.ledger.learning_since_s)
    busy = {*state.trials, *state.waiting}
    if state.own_id is not None:
        busy.add(state.own_id)
    recent = {i for i, t in state.verdict_s.items() if now_s - t < loop.retest_s}
    return up & ~np.isin(state.ids, list(busy | recent))


def _alarm(state: EngineState, slot: int, now_s: float) -> None:
    object_id = int(state.ids[slot])
    state.tell(
        EventKind.ALARM,
        object_id,
        log_e_value_nats=round(float(state.belief.log_e_value[slot]), 3),
        believed=state.library.model_ids[state.model_index[slot]],
        channels={k: round(v, 3) for k, v in state.ledger.channel_share(slot).items()},
        position=[round(float(v), 3) for v in state.belief.position[slot]],
    )
    if not state.broad[state.model_index[slot]]:
        state.belief = lifecycle.restarted(state.belief, state.index(np.array([slot])))
    _ask(state, slot, now_s)


def _ask(state: EngineState, slot: int, now_s: float) -> None:
    """Query the registry about the object in `slot` and open a trial; keep the request where it does not answer."""
    object_id = int(state.ids[slot])
    query = _query(state, slot)
    found, models = Candidates((), ()), []
    if state.registry is not None:
        try:
            found = state.registry.search(query, state.settings.loop.candidates)
            models = _fetch(state, found)
        except RegistryError as away:
            if object_id not in state.waiting:
                state.tell(EventKind.REGISTRY_AWAY, object_id, error=str(away))
            state.waiting.add(object_id)
            return
    state.waiting.discard(object_id)
    believed = int(state.model_index[slot])
    believed_id = state.library.model_ids[believed]
    state.tell(EventKind.QUERY, object_id, motion=dict(query.motion), extent_m=query.extent_m)
    present = set(state.library.model_ids)
    borrowed = [m for m in models if m.card.model_id not in present]
    state.load(borrowed)
    ids = [m.card.model_id for m in models]
    state.tell(EventKind.CANDIDATES, object_id, model_ids=ids, distances=[round(d, 3) for d in found.distances])
    candidates = [state.library.index_of(i) for i in ids]
    if believed not in candidates and not state.broad[believed]:
        candidates.append(believed)
    row = density_of(state.belief).select(state.index(np.array([slot])))
    if not state.broad[believed]:
        state.belief = lifecycle.take_model(
            state.belief, state.index(np.array([slot])), state.index(np.array([state.generic])), state.library
        )
        row = density_of(state.belief).select(state.index(np.array([slot])))
    state.trials[object_id] = open_trial(
        object_id,
        now_s,
        row,
        candidates,
        state.generic,
        _attributes(state, slot),
        state.library,
        tuple(m.card.model_id for m in borrowed),
        believed_id,
        state.settings.trial,
    )


def _query(state: EngineState, slot: int) -> Query:
    belief = state.belief
    size = belief.extent_m[slot].cpu().numpy()
    spread = belief.extent_variance_m2[slot].sqrt().cpu().numpy()
    return Query(
        extent_m=(float(size[0]), float(size[1]), float(size[2])),
        extent_std_m=(float(spread[0]), float(spread[1]), float(spread[2])),
        appearance=tuple(float(v) for v in belief.appearance[slot]),
        appearance_std=tuple(float(v) for v in belief.appearance_variance[slot].sqrt()),
        motion=state.ledger.motion(slot),
        channel_share=state.ledger.channel_share(slot),
        exclude=frozenset(state.library.model_ids),
    )


def _fetch(state: EngineState, found: Candidates) -> list[ObjectModel]:
    """Fetch the candidates; one that is corrupt, or that no plug-in here runs, is left out and told."""
    assert state.registry is not None
    models = []
    for card in found.cards:
        try:
            models.append(state.registry.fetch(card.model_id, card.version))
        except (RegistryError, PluginError) as refused:
            state.tell(EventKind.REJECTED_INPUT, what="candidate", model_id=card.model_id, error=str(refused))
    return models


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
        where = ""
        if state.registry is not None:
            try:
                where = state.registry.publish(model)
            except RegistryError as refused:
                if state.frames % _RETRY_FRAMES == 0:
                    state.tell(EventKind.REGISTRY_AWAY, object_id, error=str(refused))
                continue
        state.load([model])
        row = state.index(np.array([int(slot)]))
        state.belief = slot_table.put(
            state.belief,
            row,
            model_index=state.index(np.array([len(state.library) - 1])),
            noise_scale=torch.ones(1, dtype=state.dtype, device=state.device),
        )
        state.ledger.learning_since_s[slot] = np.nan
        state.tell(EventKind.PUBLISH, object_id, model_id=card.model_id, published_as=where, kind=card.kind)
