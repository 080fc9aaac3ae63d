"""Everything that a world model remembers between two steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.contracts.interaction import Interaction
from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.registry import Registry
from worldsim.dormancy.edges import DormantEdges
from worldsim.dormancy.store import Dormant
from worldsim.engine.composites import CertainBonds, Composites
from worldsim.engine.enquiries import Enquiries
from worldsim.engine.settings import WorldModelSettings
from worldsim.filtering.library import LoadedModels
from worldsim.graph.edges import EdgeTable
from worldsim.hypotheses.impact import ImpactTests
from worldsim.hypotheses.trial import Trial
from worldsim.inference import slots as slot_table
from worldsim.inference.ledger import Ledger
from worldsim.types.belief import WorldBelief
from worldsim.types.membership import among
from worldsim.types.record import Event, EventKind
from worldsim.types.states import ObjectStates
from worldsim.types.transfer import fetched, sent

GENERIC_MODEL = "generic/unknown"
STARTER_TAG = "starter"
"""Cards with this tag are what a new world model loads."""
_MODEL_COLUMN = "belief.model_index"  # of the store of sleepers
_PASSIVE = ("static", "rigid_body", "hinge")


@dataclass(slots=True)
class EngineState:
    """The state that the stages work on. Values inside are frozen; stages bind new ones.

    Attributes:
        settings: how the model is set.
        registry: where other models are, None for a model that can ask nobody.
        interactions: the kinds of edges, in the order of the edge table's `kind`.
        device, dtype: of the belief.
        library: loaded models.
        belief: what is believed.
        ledger: counters by slot.
        edges: the interaction graph's posterior.
        trials: open trials by object id.
        verdict_s: when each object was last decided on, by object id.
        next_id: next free object id.
        own_id: id of the own body, None for a passive observer.
        command: [U] the own body's last command (m/s, rad/s).
        hold: the last command to hold (> 0) or release (< 0).
        before: states at the end of the previous step.
        frames: steps made since reset.
        seed: of every sample that the model draws.
        waiting: object ids whose query the registry has not answered yet, and the id of the model each was believed
            to be; meanwhile they run on the broad model.
        unasked: those of them whose query was not sent, as others came first.
        asked: how many queries were sent in the step under way.
        events: of the step under way.
        enquiries: questions to a registry that is far away; None where the registry is asked within the step.
        dormant: what lies in deep sleep, of which the belief has no rows.
        dormant_edges: edges with an end there.
        attention_span: how many objects a step can attend to in its time, None before the first was timed.
        impacts: the impacts under test, None where nobody may meet anybody.
        lawless: ids of those for whom the law of impact was found not to hold in the step under way.
        composites: what is welded together, None where nothing is; bonds: what may be soon.
        deferred: [C] whom the step under way leaves for later.
        mirrors: fields of the belief that were read on the host, and the tensors that they were read from.
    """

    settings: WorldModelSettings
    registry: Registry | None
    interactions: tuple[Interaction, ...]
    device: torch.device
    dtype: torch.dtype
    library: LoadedModels
    belief: WorldBelief
    ledger: Ledger
    edges: EdgeTable
    seed: int
    trials: dict[int, Trial] = field(default_factory=dict)
    verdict_s: dict[int, float] = field(default_factory=dict)
    next_id: int = 0
    own_id: int | None = None
    command: Float[np.ndarray, " U"] = field(default_factory=lambda: np.zeros(2))
    hold: float = 0.0
    before: ObjectStates | None = None
    frames: int = 0
    waiting: dict[int, str] = field(default_factory=dict)
    unasked: set[int] = field(default_factory=set)
    asked: int = 0
    events: list[Event] = field(default_factory=list)
    enquiries: Enquiries | None = None
    dormant: Dormant = field(default_factory=Dormant)
    dormant_edges: DormantEdges = field(default_factory=DormantEdges)
    attention_span: int | None = None
    impacts: ImpactTests | None = None
    lawless: frozenset[int] = frozenset()
    composites: Composites | None = None
    bonds: CertainBonds = field(default_factory=CertainBonds.none)
    deferred: Bool[np.ndarray, " C"] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    mirrors: dict[str, tuple[Tensor, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Ask a registry that is far away in the background."""
        if self.registry is not None and self.registry.remote and self.enquiries is None:
            self.enquiries = Enquiries(self.registry)

    def clear(self, time_s: float) -> None:
        """Forget every object; models, settings and what the registry holds stay."""
        capacity = self.settings.loop.capacity
        belief = slot_table.empty_belief(capacity, self.device, self.dtype)
        self.belief = _at(belief, time_s, self.library)
        self.ledger = Ledger.empty(capacity)
        self.edges = EdgeTable.empty()
        borrowed = [name for trial in self.trials.values() for name in trial.borrowed]
        self.trials, self.verdict_s, self.waiting, self.events = {}, {}, {}, []
        self.unasked = set()
        self.impacts, self.lawless = None, frozenset()
        self.own_id, self.before = None, None
        self.composites, self.bonds = None, CertainBonds.none()
        self.deferred, self.attention_span = np.zeros(capacity, dtype=bool), None
        self.dormant, self.dormant_edges = Dormant(), DormantEdges()
        self.command, self.hold = np.zeros(2), 0.0
        self.frames = self.next_id = 0
        if self.enquiries is not None:
            self.enquiries.forget()
        self.unload(borrowed)

    def tell(self, kind: EventKind, object_id: int = -1, /, **detail: object) -> None:
        """Note an event of the step under way."""
        self.events.append(Event(kind, self.belief.time_s, object_id, detail))

    def index(self, rows: Int[np.ndarray, " n"]) -> Int[Tensor, " n"]:
        """Return row numbers as an index tensor on the model's device."""
        return self.indices(rows)[0]

    def indices(self, *rows: Int[np.ndarray, "..."]) -> tuple[Int[Tensor, "..."], ...]:
        """Return several sets of row numbers as index tensors, in one transfer."""
        return sent(self.device, torch.int64, *(np.asarray(r, dtype=np.int64) for r in rows))

    def on_host(self, *names: str) -> tuple[np.ndarray, ...]:
        """Return fields of the belief on the host, to be read: each is fetched once for each value that it takes."""
        belief, mirrors = self.belief, self.mirrors
        stale = [name for name in names if name not in mirrors or mirrors[name][0] is not getattr(belief, name)]
        if stale:
            now: list[Tensor] = [getattr(belief, name) for name in stale]
            mirrors.update(zip(stale, zip(now, fetched(*now), strict=True), strict=True))
        return tuple([mirrors[name][1] for name in names])

    @property
    def alive(self) -> Bool[np.ndarray, " C"]:
        """Slots in use, on the host."""
        return self.on_host("alive")[0]

    @property
    def awake(self) -> Bool[np.ndarray, " C"]:
        """Slots in use and awake, on the host."""
        alive, awake = self.on_host("alive", "awake")
        return np.asarray(alive & awake)

    @property
    def ids(self) -> Int[np.ndarray, " C"]:
        """Object ids by slot, on the host."""
        return self.on_host("object_id")[0]

    @property
    def model_index(self) -> Int[np.ndarray, " C"]:
        """Model of each slot, on the host."""
        return self.on_host("model_index")[0]

    def holding(self, ids: Collection[int]) -> Bool[np.ndarray, " C"]:
        """Return which slots hold one of these objects."""
        return among(self.ids, ids)

    @property
    def own_slot(self) -> int | None:
        """Slot of the own body."""
        if self.own_id is None:
            return None
        ids, alive = self.on_host("object_id", "alive")
        hits = np.flatnonzero((ids == self.own_id) & alive)
        return int(hits[0]) if len(hits) else None

    @property
    def broad(self) -> Bool[np.ndarray, " L"]:
        """Which loaded models are the broad one that fits anything."""
        return np.array([m.card.model_id == GENERIC_MODEL for m in self.library.models], dtype=bool)

    @property
    def passive(self) -> Bool[np.ndarray, " L"]:
        """Which loaded models never move of themselves: they fall asleep at rest."""
        still = np.array([m.family in _PASSIVE for m in self.library.models], dtype=bool)
        return still | self.broad if self.knows_nothing else still

    @property
    def knows_nothing(self) -> bool:
        """Only the broad model and the own body's are loaded: a plain tracker, which recognises nobody."""
        own = np.array([kind == self.settings.ego.kind for kind in self.library.kinds], dtype=bool)
        return bool((self.broad | own).all())

    @property
    def generic(self) -> int:
        """Library index of the broad model."""
        return self.library.index_of(GENERIC_MODEL)

    def load(self, models: Iterable[ObjectModel]) -> None:
        """Add models to the loaded ones; indices of the others stay."""
        self.library = LoadedModels.of((*self.library.models, *models), self.device, self.dtype)
        self.belief = _at(self.belief, self.belief.time_s, self.library)

    def unload(self, model_ids: Iterable[str]) -> None:
        """Drop models that no object and no trial uses, and renumber the rest."""
        used = {self.library.model_ids[m] for m in self.model_index[self.alive]}
        asleep = self.dormant.columns.get(_MODEL_COLUMN, np.zeros(0, dtype=np.int64))
        used |= {self.library.model_ids[m] for m in np.unique(asleep[self.dormant.present()])}
        for trial in self.trials.values():
            used |= {self.library.model_ids[m] for m in trial.model_index}
        gone = set(model_ids) - used
        if not gone:
            return
        kept = [i for i, name in enumerate(self.library.model_ids) if name not in gone]
        renumber = np.zeros(len(self.library), dtype=np.int64)
        renumber[kept] = np.arange(len(kept))
        self.library = LoadedModels.of([self.library.models[i] for i in kept], self.device, self.dtype)
        belief = slot_table.put(
            self.belief,
            self.index(np.arange(self.belief.capacity)),
            model_index=self.index(renumber[self.model_index]),
        )
        self.belief = _at(belief, belief.time_s, self.library)
        if len(asleep):
            self.dormant.columns[_MODEL_COLUMN] = renumber[asleep]
        self.trials = {i: t.renumbered(renumber) for i, t in self.trials.items()}


def _at(belief: WorldBelief, time_s: float, library: LoadedModels) -> WorldBelief:
    return dataclasses.replace(belief, time_s=time_s, model_ids=library.model_ids)
