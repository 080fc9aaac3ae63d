"""What one step did: predictions, association, surprise, graph and events."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.types.graph import InteractionGraph


class Channel(enum.StrEnum):
    """Where a surprise came from; the channel says what to ask the registry for."""

    EXISTENCE = "existence"
    POSITION = "position"
    ROTATION = "rotation"
    CONTACT = "contact"
    APPEARANCE = "appearance"


CHANNELS = tuple(Channel)


class EventKind(enum.StrEnum):
    """What can happen in a step beyond the ordinary."""

    BIRTH = "birth"
    DEATH = "death"
    ALARM = "alarm"
    QUERY = "query"
    CANDIDATES = "candidates"
    ADOPTION = "adoption"
    RETURN = "return"
    NOVEL = "novel"
    PUBLISH = "publish"
    REVERT = "revert"
    REJECTED_INPUT = "rejected_input"
    REGISTRY_AWAY = "registry_away"
    GROWTH = "growth"
    MERGE = "merge"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing worth telling.

    Attributes:
        kind: what happened.
        time_s: when, s.
        object_id: whom it concerns, -1 for nobody.
        detail: JSON-able details, for example ``{"model_id": ..., "posterior": {...}}``.
    """

    kind: EventKind
    time_s: float
    object_id: int = -1
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Predictions:
    """One-step-ahead predictive distribution of each object alive before the observation arrived.

    Attributes:
        object_id: [N].
        position: [N, 3] m predictive means; orientation_xyzw: [N, 4].
        covariance: [N, 6, 6] predictive covariance of the *observed* pose (belief plus sensor noise).
    """

    object_id: Int[np.ndarray, " N"]
    position: Float[np.ndarray, "N 3"]
    orientation_xyzw: Float[np.ndarray, "N 4"]
    covariance: Float[np.ndarray, "N 6 6"]


@dataclass(frozen=True, slots=True)
class Association:
    """Which detection was taken for which object.

    Attributes:
        object_id: [N] ids in the order of `Predictions`.
        detection: [N] index into the observation's detections, -1 where missed.
        visible: [N] the object should have been seen from some viewpoint.
        unassigned: indices of detections that no object claimed (births or clutter).
    """

    object_id: Int[np.ndarray, " N"]
    detection: Int[np.ndarray, " N"]
    visible: Bool[np.ndarray, " N"]
    unassigned: Int[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class SurpriseReport:
    """Surprise of each object in this step.

    Attributes:
        object_id: [N].
        surprisal_nats: [N, channels] -log p(observation | belief) by `Channel`, 0 where nothing was observed.
        excess_surprisal_nats: [N] surprisal minus its expectation under the model, summed over channels.
        bayesian_surprise_nats: [N] KL(posterior || prior) of the pose belief.
        nis: [N] normalised innovation squared of the pose, NaN where missed.
        nis_dof: [N] its degrees of freedom.
        log_e_value: [N] the e-detector's log W after this step.
        alarm_threshold_nats: log W above which an alarm is raised.
    """

    object_id: Int[np.ndarray, " N"]
    surprisal_nats: Float[np.ndarray, "N channels"]
    excess_surprisal_nats: Float[np.ndarray, " N"]
    bayesian_surprise_nats: Float[np.ndarray, " N"]
    nis: Float[np.ndarray, " N"]
    nis_dof: Int[np.ndarray, " N"]
    log_e_value: Float[np.ndarray, " N"]
    alarm_threshold_nats: float


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Everything that one step of the world model did. Arrays are copies; nothing in it changes later.

    Attributes:
        time_s: time of the observation.
        predictions, association, surprise, graph: the stages' results.
        events: what happened, in order.
        alarmed: ids of objects under alarm or under test now.
        hypotheses: object id -> {model id: posterior probability} for objects under test.
        loaded_models: ids of the models loaded after the step.
        deferred: ids of the objects that the step left for later, its time being spent (see ``attention_budget_ms``).
    """

    time_s: float
    predictions: Predictions
    association: Association
    surprise: SurpriseReport
    graph: InteractionGraph
    events: tuple[Event, ...] = ()
    alarmed: tuple[int, ...] = ()
    hypotheses: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    loaded_models: tuple[str, ...] = ()
    deferred: tuple[int, ...] = ()
