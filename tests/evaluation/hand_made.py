"""An episode made by hand: a robot carries a parcel along a line, a cat crosses, is noticed, tested and adopted.

Everything in it is chosen so that scores can be worked out on paper: the belief is the truth shifted by 2 cm, forecasts
are off by 10 cm, the alarm comes 0.2 s after first visibility and the adoption 1 s after the alarm.
"""

from __future__ import annotations

import numpy as np

from worldsim.evaluation.episode import BeliefSnapshot, EpisodeLog, ForecastSnapshot, Frame
from worldsim.types.graph import InteractionGraph
from worldsim.types.observation import APPEARANCE_DIM, Detections, EgoState, Observation, Viewpoints
from worldsim.types.planning import Plan
from worldsim.types.record import CHANNELS, Association, Event, EventKind, Predictions, StepRecord, SurpriseReport
from worldsim.types.truth import WorldTruth

DT_S = 0.05
VISIBLE_S, ALARM_S, ADOPTED_S, RETURN_S = 3.0, 3.2, 4.2, 4.25
THRESHOLD_NATS = 6.9
INTRUDER_ID = 9
NAMES = ("robot", "shelf-1", "shelf-2", "pallet-1", "crate-1", "worker-1", "door")
KINDS = ("robot", "shelf", "shelf", "pallet", "crate", "worker", "door")
MODELS = ("vehicle/robot", "static/shelf", "static/shelf", "rigid_body/pallet", "rigid_body/crate", "person/worker")
MODELS = (*MODELS, "hinge/door")
EXTENTS = np.array(
    [
        [0.7, 0.5, 0.3],
        [2.4, 0.6, 2.2],
        [2.4, 0.6, 2.2],
        [1.2, 0.8, 0.144],
        [0.5, 0.4, 0.35],
        [0.45, 0.55, 1.75],
        [1.4, 0.06, 2.0],
    ]
)
CAT_EXTENT = np.array([[0.45, 0.16, 0.30]])
BELIEF_SHIFT_M = 0.02
FORECAST_SHIFT_M = 0.10


def positions(time_s: float) -> np.ndarray:
    """Return the [7, 3] true positions of the standing cast."""
    halted = np.clip(time_s - ALARM_S, 0.0, ADOPTED_S + 0.6 - ALARM_S)
    return np.array(
        [
            [-7.0 + 1.0 * (time_s - halted), -0.5, 0.15],
            [-3.0, 4.0, 1.1],
            [2.0, 4.0, 1.1],
            [4.0, -3.0, 0.072],
            [4.0, -3.0, 0.319],
            [6.0 - 0.6 * time_s, 2.0, 0.875],
            [0.0, 6.6, 1.0],
        ]
    )


def cat_position(time_s: float) -> np.ndarray:
    """Return the [3] true position of the cat, which zigzags."""
    t = time_s - VISIBLE_S
    return np.array([-1.0 + 1.1 * np.sin(1.1 * t), -5.5 + 0.9 * t, 0.15])


def make_log(frames: int = 200, *, observations: bool = True, picture: bool = False) -> EpisodeLog:
    """Return the episode, `frames` frames of 0.05 s."""
    return EpisodeLog(
        seed=7,
        scenario="Warehouse(intruder='cat')",
        dt_s=DT_S,
        frames=tuple(_frame(k, observations, picture) for k in range(frames)),
        terminated=True,
        deliveries_wanted=2,
        starter_models=MODELS,
    )


def _frame(number: int, observations: bool, picture: bool) -> Frame:
    time_s = number * DT_S
    truth = _truth(time_s)
    seen = EXTENTS.shape[0] - 1 + (truth.intruder is not None)
    rows = np.arange(1, 1 + seen)
    observation = Observation(
        time_s,
        Detections(
            truth.position[rows],
            truth.orientation_xyzw[rows],
            truth.extent_m[rows],
            np.full((seen, 3), 0.5),
            np.zeros((seen, APPEARANCE_DIM)),
            np.tile(1e-4 * np.eye(6), (seen, 1, 1)),
        ),
        Viewpoints(np.array([[0.0, 0.0, 3.5]]), np.array([15.0])),
        EgoState(
            truth.position[0],
            truth.orientation_xyzw[0],
            np.array([1.0, 0.0, 0.0]),
            np.zeros(3),
            EXTENTS[0],
            1e-4 * np.eye(6),
        ),
        {"task_holding": np.array([1.0])},
    )
    image = np.full((120, 160, 3), 90, dtype=np.uint8) if picture and number % 2 == 0 else None
    return Frame(
        time_s,
        truth,
        observation if observations else None,
        _record(time_s, truth),
        _belief(time_s, truth),
        _forecast(time_s, truth) if number % 4 == 0 else None,
        Plan(np.array([0.8, 0.1, 1.0]), np.tile([0.8, 0.1, 1.0], (10, 1)), 1.0, {"goal": 0.6, "clearance": 0.4}),
        np.array([0.8, 0.1, 1.0], dtype=np.float32),
        0.1,
        physics_s=0.010,
        model_s=0.008,
        plan_s=0.007,
        deliveries=int(time_s > 8.0) + int(time_s > 9.0),
        image=image,
    )


