"""The line: observe, predict, associate, surprise, correct, graph, hypotheses. One step, readable in one screen."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from worldsim.contracts.interaction import Interaction
from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.registry import Registry
from worldsim.engine import (
    attention,
    checkpoint,
    composites,
    correction,
    doubt,
    foresight,
    impacts,
    population,
    relations,
    reports,
    rewind,
    slumber,
    surprisal,
    tracking,
    welding,
)
from worldsim.engine.settings import WorldModelSettings
from worldsim.engine.start import initial_state, opened, starter_models
from worldsim.engine.state import EngineState
from worldsim.errors import ConfigurationError, ObservationError
from worldsim.inference.observe import Frame, admit, read
from worldsim.planning.planar import goal_cost
from worldsim.types.belief import WorldBelief
from worldsim.types.graph import InteractionGraph
from worldsim.types.observation import Observation
from worldsim.types.planning import Forecast, Rollout
from worldsim.types.query import Query
from worldsim.types.record import EventKind, StepRecord
from worldsim.types.transfer import usable_device

__all__ = ["WorldModel"]


class WorldModel:
    """A belief about every thing in view, kept by one Bayes filter and corrected on every step.

    Example:
        >>> import worldsim
        >>> wm = worldsim.WorldModel(registry=worldsim.open_registry("builtin"), device="cpu")
        >>> len(wm.loaded_models) > 5
        True
    """

    def __init__(
        self,
        registry: Registry | None = None,
        device: str | torch.device = "cpu",
        *,
        models: Sequence[str | ObjectModel] | None = None,
        settings: WorldModelSettings | None = None,
        interactions: Sequence[Interaction] | None = None,
        surprise: bool = True,
        tracker: Literal["world_model", "constant_velocity"] = "world_model",
        seed: int = 0,
    ) -> None:
        """Load a few models; everything else stays in the registry until something surprising needs it.

        Args:
            registry: whom to ask, None to ask nobody (then `models` must hold the models themselves, the broad one,
                `generic/unknown`, among them).
            device: where the belief lives.
            models: ids in the registry, or models, to start with; by default those tagged ``starter``.
            settings: limits and rates, see `WorldModelSettings`.
            interactions: kinds of edges; by default every installed plug-in.
            surprise: False never alarms and never asks (an ablation).
            tracker: ``constant_velocity`` runs everything by a constant-velocity model (a baseline).
            seed: of everything that the model draws (forecasts).

        Raises:
            ConfigurationError: there are no models to start with, one is neither a model nor an id, the registry is an
                address, the settings leave no room for anything, or torch has no such device here.
            UnknownNameError, ModelNotFoundError: a model id is not in the registry.
        """
        if registry is None and models is None:
            raise ConfigurationError(
                "WorldModel: neither registry nor models given. Pass registry=worldsim.open_registry('builtin'), "
                "or models=[...] with ObjectModel instances."
            )
        settings = settings or WorldModelSettings()
        loaded = starter_models(opened(registry), models, tracker)
        self._state = initial_state(registry, loaded, settings, interactions, usable_device(device), surprise, seed)
        self._record: StepRecord | None = None
        self._whole: EngineState | None = None
        self._rewind = _rewinding(settings)

    @torch.inference_mode()
    def reset(self, observation: Observation | Mapping[str, np.ndarray]) -> StepRecord:
        """Forget every object and start anew from one observation. What was learned of models stays.

        Raises:
            ObservationError: the observation breaks its contract; the belief stays as it was.
        """
        observation = _admitted(observation, None)
        frame = read(observation, self._state.device, self._state.dtype)
        self._whole, self._rewind = None, _rewinding(self._state.settings)
        self._state.clear(frame.time_s)
        _refuse(self._state, frame)
        population.start_own_body(self._state, frame)
        population.start_objects(self._state, frame, np.arange(len(frame.detections)))
        self._state.before = self._state.belief.states
        self._record = reports.first_record(self._state)
        return self._record

    @torch.inference_mode()
    def step(
        self, observation: Observation | Mapping[str, np.ndarray], action: Float[np.ndarray, " U"] | None = None
    ) -> StepRecord:
        """Predict, observe, correct: one turn of the loop.

        Args:
            observation: the new frame, later than the last one (one of the same instant teaches nothing, and
                returns the last record again).
            action: what the own body was told between the two frames, each component in [-1, 1], beyond which it is
                cut off.

        Raises:
            ObservationError: the observation breaks its contract; the belief stays as it was.
            ConfigurationError: the model was never reset.
        """
        state = self._state
        if self._record is None:
            raise ConfigurationError("WorldModel.step was called before reset(observation).")
        observation = _admitted(observation, state.belief.time_s)
        if observation.time_s == state.belief.time_s:
            return self._record
        if self._rewind is None:
            return self._advance(state, observation, action)
        before, observation = rewind.copied(state), copy.deepcopy(observation)
        record = self._advance(state, observation, action)
        given = observation, None if action is None else np.array(action)
        self._state, self._record = self._rewind.after(before, state, given, record, self._advance)
        self._whole = None
        return self._record

    def _advance(
        self, state: EngineState, observation: Observation, action: Float[np.ndarray, " U"] | None
    ) -> StepRecord:
        """Make one step on `state`, in place."""
        state.events, self._whole, started_s = [], None, time.perf_counter()
        reports.note_action(state, action)
        frame = read(observation, state.device, state.dtype, slumber.sift(state, observation))
        attention.attend(state, frame)
        predicted = tracking.predict_all(state, frame.time_s)
        matched = tracking.match(state, predicted, frame)
        surprised = surprisal.surprise(state, predicted, matched, frame)
        last_seen_s = state.belief.last_seen_s
        gained = correction.correct_all(state, predicted, matched, surprised, frame)
        composites.correct_together(state, predicted.bound, matched, frame)
        _refuse(state, frame)
        shares = surprisal.excess_by_channel(predicted, matched, surprised)
        surprisal.accumulate_surprise(state, matched, surprised, shares)
        population.update_existence(state, matched, surprised)
        population.watch(state, matched, predicted.dt_s, last_seen_s)
        doubt.weigh_trials(state, predicted, matched, frame)
        impacts.weigh(state, matched.detection, frame)
        draft = reports.draft(state, predicted, matched, surprised, gained, frame)
        population.bury(state)
        population.start_own_body(state, frame)
        population.start_objects(state, frame, matched.unassigned)
        population.settle(state)
        with composites.apart(state):
            relations.infer_graph(state, predicted.dt_s)
        doubt.decide(state, frame.time_s)
        population.fall_asleep(state)
        welding.review(state)
        slumber.put_away(state, matched, frame)
        state.before = composites.single_states(state)
        state.frames += 1
        self._record = reports.finish(state, draft)
        attention.pace(state, started_s)
        return self._record

    @torch.inference_mode()
    def forecast(self, horizon_s: float, dt_s: float, object_ids: Sequence[int] | None = None) -> Forecast:
        """Return where everything but the own body is expected to be, the own body going on as it was told last.

        Movers are sampled from the belief (from the mixture of hypotheses while one is under test), fixtures stay.

        Args:
            horizon_s: how far ahead, s. A few seconds tell something of what only the broad model explains: its laws
                need not be stable, and farther ahead the samples run away.
            dt_s: spacing, s. Motion is followed in steps of 0.2 s, or of this where it is more: coarsely then.
            object_ids: only these objects; all where None.

        Raises:
            ConfigurationError: horizon or spacing is not above 0.
        """
        if not (0.0 < horizon_s < math.inf and 0.0 < dt_s < math.inf):
            raise ConfigurationError(
                f"forecast: horizon_s {horizon_s} and dt_s {dt_s}, expected two finite numbers of seconds above 0."
            )
        only = None if object_ids is None else tuple(int(i) for i in object_ids)
        return foresight.forecast(self._everything(), horizon_s, dt_s, only)

    @torch.inference_mode()
    def imagine(
        self,
        actions: Float[np.ndarray, "T U"],
        horizon: int | None = None,
        samples: int = 16,
        dt_s: float = 0.1,
    ) -> Rollout:
        """Return sampled futures of every mover while the own body executes `actions`. Asks nothing of a simulator.

        Args:
            actions: [T, U] in [-1, 1], one a step, what is beyond is cut off as in `step`; the last one is held where
                `horizon` is longer.
            horizon: number of steps, by default T.
            samples: S.
            dt_s: length of a step, s.

        Raises:
            ConfigurationError: `actions` has the wrong shape, the step is not above 0, or nothing is asked for.
        """
        if not 0.0 < dt_s < math.inf:
            raise ConfigurationError(f"imagine: dt_s is {dt_s}, expected a finite number of seconds above 0.")
        actions = np.atleast_2d(np.asarray(actions, dtype=np.float64))
        steps = len(actions) if horizon is None else horizon
        if actions.ndim != 2 or actions.shape[1] < 2 or steps < 1 or samples < 1 or not np.isfinite(actions).all():
            raise ConfigurationError(
                f"imagine: actions has shape {actions.shape}, horizon {steps}, samples {samples}; expected finite "
                "actions [T, U] with U >= 2, horizon >= 1 and samples >= 1."
            )
        held = np.concatenate([actions, np.repeat(actions[-1:], max(steps - len(actions), 0), axis=0)])[:steps]
        return foresight.imagine(self._everything(), held.clip(-1.0, 1.0), samples, dt_s)

    def get_cost(
        self, info_dict: Mapping[str, Any], action_candidates: Float[torch.Tensor, "1 S T U"], dt_s: float = 0.2
    ) -> Float[torch.Tensor, "1 S"]:
        """Price candidate action sequences: the shape that solvers of other packages plan with.

        Args:
            info_dict: the task's numbers, see `worldsim.planning.planar.goal_cost`.
            action_candidates: [1, S, T, U] in [-1, 1]; a world model believes in one world.
            dt_s: length of a step, s.

        Raises:
            ConfigurationError: there is no goal in `info_dict`, or own body or object are not in the belief.
        """
        return goal_cost(self, info_dict, action_candidates, dt_s)

    @property
    def belief(self) -> WorldBelief:
        """What is believed now. The value never changes; a step makes a new one.

        It holds what lies in deep sleep too, so that reading it costs what there is, once a step.
        """
        return self._everything().belief

    @property
    def graph(self) -> InteractionGraph:
        """The interaction graph now, of everything that there is."""
        return relations.graph_of(self._everything())

    @property
    def composites(self) -> list[welding.CompositeBody]:
        """What is believed to be one rigid body of several things (`LoopSettings.composites`)."""
        return welding.composite_bodies(self._state)

    @property
    def own_id(self) -> int | None:
        """Object id of the own body, None for a passive observer."""
        return self._state.own_id

    @property
    def loaded_models(self) -> tuple[str, ...]:
        """Ids of the models loaded now."""
        return self._state.library.model_ids

    @property
    def settings(self) -> WorldModelSettings:
        """How the model is set."""
        return self._state.settings

    def kind_of(self, object_id: int) -> str | None:
        """Return the kind that an object is believed to be, None where no such object is alive."""
        slot = self.belief.slot_of(object_id)
        return None if slot is None else self._state.library.kinds[int(self.belief.model_index[slot])]

    def query(self, object_id: int) -> Query | None:
        """Return what a registry would be asked about an object now, None where no such object is alive."""
        slot = self.belief.slot_of(object_id)
        return None if slot is None else doubt.query_about(self._everything(), slot)

    def save(self, path: str | Path) -> None:
        """Write everything that the model remembers to one file (safetensors; data, never code), whole or not at all.

        Raises:
            StorageError: the disk refused; a file that was there is as it was.
        """
        checkpoint.save(self._state, self._record, Path(path))

    @classmethod
    def load(
        cls,
        path: str | Path,
        registry: Registry | None = None,
        device: str | torch.device = "cpu",
        interactions: Sequence[Interaction] | None = None,
    ) -> WorldModel:
        """Return a model that continues bit for bit where `save` left off.

        With ``rollback_frames`` it does so but for one thing: the frames before `save` are not in the file, so that
        nothing is done again from before it. Nor is the last record in the file: a step of the same instant returns one
        of the belief alone.

        Args:
            path: of the file.
            registry: whom to ask from now on (a registry is a connection, so it is not in the file).
            device: where the belief shall live.
            interactions: the kinds that the model was made with, where they are no plug-ins or were made with arguments
                (a kind is code, so its name alone is in the file).

        Raises:
            IntegrityError: there is no such file, or it is truncated or no checkpoint.
            ConfigurationError: `interactions` are not those of the file, or are needed and not given; the registry is
                an address; or torch has no such device here.
            PluginError: the class of a loaded model is not installed here (an entry point names it, docs/plugins.md).
            CardError: it is, but takes other parameters.
        """
        model = cls.__new__(cls)
        device = usable_device(device)
        model._state, model._record = checkpoint.load(Path(path), opened(registry), device, interactions)
        model._whole = None
        model._rewind = _rewinding(model._state.settings)
        return model

    def _everything(self) -> EngineState:
        """Return the state with what lies in deep sleep; put together once a step, and only where it is asked for."""
        if self._whole is None:
            self._whole = slumber.whole(self._state)
        return self._whole


def _refuse(state: EngineState, frame: Frame) -> None:
    if frame.faults or frame.ego_rejected:
        state.tell(EventKind.REJECTED_INPUT, detections=frame.rejected, ego=frame.ego_rejected, faults=frame.faults)


def _rewinding(settings: WorldModelSettings) -> rewind.Rewind | None:
    frames = settings.loop.rollback_frames
    return rewind.Rewind(frames) if frames > 0 else None


def _admitted(observation: Observation | Mapping[str, np.ndarray], after_s: float | None) -> Observation:
    if not isinstance(observation, Observation | Mapping):
        raise ObservationError(
            f"observation is of type {type(observation).__name__}, expected a worldsim.types.Observation, or the "
            "mapping that an environment gives with observation='detections'."
        )
    if not isinstance(observation, Observation):
        observation = Observation.from_gym(observation)
    admit(observation, after_s)
    return observation
