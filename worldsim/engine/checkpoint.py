"""Saving and loading: everything a world model remembers in one safetensors file, written whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from worldsim.contracts.interaction import Interaction
from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.registry import Registry
from worldsim.dormancy.edges import DormantEdges
from worldsim.dormancy.store import BY_ROW, Dormant, Signature
from worldsim.engine import reports
from worldsim.engine.composites import CertainBonds, Composites
from worldsim.engine.settings import EgoInterface, LoopSettings, WorldModelSettings
from worldsim.engine.state import EngineState
from worldsim.errors import ConfigurationError, IntegrityError, PluginError, StorageError, UnknownNameError
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.graph.edges import EdgeTable
from worldsim.hypotheses.impact import ImpactTests
from worldsim.hypotheses.trial import Trial, TrialSettings
from worldsim.inference.ledger import Ledger
from worldsim.inference.sensor_model import SensorModel
from worldsim.plugins import load_plugin
from worldsim.types.belief import WorldBelief
from worldsim.types.card import Descriptor, Evidence, ModelCard, ParameterPrior, Shape
from worldsim.types.record import StepRecord
from worldsim.types.states import ObjectStates

FORMAT, _CHECKSUM = "worldsim-checkpoint-1", "sha256"
_EDGE_FIELDS = ("source", "target", "kind", "log_odds", "here")
_STATE_FIELDS = ("position", "orientation_xyzw", "linear_velocity", "angular_velocity", "extent_m")

_IMPACT_FIELDS = tuple(f.name for f in dataclasses.fields(ImpactTests) if f.name != "density")


def save(state: EngineState, record: StepRecord | None, path: Path) -> None:
    """Write `state` to `path`; see `worldsim.loop.WorldModel.save`."""
    tensors = {f"belief.{name}": value for name, value in state.belief.tensors().items()}
    tensors |= {f"ledger.{f.name}": _tensor(getattr(state.ledger, f.name)) for f in dataclasses.fields(Ledger)}
    tensors |= {f"edges.{f.name}": _tensor(getattr(state.edges, f.name)) for f in dataclasses.fields(EdgeTable)}
    if state.before is not None:
        tensors |= {f"before.{name}": getattr(state.before, name) for name in _STATE_FIELDS}
    for trial in state.trials.values():
        tensors |= _trial_tensors(trial)
    if state.impacts is not None:
        tensors |= _impact_tensors(state.impacts)
    tensors |= _composite_tensors(state)
    tensors |= _dormant_tensors(state)
    head = {
        "format": FORMAT,
        "time_s": state.belief.time_s,
        "settings": dataclasses.asdict(state.settings),
        "cards": [dataclasses.asdict(m.card) for m in state.library.models],
        "interactions": [i.kind for i in state.interactions],
        "seed": state.seed,
        "verdict_s": list(state.verdict_s.items()),
        "next_id": state.next_id,
        "own_id": state.own_id,
        "command": state.command.tolist(),
        "hold": state.hold,
        "frames": state.frames,
        "waiting": sorted(state.waiting.items()),
        "unasked": sorted(state.unasked),
        "started": record is not None,
        "round_at": state.dormant.round_at,
        "dormant_origin_s": state.dormant.origin_s,
        "attention_span": state.attention_span,
        "trials": [
            {
                "object_id": t.object_id,
                "opened_s": t.opened_s,
                "frames": t.frames,
                "borrowed": list(t.borrowed),
                "believed": t.believed,
            }
            for t in state.trials.values()
        ],
    }
    contiguous = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    # within the one entry: several are written in an order of chance, and the same state is to give the same bytes
    told = json.dumps(head | {_CHECKSUM: _digest(head, contiguous)})
    _write(path, to_bytes(contiguous, {"worldsim": told}))


def _digest(head: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of all that a checkpoint holds."""
    found = hashlib.sha256(json.dumps(head).encode())
    for name in sorted(tensors):
        values = tensors[name].cpu().numpy()
        found.update(f"{name} {values.dtype} {values.shape}".encode())
        found.update(values.tobytes())
    return found.hexdigest()


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # not of tempfile, whose files nobody else may read: a checkpoint is as open as what lies beside it
        name = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            with name.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            name.unlink(missing_ok=True)
            raise
    except OSError as refused:
        raise StorageError(
            f"cannot write the checkpoint {path}: {refused}. What was there before is untouched."
        ) from refused