def _truth(time_s: float) -> WorldTruth:
    here = time_s >= VISIBLE_S
    position = np.vstack([positions(time_s), cat_position(time_s)[None]]) if here else positions(time_s)
    n = len(position)
    return WorldTruth(
        time_s,
        (*NAMES, "intruder") if here else NAMES,
        (*KINDS, "cat") if here else KINDS,
        position,
        np.tile([0.0, 0.0, 0.0, 1.0], (n, 1)),
        np.zeros((n, 3)),
        np.zeros((n, 3)),
        np.vstack([EXTENTS, CAT_EXTENT]) if here else EXTENTS,
        np.ones(n, dtype=bool),
        "intruder" if here else None,
        (("pallet-1", "crate-1", 49.0),),
        (("pallet-1", "crate-1"),),
        ego="robot",
    )


def _ids(truth: WorldTruth) -> np.ndarray:
    return np.array([*range(1, 8), *([INTRUDER_ID] if truth.intruder else [])])


def _model_ids(time_s: float, truth: WorldTruth) -> tuple[str, ...]:
    cat = ("cat/tabby-small",) if time_s >= ADOPTED_S else ("generic/broad",)
    return (*MODELS, *(cat if truth.intruder else ()))


def _belief(time_s: float, truth: WorldTruth) -> BeliefSnapshot:
    n = len(truth.names)
    return BeliefSnapshot(
        _ids(truth),
        _model_ids(time_s, truth),
        tuple(k if k != "cat" or time_s >= ADOPTED_S else "generic" for k in truth.kinds),
        truth.position + np.array([BELIEF_SHIFT_M, 0.0, 0.0]),
        np.tile(np.diag([4e-3, 9e-3, 1e-4]), (n, 1, 1)),
        truth.orientation_xyzw,
        truth.linear_velocity,
        truth.extent_m,
        np.ones(n),
    )


def _forecast(time_s: float, truth: WorldTruth) -> ForecastSnapshot:
    ahead = time_s + 0.25 * np.arange(1, 5)
    rows = [
        np.vstack([positions(t), *([cat_position(t)[None]] if truth.intruder else [])])
        + np.array([0.0, FORECAST_SHIFT_M, 0.0])
        for t in ahead
    ]
    moves = np.isin(np.array(truth.kinds), ["robot", "worker", "cat"])
    return ForecastSnapshot(_ids(truth), ahead, np.array(rows), np.full((4, len(moves), 3), 0.08), moves)


def _record(time_s: float, truth: WorldTruth) -> StepRecord:
    ids = _ids(truth)
    n = len(ids)
    log_e = 0.6 + 0.5 * np.sin(time_s * (1 + np.arange(n)))
    testing = ALARM_S <= time_s < ADOPTED_S
    if truth.intruder:
        log_e[-1] = 40.0 * (time_s - VISIBLE_S) if time_s < ADOPTED_S else 0.4
    surprisal = np.abs(np.outer(log_e, np.linspace(0.1, 1.0, len(CHANNELS))))
    p = float(np.clip(0.2 + (time_s - ALARM_S) * 0.75, 0.0, 0.98))
    rest = (1.0 - p) / 2
    return StepRecord(
        time_s,
        Predictions(ids, truth.position, truth.orientation_xyzw, np.tile(1e-3 * np.eye(6), (n, 1, 1))),
        Association(ids, np.arange(n) - 1, np.ones(n, dtype=bool), np.zeros(0, dtype=np.int64)),
        SurpriseReport(
            ids, surprisal, log_e, 0.1 * np.ones(n), np.ones(n), np.full(n, 6, dtype=np.int64), log_e, THRESHOLD_NATS
        ),
        InteractionGraph(
            np.array([4, 1]),
            np.array([5, 5]),
            ("support", "contact"),
            np.array([3.0, -0.5]),
            tuple(ids),
            _model_ids(time_s, truth),
        ),
        _events(time_s),
        (INTRUDER_ID,) if testing else (),
        {INTRUDER_ID: {"cat/tabby-small": p, "dog/terrier": rest, "generic/broad": rest}} if testing else {},
        (*MODELS, "cat/tabby-small") if time_s >= ADOPTED_S else MODELS,
    )


def _events(time_s: float) -> tuple[Event, ...]:
    fetched = ["cat/tabby-small", "dog/terrier", "generic/broad"]
    table = {
        VISIBLE_S: [Event(EventKind.BIRTH, time_s, INTRUDER_ID, {"model_id": "generic/broad"})],
        ALARM_S: [
            Event(
                EventKind.ALARM,
                time_s,
                INTRUDER_ID,
                {"log_e_value_nats": 8.0, "channels": {"appearance": 0.8, "position": 0.2}},
            ),
            Event(EventKind.QUERY, time_s, INTRUDER_ID, {}),
            Event(EventKind.CANDIDATES, time_s, INTRUDER_ID, {"model_ids": fetched}),
        ],
        ADOPTED_S: [
            Event(EventKind.ADOPTION, time_s, INTRUDER_ID, {"model_id": "cat/tabby-small", "probability": 0.98}),
        ],
        RETURN_S: [Event(EventKind.RETURN, time_s, INTRUDER_ID, {"model_ids": fetched[1:]})],
    }
    return tuple(event for at, events in table.items() if abs(at - time_s) < DT_S / 2 for event in events)
