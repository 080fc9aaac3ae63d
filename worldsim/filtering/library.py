"""The models that are loaded now, as tables that rows index into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.errors import CardError, UnknownNameError
from worldsim.types.card import SHAPES, ModelCard
from worldsim.types.observation import APPEARANCE_DIM

PARAMETER_DIM = 8
"""P: columns that every row has; a model class uses the first ones."""

_APPEARANCE_STD_UNKNOWN = 0.6  # a card without appearance says nothing about it; descriptors are of unit scale
_BODY_DEFAULTS = {"mass_kg": 1.0, "friction": 0.4, "restitution": 0.2}


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """L loaded models, struct of arrays; what has one row a model is indexed by a belief's `model_index`.

    Attributes:
        models: the models; two cards of one class share its code and are advanced in one call.
        families: distinct family names, the order behind `family_index`.
        family_index: [L] int64, on the host: which class a model belongs to.
        prior_mean, prior_std: [L, P] of the parameters, transformed coordinates.
        is_log: [L, P] the column is a logarithm.
        extent_mean, extent_std: [L, 3] m.
        appearance_mean, appearance_std: [L, A].
        shape_index: [L] into `SHAPES`.
        moves, collides, stands, reacts: [L] as the class says, on the host.
        is_round: [L] a solid sphere that can be pushed: moves, collides and has a mass; on the host.
        body_columns: [L, 3] columns of mass, friction and restitution in the parameters, -1 where absent.
    """

    models: tuple[ObjectModel, ...]
    families: tuple[str, ...]
    family_index: Int[np.ndarray, " L"]
    prior_mean: Float[Tensor, "L P"]
    prior_std: Float[Tensor, "L P"]
    is_log: Bool[Tensor, "L P"]
    extent_mean: Float[Tensor, "L 3"]
    extent_std: Float[Tensor, "L 3"]
    appearance_mean: Float[Tensor, "L A"]
    appearance_std: Float[Tensor, "L A"]
    shape_index: Int[Tensor, " L"]
    moves: Bool[np.ndarray, " L"]
    collides: Bool[np.ndarray, " L"]
    stands: Bool[np.ndarray, " L"]
    reacts: Bool[np.ndarray, " L"]
    is_round: Bool[np.ndarray, " L"]
    body_columns: Int[Tensor, "L 3"]

    @classmethod
    def of(cls, models: Iterable[ObjectModel], device: torch.device, dtype: torch.dtype) -> LoadedModels:
        """Build the tables.

        Raises:
            CardError: two models share an id, or one cannot be held (`check_loadable`).
        """
        models = tuple(models)
        cards = [m.card for m in models]
        _check(models)
        families = tuple(dict.fromkeys(m.family for m in models))
        columns = [[_column(m, name) for name in _BODY_DEFAULTS] for m in models]

        def table(rows: Sequence[Sequence[float]], width: int) -> Tensor:
            return torch.tensor(rows, dtype=dtype, device=device).reshape(len(models), width)

        return cls(
            models,
            families,
            np.array([families.index(m.family) for m in models], dtype=np.int64),
            table([_padded(_transformed_mean(c), 0.0) for c in cards], PARAMETER_DIM),
            table([_padded([p.std for p in c.parameters], 0.0) for c in cards], PARAMETER_DIM),
            table([_padded([p.transform == "log" for p in c.parameters], 0.0) for c in cards], PARAMETER_DIM) > 0.5,
            table([c.shape.extent_m for c in cards], 3),
            table([c.shape.extent_std_m for c in cards], 3),
            table([_appearance(c)[0] for c in cards], APPEARANCE_DIM),
            table([_appearance(c)[1] for c in cards], APPEARANCE_DIM),
            torch.tensor([SHAPES.index(c.shape.kind) for c in cards], dtype=torch.int64, device=device),
            np.array([m.moves for m in models], dtype=bool),
            np.array([m.collides for m in models], dtype=bool),
            np.array([m.stands for m in models], dtype=bool),
            np.array([m.reacts for m in models], dtype=bool),
            np.array([_is_round(m) for m in models], dtype=bool),
            torch.tensor(columns, dtype=torch.int64, device=device).reshape(len(models), 3),
        )

    def __len__(self) -> int:
        """Return the number of loaded models L."""
        return len(self.models)

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Ids of the loaded models, in index order."""
        return tuple(m.card.model_id for m in self.models)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the loaded models, in index order."""
        return tuple(m.card.kind for m in self.models)

    def index_of(self, model_id: str) -> int:
        """Return the index of a loaded model.

        Raises:
            UnknownNameError: it is not loaded.
        """
        if model_id not in self.model_ids:
            raise UnknownNameError("loaded model", model_id, self.model_ids)
        return self.model_ids.index(model_id)

    def natural(self, parameters: Float[Tensor, "N P"], model_index: Int[Tensor, " N"]) -> Float[Tensor, "N P"]:
        """Return parameters in natural units from transformed ones."""
        is_log = self.is_log.index_select(0, model_index)
        return torch.where(is_log, torch.exp(torch.where(is_log, parameters, 0.0)), parameters)

    def body_parameter(
        self, natural: Float[Tensor, "N P"], model_index: Int[Tensor, " N"], name: str
    ) -> Float[Tensor, " N"]:
        """Return ``mass_kg``, ``friction`` or ``restitution`` of each row, a default where the class has none."""
        position = list(_BODY_DEFAULTS).index(name)
        column = self.body_columns.index_select(0, model_index)[:, position]
        value = natural.gather(1, column.clamp_min(0).unsqueeze(1)).squeeze(1)
        return torch.where(column >= 0, value, torch.full_like(value, _BODY_DEFAULTS[name]))


def _check(models: tuple[ObjectModel, ...]) -> None:
    ids = [m.card.model_id for m in models]
    for model_id in ids:
        if ids.count(model_id) > 1:
            raise CardError(f"model {model_id!r} is loaded twice; each id may be loaded once.")
    for m in models:
        check_loadable(m)


def check_loadable(model: ObjectModel) -> None:
    """Refuse a model that no world model can hold.

    Raises:
        CardError: it has more than `PARAMETER_DIM` parameters, or its card has numbers or a shape that cannot be.
    """
    card = model.card
    where = f"{type(model).__name__}: card {card.model_id!r}"
    if len(model.parameter_names) > PARAMETER_DIM:
        raise CardError(
            f"{type(model).__name__}: {len(model.parameter_names)} parameters, expected at most {PARAMETER_DIM} "
            f"(card {card.model_id!r}). Fix what is known, or derive what follows from the rest."
        )
    for prior in card.parameters:
        if not np.isfinite([prior.mean, prior.std]).all():
            raise CardError(
                f"{where}, parameter {prior.name!r} has mean {prior.mean} and std {prior.std}, expected finite numbers."
            )
    if card.shape.kind not in SHAPES:
        raise CardError(
            f"{type(model).__name__}: shape {card.shape.kind!r} of card {card.model_id!r}, "
            f"expected one of {list(SHAPES)}."
        )
    size, spread = card.shape.extent_m, card.shape.extent_std_m
    if not (len(size) == len(spread) == 3 and all(0.0 < v < np.inf for v in size) and _are_spreads(spread)):
        raise CardError(
            f"{where} has extent_m {size} and extent_std_m {spread}, expected three edges above 0 and three spreads of "
            "0 or more, in metres."
        )
    look, looks_spread = card.descriptor.appearance, card.descriptor.appearance_std
    if look is not None and not (len(look) == APPEARANCE_DIM and np.isfinite(look).all()):
        raise CardError(f"{where} has an appearance of {len(look)} numbers, expected {APPEARANCE_DIM} finite ones.")
    if looks_spread is not None and not (len(looks_spread) == APPEARANCE_DIM and _are_spreads(looks_spread)):
        raise CardError(
            f"{where} has an appearance_std of {len(looks_spread)} numbers, expected {APPEARANCE_DIM} of 0 or more."
        )


def _are_spreads(values: Sequence[float]) -> bool:
    return all(0.0 <= v < np.inf for v in values)


def _is_round(model: ObjectModel) -> bool:
    return model.moves and model.collides and model.card.shape.kind == "sphere" and _column(model, "mass_kg") >= 0


def _column(model: ObjectModel, name: str) -> int:
    return model.parameter_names.index(name) if name in model.parameter_names else -1


def _transformed_mean(card: ModelCard) -> list[float]:
    return [float(np.log(p.mean)) if p.transform == "log" else float(p.mean) for p in card.parameters]


def _padded(values: Sequence[float], fill: float) -> list[float]:
    return [float(v) for v in values] + [fill] * (PARAMETER_DIM - len(values))


def _appearance(card: ModelCard) -> tuple[tuple[float, ...], tuple[float, ...]]:
    d = card.descriptor
    if d.appearance is None:
        return (0.0,) * APPEARANCE_DIM, (_APPEARANCE_STD_UNKNOWN,) * APPEARANCE_DIM
    std = d.appearance_std if d.appearance_std is not None else (0.1,) * APPEARANCE_DIM
    return d.appearance, std
