"""What a step tells: the record, built before objects are buried and finished after all is decided."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.engine import doubt, relations
from worldsim.engine.state import EngineState
from worldsim.engine.surprisal import Surprised
from worldsim.engine.tracking import Matched, Predicted
from worldsim.errors import ObservationError
from worldsim.filtering.correct import POSE_DIM
from worldsim.inference.observe import Frame
from worldsim.types.graph import InteractionGraph
from worldsim.types.record import CHANNELS, Association, Predictions, StepRecord, SurpriseReport


def note_action(state: EngineState, action: Float[np.ndarray, " U"] | None) -> None:
    """Remember what the own body was told, in SI units.

    Raises:
        ObservationError: the action is not finite or too short.
    """
    if action is None:
        state.command, state.hold = np.zeros(2), 0.0
        return
    told = np.asarray(action, dtype=np.float64).reshape(-1)
    if len(told) < 2 or not np.isfinite(told).all():
        raise ObservationError(f"action is {told.tolist()}, expected at least 2 finite numbers in [-1, 1].")
    ego = state.settings.ego
    state.command = told[:2].clip(-1.0, 1.0) * [ego.speed_m_s, ego.yaw_rate_rad_s]
    state.hold = float(told[ego.hold_index].clip(-1.0, 1.0)) if len(told) > ego.hold_index else 0.0


def draft(
    state: EngineState,
    predicted: Predicted,
    matched: Matched,
    surprised: Surprised,
    gained: Float[Tensor, " C"],
    frame: Frame,
) -> StepRecord:
    """Return the record of the filter's round; graph, events and hypotheses come in `finish`."""
    slots = np.flatnonzero(state.alive & (state.ids >= 0))
    row = state.index(slots)
    ids = state.ids[slots].copy()
    density = predicted.poses
    covariance = density.covariance.cpu().numpy()
    place = np.full(state.belief.capacity, -1)
    place[slots] = np.arange(len(slots))
    hit = place[matched.slots.cpu().numpy()]
    covariance[hit] = surprised.innovation.covariance.cpu().numpy()
    detection = matched.detection[slots]
    source = np.where(detection >= 0, frame.source_index[detection.clip(0)] if len(frame.source_index) else -1, -1)
    return StepRecord(
        frame.time_s,
        Predictions(
            ids,
            density.states.position.cpu().numpy().copy(),
            density.states.orientation_xyzw.cpu().numpy().copy(),
            covariance,
        ),
        Association(ids, source, matched.visible[slots], frame.source_index[matched.unassigned]),
        _surprise_report(state, slots, hit, predicted, matched, surprised, gained[row].cpu().numpy()),
        InteractionGraph.empty(),
        deferred=tuple(state.ids[state.deferred].tolist()),
    )


def _surprise_report(
    state: EngineState,
    slots: Int[np.ndarray, " N"],
    hit: Int[np.ndarray, " n"],
    predicted: Predicted,
    matched: Matched,
    surprised: Surprised,
    gained: Float[np.ndarray, " N"],
) -> SurpriseReport:
    n = len(slots)
    nats, excess, nis = np.zeros((n, len(CHANNELS))), np.zeros(n), np.full(n, np.nan)
    touching = predicted.touching[matched.slots].cpu().numpy()
    position, rotation = surprised.pose.position_nats.cpu().numpy(), surprised.pose.rotation_nats.cpu().numpy()
    nats[hit, 1] = np.where(touching, 0.0, position)
    nats[hit, 2] = np.where(touching, 0.0, rotation)
    nats[hit, 3] = np.where(touching, position + rotation, 0.0)
    nats[hit, 4] = surprised.appearance_nats.cpu().numpy()
    missed = matched.visible[slots]
    missed[hit] = False
    nats[missed, 0] = -np.log1p(-state.settings.sensor.detection_probability)
    excess[hit] = (surprised.pose.excess_nats + surprised.appearance_excess_nats).cpu().numpy()
    nis[hit] = surprised.innovation.nis.cpu().numpy()
    value = state.belief.log_e_value.cpu().numpy()[slots]
    threshold = state.settings.loop.alarm_threshold_nats
    return SurpriseReport(state.ids[slots].copy(), nats, excess, gained, nis, np.full(n, POSE_DIM), value, threshold)


def finish(state: EngineState, record: StepRecord) -> StepRecord:
    """Return the record with what was decided in the rest of the step."""
    return dataclasses.replace(
        record,
        graph=relations.graph_of(state),
        events=tuple(state.events),
        alarmed=doubt.alarmed_ids(state, record.time_s),
        hypotheses=doubt.posteriors(state),
        loaded_models=state.library.model_ids,
    )


def first_record(state: EngineState) -> StepRecord:
    """Return the record of a reset: nothing predicted, nothing surprising."""
    none = np.zeros(0, dtype=np.int64)
    return StepRecord(
        state.belief.time_s,
        Predictions(none, np.zeros((0, 3)), np.zeros((0, 4)), np.zeros((0, 6, 6))),
        Association(none, none, np.zeros(0, dtype=bool), none),
        SurpriseReport(
            none,
            np.zeros((0, len(CHANNELS))),
            np.zeros(0),
            np.zeros(0),
            np.zeros(0),
            none,
            np.zeros(0),
            state.settings.loop.alarm_threshold_nats,
        ),
        relations.graph_of(state),
        tuple(state.events),
        (),
        {},
        state.library.model_ids,
    )
