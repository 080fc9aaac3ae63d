"""How a world model starts: which models it loads, and its first state."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch

from worldsim.contracts.interaction import Interaction
from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.registry import Registry
from worldsim.engine.settings import WorldModelSettings
from worldsim.engine.state import GENERIC_MODEL, STARTER_TAG, EngineState
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.filtering.library import LoadedModels
from worldsim.graph.edges import EdgeTable
from worldsim.inference import slots as slot_table
from worldsim.inference.ledger import Ledger
from worldsim.plugins import load_plugin, plugin_names
from worldsim.types.card import ParameterPrior

_PRECISIONS = {"float64": torch.float64, "float32": torch.float32}


def opened(registry: Registry | None) -> Registry | None:
    """Return the registry, which has to be an open one.

    Raises:
        ConfigurationError: it is an address.
    """
    if isinstance(registry, str):
        raise ConfigurationError(
            f"WorldModel: registry is {registry!r}, expected an open one: worldsim.open_registry({registry!r})."
        )
    return registry


def starter_models(
    registry: Registry | None,
    wanted: Sequence[str | ObjectModel] | None,
    tracker: Literal["world_model", "constant_velocity"],
) -> list[ObjectModel]:
    """Return the models to load first; the broad model is always among them.

    Raises:
        ConfigurationError: there is nothing to load, or no broad model, or what is given is neither model nor id.
        ModelNotFoundError: an id is not in the registry.
    """
    if tracker not in ("world_model", "constant_velocity"):
        raise ConfigurationError(f"tracker is {tracker!r}, expected 'world_model' or 'constant_velocity'.")
    if wanted is None:
        assert registry is not None
        wanted = [card.model_id for card in registry.cards(tag=STARTER_TAG)]
    if isinstance(wanted, str):
        raise ConfigurationError(
            f"models is {wanted!r}, expected a list of ids or ObjectModel instances: [{wanted!r}]."
        )
    loaded = [_model(registry, item) for item in wanted]
    if GENERIC_MODEL not in [m.card.model_id for m in loaded]:
        loaded.append(_model(registry, GENERIC_MODEL))
    if tracker == "constant_velocity":
        broad = next(m for m in loaded if m.card.model_id == GENERIC_MODEL)
        own = [m for m in loaded if m.card.kind == "robot"]
        return [*own, _constant_velocity(broad)]
    return loaded


def _model(registry: Registry | None, item: str | ObjectModel) -> ObjectModel:
    if isinstance(item, ObjectModel):
        return item
    if not isinstance(item, str):
        raise ConfigurationError(
            f"models holds {item!r}, expected an id in the registry or an ObjectModel instance: a class bound to its "
            "card, such as Balloon(card)."
        )
    if registry is None:
        raise ConfigurationError(
            f"model {item!r} is needed, but there is no registry to fetch it from. Pass "
            "registry=worldsim.open_registry('builtin'), or the model itself in models."
        )
    return registry.fetch(item)


def _constant_velocity(broad: ObjectModel) -> ObjectModel:
    """Return the broad model with every coefficient fixed at zero: straight on, with white acceleration noise."""

    def fixed(prior: ParameterPrior) -> ParameterPrior:
        if prior.transform == "log":
            return dataclasses.replace(prior, std=0.0)
        return dataclasses.replace(prior, mean=0.0, std=0.0)

    card = broad.card.replace(parameters=tuple(fixed(p) for p in broad.card.parameters))
    return type(broad)(card)


def initial_state(
    registry: Registry | None,
    models: Sequence[ObjectModel],
    settings: WorldModelSettings,
    interactions: Sequence[Interaction] | None,
    device: torch.device,
    surprise: bool,
    seed: int,
) -> EngineState:
    """Return the state of a model that has seen nothing yet.

    Raises:
        UnknownNameError: the settings ask for a precision that there is not.
        ConfigurationError: the settings leave no room for anything, or ask for too few samples of a forecast.
    """
    if settings.loop.capacity < 1:
        raise ConfigurationError(
            f"LoopSettings: capacity is {settings.loop.capacity}, expected 1 or more slots to start."
        )
    if settings.loop.future_samples < 2:
        raise ConfigurationError(
            f"LoopSettings: future_samples is {settings.loop.future_samples}, expected 2 or more: one has no spread."
        )
    if settings.loop.precision not in _PRECISIONS:
        raise UnknownNameError("precision", settings.loop.precision, tuple(_PRECISIONS))
    dtype = _PRECISIONS[settings.loop.precision]
    if interactions is None:
        interactions = installed_interactions()
    if not surprise:
        settings = dataclasses.replace(settings, loop=dataclasses.replace(settings.loop, surprise=False))
    library = LoadedModels.of(models, device, dtype)
    capacity = settings.loop.capacity
    state = EngineState(
        settings,
        registry,
        tuple(interactions),
        device,
        dtype,
        library,
        slot_table.empty_belief(capacity, device, dtype),
        Ledger.empty(capacity),
        EdgeTable.empty(),
        seed,
    )
    state.clear(0.0)
    return state


def installed_interactions() -> list[Interaction]:
    """Return one instance of every installed kind of interaction that is inferred from states, by name."""
    group = "worldsim.interactions"
    classes = [load_plugin(group, name, Interaction) for name in sorted(plugin_names(group))]  # type: ignore[type-abstract]
    return [found() for found in classes]
