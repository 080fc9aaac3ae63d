"""The unchanged world model on recorded reality: what it predicted, what was then seen, and what surprised it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from worldsim.contracts.object_model import ObjectModel
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.interactions.contact import Contact
from worldsim.interactions.support import Support
from worldsim.loop import WorldModel
from worldsim.registry import open_registry
from worldsim.simulation.recording import Recording
from worldsim.simulation.recordings import Clip
from worldsim.types.card import ModelCard
from worldsim.types.observation import Observation
from worldsim.types.record import Event, StepRecord

__all__ = ["ParameterBelief", "Track", "TrackedClip", "follow", "make_world_model"]

_SETTLE_FRAMES = 2  # the kinds in a recording are known, so two frames, which give a velocity, are enough
_NINETY = 1.6448536269514722  # standard normal quantile of 95 %
_FORECAST_SAMPLES = 128

Tell = Callable[[str], None]
AfterStep = Callable[[WorldModel, Recording, StepRecord], None]


@dataclass(frozen=True, slots=True)
class ParameterBelief:
    """The belief of one parameter: its median and its central 90 % interval, natural units."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Track:
    """One body through a clip, T frames; NaN where it was not seen, or not predicted.

    Attributes:
        body: its name in the clip.
        time_s: [T]; observed: [T, 3] m; predicted: [T, 3] m, one frame ahead.
        predicted_std_m: [T, 3] of the predicted observation.
        rotation_error_rad: [T] angle between the predicted and the observed orientation.
        nis: [T] normalised innovation squared of the pose; nis_dof: its degrees of freedom.
        excess_nats: [T] excess surprisal; log_e: [T] the e-detector after the frame; threshold_nats: its alarm level.
        alarmed: [T] under alarm or test.
        parameters: the last belief by name under the model that it was told of; later ones of another model are not
            told.
        kind: what it was taken for when last seen.
    """

    body: str
    time_s: Float[np.ndarray, " T"]
    observed: Float[np.ndarray, "T 3"]
    predicted: Float[np.ndarray, "T 3"]
    predicted_std_m: Float[np.ndarray, "T 3"]
    rotation_error_rad: Float[np.ndarray, " T"]
    nis: Float[np.ndarray, " T"]
    nis_dof: int
    excess_nats: Float[np.ndarray, " T"]
    log_e: Float[np.ndarray, " T"]
    threshold_nats: float
    alarmed: Bool[np.ndarray, " T"]
    parameters: dict[str, ParameterBelief] = field(default_factory=dict)
    kind: str = ""

    @property
    def error_m(self) -> Float[np.ndarray, " T"]:
        """Distance between predicted and observed position."""
        return np.linalg.norm(self.predicted - self.observed, axis=-1)


@dataclass(frozen=True, slots=True)
class TrackedClip:
    """A clip after the loop has run over it.

    Attributes:
        clip: what was played.
        tracks: one a body, in the clip's order.
        events: everything that happened, in order.
    """

    clip: Clip
    tracks: tuple[Track, ...]
    events: tuple[Event, ...]


def make_world_model(models: Sequence[ObjectModel], seed: int = 0, tracker: str = "world_model") -> WorldModel:
    """Return the world model that follows recordings: the whole loop, the shipped registry behind it.

    Args:
        models: what it is told beforehand (see `worldsim.evaluation.track_models`).
        seed: of its forecasts.
        tracker: ``world_model``, or ``constant_velocity`` for the baseline.
    """
    loop = LoopSettings(settle_frames=_SETTLE_FRAMES, future_samples=_FORECAST_SAMPLES)
    return WorldModel(
        registry=open_registry("builtin"),
        models=list(models),
        settings=WorldModelSettings(loop=loop),
        interactions=[Contact(), Support()],  # nothing holds anything in a recording
        tracker="constant_velocity" if tracker == "constant_velocity" else "world_model",
        seed=seed,
    )


def follow(
    clip: Clip,
    model: WorldModel,
    cards: Sequence[ModelCard] = (),
    seed: int = 0,
    after_step: AfterStep = lambda model, world, record: None,
    tell: Tell = lambda line: None,
) -> TrackedClip:
    """Play `clip` to `model`, frame by frame, and keep what it predicted of every body.

    Args:
        clip: what to play.
        model: reset at the first frame with anybody in it.
        cards: whose parameters are to be told at a body's end.
        seed: shuffles the detections of each frame.
        after_step: called after every step.
        tell: progress.
    """
    world = Recording([clip])
    world.reset(world.scenario(clip.name), seed)
    while not len(world.observe().detections) and world.frames_left:
        world.step(None)
    book = _Book.blank(clip, cards)
    record = model.reset(world.observe())
    events = list(record.events)
    book.note_objects(model, world, record)
    after_step(model, world, record)
    while world.frames_left:
        world.step(None)
        observation = world.observe()
        record = model.step(observation)
        events.extend(record.events)
        book.note(world, observation, record)
        book.note_objects(model, world, record)
        after_step(model, world, record)
        if world.frame % 100 == 0:
            tell(f"{clip.name}: frame {world.frame} of {len(clip)}")
    return TrackedClip(clip, book.tracks(clip), tuple(events))


