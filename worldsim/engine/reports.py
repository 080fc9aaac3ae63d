"""What a step tells: the record, built before objects are buried and finished after all is decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

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
from worldsim.types.transfer import fetched


def note_action(state: EngineState, action: Float[np.ndarray, " U"] | None) -> None:
    """Remember what the own body was told, in SI units.

    Raises:
        ObservationError: the action is not of finite numbers or too short.
    """
    if action is None:
        state.command, state.hold = np.zeros(2), 0.0
        return
    try:
        told = np.asarray(action, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as no_numbers:
        raise ObservationError(f"action is {action!r}, expected at least 2 finite numbers in [-1, 1].") from no_numbers
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
    ids = state.ids[slots].copy()
    prior, pose = predicted.poses, surprised.pose
    covariance, position, orientation, innovation, *told = fetched(  # in one transfer
        prior.covariance,
        prior.states.position,
        prior.states.orientation_xyzw,
        surprised.innovation.covariance,
        gained[state.index(slots)],
        predicted.touching[matched.slots],
        pose.position_nats,
        pose.rotation_nats,
        surprised.appearance_nats,
        pose.excess_nats + surprised.appearance_excess_nats,
        surprised.innovation.nis,
        state.belief.log_e_value,
    )
    place = np.full(state.belief.capacity, -1)
    place[slots] = np.arange(len(slots))
    hit = place[matched.rows_on_host]
    covariance[hit] = innovation
    detection = matched.detection[slots]
    source = np.where(detection >= 0, frame.source_index[detection.clip(0)] if len(frame.source_index) else -1, -1)
    return StepRecord(
        frame.time_s,
        Predictions(ids, position, orientation, covariance),
        Association(ids, source, matched.visible[slots], frame.source_index[matched.unassigned]),
        _surprise_report(state, slots, hit, matched, told),
        InteractionGraph.empty(),
        deferred=tuple(state.ids[state.deferred].tolist()),
    )


def _surprise_report(
    state: EngineState,
    slots: Int[np.ndarray, " N"],
    hit: Int[np.ndarray, " n"],
    matched: Matched,
    told: Sequence[np.ndarray],
) -> SurpriseReport:
    """Return the report on N objects, of which n were seen.

    Args:
        state: of the step.
        slots: of the N objects; hit: [n] which of them were seen.
        matched: who was seen.
        told: [N] what was learned of each; [n] whether it touched something, surprise of position, of rotation and of
            size and look, its excess, NIS; [C] e-values.
    """
    n = len(slots)
    nats, excess, nis = np.zeros((n, len(CHANNELS))), np.zeros(n), np.full(n, np.nan)
    gained, touching, position, rotation, appearance, beyond, normalised, e_value = told
    nats[hit, 1] = np.where(touching, 0.0, position)
    nats[hit, 2] = np.where(touching, 0.0, rotation)
    nats[hit, 3] = np.where(touching, position + rotation, 0.0)
    nats[hit, 4] = appearance
    missed = matched.visible[slots]
    missed[hit] = False
    nats[missed, 0] = -np.log1p(-state.settings.sensor.detection_probability)
    excess[hit], nis[hit], value = beyond, normalised, e_value[slots]
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