def load(
    path: Path, registry: Registry | None, device: torch.device, interactions: Sequence[Interaction] | None = None
) -> tuple[EngineState, StepRecord | None]:
    """Read a state from `path`; see `worldsim.loop.WorldModel.load`."""
    try:
        with safe_open(str(path), framework="pt", device=str(device)) as file:
            head = json.loads((file.metadata() or {}).get("worldsim", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except OSError as broken:
        raise IntegrityError(f"there is no checkpoint that can be read at {path}: {broken}.") from broken
    except (SafetensorError, json.JSONDecodeError) as broken:
        raise IntegrityError(f"{path} is no readable checkpoint ({broken}); it may be truncated.") from broken
    if head.get("format") != FORMAT:
        raise IntegrityError(f"{path} has format {head.get('format')!r}, expected {FORMAT!r}.")
    written = head.pop(_CHECKSUM, None)  # files of before have none
    if written is not None and written != _digest(head, tensors):
        raise IntegrityError(f"{path} is damaged: its contents do not have the checksum that was written with them.")
    try:
        state = _restore(head, tensors, registry, device, _kinds(head["interactions"], interactions))
    except (KeyError, TypeError) as missing:
        raise IntegrityError(f"{path} lacks or misnames {missing}; it was not written by this version.") from missing
    return state, reports.first_record(state) if head["started"] else None


def _kinds(written: list[str], given: Sequence[Interaction] | None) -> tuple[Interaction, ...]:
    """Return the kinds of interaction that a file names: those `given`, else plug-ins made without arguments."""
    if given is None:
        try:
            return tuple(load_plugin("worldsim.interactions", kind, Interaction)() for kind in written)  # type: ignore[type-abstract]
        except (UnknownNameError, TypeError) as unknown:
            raise ConfigurationError(
                f"the checkpoint was written with the interactions {written}, of which one cannot be made by its name "
                f"({unknown}). Give the ones that it ran with as `interactions`, in this order."
            ) from unknown
    if [kind.kind for kind in given] != written:
        raise ConfigurationError(
            f"the checkpoint was written with the interactions {written}, in this order; got {[k.kind for k in given]}."
        )
    return tuple(given)


def _restore(
    head: dict[str, Any],
    tensors: dict[str, torch.Tensor],
    registry: Registry | None,
    device: torch.device,
    kinds: tuple[Interaction, ...],
) -> EngineState:
    dtype = tensors["belief.position"].dtype
    models = [_model(card) for card in head["cards"]]
    library = LoadedModels.of(models, device, dtype)
    belief_fields = {k.removeprefix("belief."): v for k, v in tensors.items() if k.startswith("belief.")}
    # before they were float64 throughout, times were kept in the precision of the rest
    belief_fields |= {name: belief_fields[name].double() for name in ("last_seen_s", "birth_s")}
    belief = WorldBelief(time_s=head["time_s"], model_ids=library.model_ids, **belief_fields)
    ledger = Ledger(**{f.name: tensors[f"ledger.{f.name}"].cpu().numpy() for f in dataclasses.fields(Ledger)})
    edges = EdgeTable(**{f.name: tensors[f"edges.{f.name}"].cpu().numpy() for f in dataclasses.fields(EdgeTable)})
    before = None
    if "before.position" in tensors:
        before = ObjectStates(**{name: tensors[f"before.{name}"] for name in _STATE_FIELDS})
    return EngineState(
        _settings(head["settings"]),
        registry,
        kinds,
        device,
        dtype,
        library,
        belief,
        ledger,
        edges,
        head["seed"],
        {t["object_id"]: _trial(t, tensors) for t in head["trials"]},
        {int(i): float(t) for i, t in head["verdict_s"]},
        head["next_id"],
        head["own_id"],
        np.array(head["command"]),
        head["hold"],
        before,
        head["frames"],
        {int(i): str(believed) for i, believed in head["waiting"]},
        unasked=set(head.get("unasked", ())),
        dormant=_dormant(head, tensors),
        dormant_edges=_dormant_edges(tensors),
        attention_span=head["attention_span"],
        impacts=_impacts(tensors),
        composites=_composites(tensors),
        bonds=CertainBonds(*(tensors[f"bonds.{name}"].cpu().numpy() for name in ("key", "frames")))
        if "bonds.key" in tensors
        else CertainBonds.none(),
    )


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(array))


def _trial_tensors(trial: Trial) -> dict[str, torch.Tensor]:
    prefix = f"trial.{trial.object_id}."
    found = {
        "model_index": _tensor(trial.model_index),
        "log_weight": _tensor(trial.log_weight),
        "parameters": trial.density.parameters,
        "covariance": trial.density.covariance,
    }
    found |= {name: getattr(trial.density.states, name) for name in _STATE_FIELDS}
    return {prefix + name: value for name, value in found.items()}


def _trial(head: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Trial:
    def part(name: str) -> torch.Tensor:
        return tensors[f"trial.{head['object_id']}.{name}"]

    states = ObjectStates(**{name: part(name) for name in _STATE_FIELDS})
    return Trial(
        head["object_id"],
        head["opened_s"],
        part("model_index").cpu().numpy(),
        Density(states, part("parameters"), part("covariance")),
        part("log_weight").cpu().numpy(),
        head["frames"],
        tuple(head["borrowed"]),
        head["believed"],
    )


def _impact_tensors(tests: ImpactTests) -> dict[str, torch.Tensor]:
    found = {name: _tensor(getattr(tests, name)) for name in _IMPACT_FIELDS}
    found |= {"parameters": tests.density.parameters, "covariance": tests.density.covariance}
    found |= {name: getattr(tests.density.states, name) for name in _STATE_FIELDS}
    return {f"impacts.{name}": value for name, value in found.items()}


def _impacts(tensors: dict[str, torch.Tensor]) -> ImpactTests | None:
    if "impacts.pair" not in tensors:
        return None
    part = {k.removeprefix("impacts."): v for k, v in tensors.items() if k.startswith("impacts.")}
    states = ObjectStates(**{name: part[name] for name in _STATE_FIELDS})
    fields = {name: part[name].cpu().numpy() for name in _IMPACT_FIELDS}
    return ImpactTests(**fields, density=Density(states, part["parameters"], part["covariance"]))


def _composite_tensors(state: EngineState) -> dict[str, torch.Tensor]:
    """Return what is welded, and what may be soon; nothing where nothing is."""
    found = {f"bonds.{name}": _tensor(getattr(state.bonds, name)) for name in ("key", "frames") if len(state.bonds.key)}
    held = state.composites
    if held is None:
        return found
    found |= {f"composites.{name}": _tensor(getattr(held, name)) for name in ("member", "group")}
    found |= {f"composites.{name}": getattr(held, name) for name in ("noise_scale", "joint", "log_broken", "suspect")}
    found |= {f"composites.{name}": getattr(held.alone, name) for name in ("parameters", "covariance")}
    return found | {f"composites.{name}": getattr(held.alone.states, name) for name in _STATE_FIELDS}


def _composites(tensors: dict[str, torch.Tensor]) -> Composites | None:
    if "composites.member" not in tensors:
        return None
    part = {k.removeprefix("composites."): v for k, v in tensors.items() if k.startswith("composites.")}
    states = ObjectStates(**{name: part[name] for name in _STATE_FIELDS})
    alone = Density(states, part["parameters"], part["covariance"])
    member, group = (part[name].cpu().numpy() for name in ("member", "group"))
    return Composites(member, group, alone, part["noise_scale"], part["joint"], part["log_broken"], part["suspect"])


def _dormant_tensors(state: EngineState) -> dict[str, torch.Tensor]:
    """Return the store of sleepers by the names that it has in a file; nothing where nobody sleeps deeply."""
    store, edges = state.dormant, state.dormant_edges
    if store.signature is None:
        return {}
    used = slice(0, store.rows)
    found = {f"dormant.column.{name}": values[used] for name, values in store.columns.items()}
    found["dormant.signature"] = store.signature.packed[used]
    found |= {f"dormant.{name}": getattr(store, name)[used] for name in BY_ROW}
    found |= {f"dormant_edges.{name}": getattr(edges, name)[: edges.rows] for name in _EDGE_FIELDS}
    return {name: _tensor(values) for name, values in found.items()}


def _dormant(head: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Dormant:
    if "dormant.here" not in tensors:
        return Dormant()

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(prefix): v.cpu().numpy() for k, v in tensors.items() if k.startswith(prefix)}

    store = Dormant(
        columns=part("dormant.column."),
        signature=Signature(tensors["dormant.signature"].cpu().numpy()),
        round_at=head["round_at"],
        origin_s=head.get("dormant_origin_s", 0.0),
    )
    for name in BY_ROW:
        setattr(store, name, tensors[f"dormant.{name}"].cpu().numpy())
    store.file_all()
    return store


def _dormant_edges(tensors: dict[str, torch.Tensor]) -> DormantEdges:
    if "dormant_edges.here" not in tensors:
        return DormantEdges()
    edges = DormantEdges()
    for name in _EDGE_FIELDS:
        setattr(edges, name, tensors[f"dormant_edges.{name}"].cpu().numpy())
    edges.file_all()
    return edges


def _settings(head: dict[str, Any]) -> WorldModelSettings:
    return WorldModelSettings(
        LoopSettings(**head["loop"]),
        TrialSettings(**head["trial"]),
        SensorModel(**head["sensor"]),
        EgoInterface(**head["ego"]),
    )


def _model(head: dict[str, Any]) -> ObjectModel:
    shape, descriptor = head["shape"], head["descriptor"]
    look, spread = descriptor["appearance"], descriptor["appearance_std"]
    card = ModelCard(
        **head
        | {
            "parameters": tuple(ParameterPrior(**p) for p in head["parameters"]),
            "shape": Shape(shape["kind"], tuple(shape["extent_m"]), tuple(shape["extent_std_m"])),
            "descriptor": Descriptor(
                None if look is None else tuple(look),
                None if spread is None else tuple(spread),
                descriptor["motion"],
            ),
            "tags": tuple(head["tags"]),
            "parents": tuple(head["parents"]),
            "evidence": Evidence(**head["evidence"]),
        }
    )
    try:
        found = load_plugin("worldsim.object_models", card.family, ObjectModel)  # type: ignore[type-abstract]
    except UnknownNameError as unknown:
        raise PluginError(
            f"the checkpoint holds the model {card.model_id!r}, whose class is not installed here: {unknown} "
            "Install the package whose entry point in worldsim.object_models has that name."
        ) from unknown
    return found(card)