@dataclass(slots=True)
class _Book:
    """What is written down during a clip, [T, N] each."""

    predicted: Float[np.ndarray, "T N 3"]
    std: Float[np.ndarray, "T N 3"]
    turn: Float[np.ndarray, "T N"]
    nis: Float[np.ndarray, "T N"]
    excess: Float[np.ndarray, "T N"]
    log_e: Float[np.ndarray, "T N"]
    alarmed: Bool[np.ndarray, "T N"]
    dof: int
    threshold: float
    cards: tuple[ModelCard, ...]
    last: dict[int, tuple[str, dict[str, ParameterBelief]]]

    @classmethod
    def blank(cls, clip: Clip, cards: Sequence[ModelCard]) -> _Book:
        shape = clip.position.shape[:2]
        predicted, std = np.full((2, *shape, 3), np.nan)
        turn, nis, excess, log_e = np.full((4, *shape), np.nan)
        alarmed = np.zeros(shape, dtype=bool)
        return cls(predicted, std, turn, nis, excess, log_e, alarmed, 6, np.inf, tuple(cards), {})

    def note(self, world: Recording, observation: Observation, record: StepRecord) -> None:
        """Write down the predictions of the matched objects."""
        matched = np.flatnonzero(record.association.detection >= 0)
        if len(matched) == 0:
            return
        detection = record.association.detection[matched]
        bodies, t = world.detected_bodies()[detection], world.frame
        predictions, surprise = record.predictions, record.surprise
        self.predicted[t, bodies] = predictions.position[matched]
        variance = np.diagonal(predictions.covariance[matched], axis1=1, axis2=2)[:, :3]
        self.std[t, bodies] = np.sqrt(variance)
        seen = Rotation.from_quat(observation.detections.orientation_xyzw[detection])
        expected = Rotation.from_quat(predictions.orientation_xyzw[matched])
        self.turn[t, bodies] = (seen * expected.inv()).magnitude()
        row = {int(i): n for n, i in enumerate(surprise.object_id)}
        rows = [row[int(i)] for i in predictions.object_id[matched]]
        self.nis[t, bodies] = surprise.nis[rows]
        self.excess[t, bodies] = surprise.excess_surprisal_nats[rows]
        self.log_e[t, bodies] = surprise.log_e_value[rows]
        self.alarmed[t, bodies] = np.isin(predictions.object_id[matched], record.alarmed)
        self.dof, self.threshold = int(surprise.nis_dof[rows[0]]), surprise.alarm_threshold_nats

    def note_objects(self, model: WorldModel, world: Recording, record: StepRecord) -> None:
        """Keep the latest belief of each matched body by the models that it was told of, and its kind."""
        bodies = world.detected_bodies()
        for object_id, detection in zip(record.association.object_id, record.association.detection, strict=True):
            if detection >= 0:
                body = int(bodies[detection])
                kind, parameters = _belief_of(model, int(object_id), self.cards)
                self.last[body] = (kind, parameters or self.last.get(body, ("", {}))[1])

    def tracks(self, clip: Clip) -> tuple[Track, ...]:
        """Return what was written, one track a body."""
        found = []
        for n, body in enumerate(clip.bodies):
            kind, parameters = self.last.get(n, ("", {}))
            found.append(
                Track(
                    body,
                    clip.time_s,
                    clip.position[:, n],
                    self.predicted[:, n],
                    self.std[:, n],
                    self.turn[:, n],
                    self.nis[:, n],
                    self.dof,
                    self.excess[:, n],
                    self.log_e[:, n],
                    self.threshold,
                    self.alarmed[:, n],
                    parameters,
                    kind,
                )
            )
        return tuple(found)


def _belief_of(model: WorldModel, object_id: int, cards: Sequence[ModelCard]) -> tuple[str, dict[str, ParameterBelief]]:
    """Return the kind of an object, and the beliefs of its parameters where one of `cards` runs it."""
    belief = model.belief
    slot = belief.slot_of(object_id)
    if slot is None:
        return "", {}
    kind = model.kind_of(object_id) or ""
    card = next((c for c in cards if c.kind == kind), None)
    if card is None:
        return kind, {}
    found = {}
    for column, prior in enumerate(card.parameters):
        mean = float(belief.parameters[slot, column])
        std = float(belief.parameter_covariance[slot, column, column].clamp_min(0.0).sqrt())
        ends = np.array([mean, mean - _NINETY * std, mean + _NINETY * std])
        median, low, high = np.exp(ends) if prior.transform == "log" else ends
        found[prior.name] = ParameterBelief(float(median), float(low), float(high))
    return kind, found
