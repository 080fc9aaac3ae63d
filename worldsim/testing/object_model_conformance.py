"""Proves that an object model keeps its contract.

A plug-in's test::

    def test_my_model_conforms():
        check_object_model(MyModel(my_card))
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.errors import CardError, PluginError
from worldsim.filtering.density import local, retract
from worldsim.filtering.library import check_loadable
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

_FIELDS = ("position", "orientation_xyzw", "linear_velocity", "angular_velocity")
_BATCH = 5
_DIFFERENCE, _DIFFERENCE_TOLERANCE = 1e-6, 1e-5  # step of a tangent coordinate; rounding leaves ten digits of the slope


UNITS = {
    "_m_s2": "m/s^2",
    "_m_s": "m/s",
    "_per_s2": "1/s^2",
    "_per_s": "1/s",
    "_rad_s": "rad/s",
    "_rad": "rad",
    "_kg": "kg",
    "_m": "m",
    "_s": "s",
}
"""End of a parameter's name -> the unit that its prior has to state, the longer ends first."""


def check_object_model(model: ObjectModel, *, seed: int = 0, dt_s: float = 0.05) -> None:
    """Run `model` on random states and check everything that the filter relies on.

    Checked: shapes and dtypes are kept, results are finite, quaternions stay of unit length, rows do not depend on
    each other, inputs are not changed, the same input gives the same output, a zero step hardly moves, dynamics are
    differentiable, the derivative that the model gives of itself (if any) is that of its dynamics, noise densities are
    non-negative, the unit of each prior is the one that the parameter's name ends with (`UNITS`), a world model can
    hold the model (at most `PARAMETER_DIM` parameters, and numbers in its card that can be).

    Raises:
        PluginError: the contract is broken; the message says where.
    """
    if not isinstance(model, ObjectModel):
        raise PluginError(
            f"check_object_model was given {model!r}, expected an ObjectModel instance: a class bound to its card."
        )
    _check_card(model)
    try:
        _check_methods(model, seed, dt_s)
    except PluginError:
        raise
    except Exception as error:  # the methods are somebody else's, and may fail in any way
        raise PluginError(f"{model!r}: a method failed on random states: {type(error).__name__}: {error}") from error


def _check_card(model: ObjectModel) -> None:
    _check_units(model)
    try:
        check_loadable(model)
    except CardError as error:
        raise PluginError(f"{model!r}: {error}") from error


def _check_methods(model: ObjectModel, seed: int, dt_s: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    state = random_states(model, generator)
    parameters = prior_sample(model, generator)
    control = _control(state, generator)
    wrench = torch.randn(_BATCH, 6, generator=generator, dtype=torch.float64)
    copies = [getattr(state, name).clone() for name in _FIELDS]
    after = model.dynamics(state, parameters, wrench, control, dt_s)
    given_back = type(after).__name__
    _require(model, isinstance(after, ObjectStates), f"dynamics returns a {given_back}, expected ObjectStates")
    for name, copy in zip(_FIELDS, copies, strict=True):
        value = getattr(after, name)
        _require(model, value.shape == copy.shape, f"dynamics returns {name} of shape {tuple(value.shape)}")
        _require(model, value.dtype == copy.dtype, f"dynamics returns {name} of dtype {value.dtype}")
        _require(model, bool(torch.isfinite(value).all()), f"dynamics returns a {name} that is not finite")
        _require(model, torch.equal(getattr(state, name), copy), f"dynamics changes its input {name}")
    unit = (after.orientation_xyzw.norm(dim=-1) - 1.0).abs().max()
    _require(model, bool(unit < 1e-6), "dynamics returns quaternions that are not of unit length")
    again = model.dynamics(state, parameters, wrench, control, dt_s)
    _require(model, torch.equal(again.position, after.position), "dynamics is not a function of its inputs")
    _check_rows_are_independent(model, state, parameters, wrench, control, after, dt_s)
    still = model.dynamics(state, parameters, wrench, control, 1e-6)
    moved = (still.position - state.position).abs().max()
    _require(model, bool(moved < 1e-3), f"dynamics moves a body by {float(moved):.3g} m in a microsecond")
    _check_gradient(model, state, parameters, wrench, control, dt_s)
    _check_transition(model, state, parameters, wrench, control, dt_s)
    noise = model.process_noise(state, parameters, dt_s)
    _require(model, noise.shape == (_BATCH, 6), f"process_noise has shape {tuple(noise.shape)}, expected (N, 6)")
    _require(model, bool((noise >= 0.0).all()), "process_noise is negative somewhere")


def _check_units(model: ObjectModel) -> None:
    for prior in model.card.parameters:
        said = next((unit for end, unit in UNITS.items() if prior.name.endswith(end)), prior.unit)
        _require(model, said == prior.unit, f"{prior.name} has the unit {prior.unit!r}, by its name it is {said!r}")


def random_states(model: ObjectModel, generator: torch.Generator) -> ObjectStates:
    """Return a few states of bodies of the model's size, near the floor, moving."""

    def normal(width: int, scale: float) -> Tensor:
        return scale * torch.randn(_BATCH, width, generator=generator, dtype=torch.float64)

    extent = torch.tensor([model.card.shape.extent_m], dtype=torch.float64).repeat(_BATCH, 1)
    position = normal(3, 1.0)
    position[:, 2] = 0.5 * extent[:, 2] + position[:, 2].abs() * 0.1
    yaw = normal(1, 1.0).squeeze(-1)
    zero = torch.zeros_like(yaw)
    orientation = torch.stack([zero, zero, torch.sin(yaw / 2), torch.cos(yaw / 2)], dim=-1)
    return ObjectStates(position, orientation, normal(3, 0.7), normal(3, 0.5), extent)


def prior_sample(model: ObjectModel, generator: torch.Generator) -> Float[Tensor, "N P"]:
    """Return parameters drawn from the card's prior, natural units."""
    columns = []
    for prior in model.card.parameters:
        white = torch.randn(_BATCH, generator=generator, dtype=torch.float64) * prior.std
        columns.append(prior.mean * torch.exp(white) if prior.transform == "log" else prior.mean + white)
    return torch.stack(columns, dim=-1) if columns else torch.zeros(_BATCH, 0, dtype=torch.float64)


def _control(state: ObjectStates, generator: torch.Generator) -> Control:
    n = len(state)
    away = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return Control(
        torch.randn(n, 2, generator=generator, dtype=torch.float64),
        torch.arange(n) % 2 == 0,
        state.position + away,
        torch.randn(n, 3, generator=generator, dtype=torch.float64),
        torch.arange(n) % 3 != 0,
    )


def _check_rows_are_independent(
    model: ObjectModel,
    state: ObjectStates,
    parameters: Tensor,
    wrench: Tensor,
    control: Control,
    after: ObjectStates,
    dt_s: float,
) -> None:
    one = torch.tensor([2])
    alone = model.dynamics(state.select(one), parameters[one], wrench[one], control.select(one), dt_s)
    for name in _FIELDS:
        apart = (getattr(alone, name)[0] - getattr(after, name)[2]).abs().max()
        _require(model, bool(apart < 1e-9), f"dynamics gives a row another {name} alone than in a batch")


def _check_gradient(
    model: ObjectModel, state: ObjectStates, parameters: Tensor, wrench: Tensor, control: Control, dt_s: float
) -> None:
    velocity = state.linear_velocity.clone().requires_grad_(True)
    spin = state.angular_velocity.clone().requires_grad_(True)
    leaf = ObjectStates(state.position, state.orientation_xyzw, velocity, spin, state.extent_m)
    if not model.moves:
        return
    total = model.dynamics(leaf, parameters, wrench, control, dt_s).position.sum()
    _require(model, total.requires_grad, "dynamics is not differentiable: the result does not depend on the velocities")
    for slope in torch.autograd.grad(total, [velocity, spin], allow_unused=True):
        finite = slope is None or bool(torch.isfinite(slope).all())
        _require(model, finite, "dynamics has a gradient that is not finite")


def _check_transition(
    model: ObjectModel, state: ObjectStates, parameters: Tensor, wrench: Tensor, control: Control, dt_s: float
) -> None:
    told = model.transition(state, parameters, wrench, control, dt_s)
    if told is None:
        return
    columns = TANGENT_DIM + parameters.shape[1]
    shape = (len(state), TANGENT_DIM, columns)
    _require(model, told.shape == shape, f"transition has shape {tuple(told.shape)}, expected {shape}")
    for column in range(columns):
        step = torch.zeros(len(state), columns, dtype=torch.float64)
        step[:, column] = _DIFFERENCE * (1.0 if column < TANGENT_DIM else 1.0 + parameters[:, column - TANGENT_DIM])
        ends = []
        for sign in (1.0, -1.0):
            start, moved = retract(state, parameters, sign * step)
            ends.append(model.dynamics(start, moved, wrench, control, dt_s))
        slope = local(ends[0], ends[1]) / (2.0 * step[:, column : column + 1])
        apart = float((slope - told[:, :, column]).abs().max())
        name = f"column {column}" if column < TANGENT_DIM else model.parameter_names[column - TANGENT_DIM]
        _require(
            model,
            apart < _DIFFERENCE_TOLERANCE * max(1.0, float(slope.abs().max())),
            f"transition differs by {apart:.3g} from the derivative of dynamics with respect to {name}",
        )


def _require(model: ObjectModel, holds: bool, what: str) -> None:
    if not holds:
        raise PluginError(f"{model!r}: {what}.")
