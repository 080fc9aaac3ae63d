"""Futures sampled from the belief: every mover at once, so that who reacts to whom stays consistent in a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics import ContactSettings, Obstacles
from worldsim.filtering.density import Density, retract
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import advance_class, group_by_family
from worldsim.filtering.surroundings import Surroundings
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

_ROUGH = ContactSettings(substeps=1, iterations=3, max_contacts=4)  # a bounce's direction, not its fine detail


@dataclass(frozen=True, slots=True)
class Source:
    """Where one object's samples come from: its belief, or the open hypotheses about it.

    Attributes:
        rows: H rows.
        model_index: [H] int64, on the host.
        weight: [H] probabilities.
        noise_scale: multiplier of the process noise's variance.
    """

    rows: Density
    model_index: Int[np.ndarray, " H"]
    weight: Float[np.ndarray, " H"]
    noise_scale: float


@dataclass(frozen=True, slots=True)
class Futures:
    """S sampled futures of n objects.

    Attributes:
        position: [S, T, n, 3] m; orientation_xyzw: [S, T, n, 4]; linear_velocity: [S, T, n, 3] m/s.
    """

    position: Float[Tensor, "S T n 3"]
    orientation_xyzw: Float[Tensor, "S T n 4"]
    linear_velocity: Float[Tensor, "S T n 3"]


def sample_futures(  # noqa: PLR0913 - the inputs of a simulation, named one by one
    sources: Sequence[Source],
    neighbour: Int[Tensor, " n"],
    neighbour_known: Bool[Tensor, " n"],
    obstacles: Obstacles | None,
    commands: Float[Tensor, "T n U"],
    commanded: Bool[Tensor, " n"],
    library: LoadedModels,
    samples: int,
    dt_s: float,
    generator: torch.Generator,
) -> Futures:
    """Return sampled futures of n objects over T steps of `dt_s`.

    Args:
        sources: n objects.
        neighbour: [n] which of the n objects each one responds to.
        neighbour_known: [n] False where there is none.
        obstacles: what each of the n objects may bump into, held where it is; None for nothing at all.
        commands: known commands; commanded: [n] whose they are.
        library: the loaded models.
        samples: S.
        dt_s: step, s.
        generator: of the samples.
    """
    n, steps = len(sources), commands.shape[0]
    states, parameters, model_index, scale = _start(sources, samples, generator)
    device = parameters.device
    models = torch.as_tensor(model_index, device=device)
    natural = library.natural(parameters, models)
    rows = torch.arange(samples * n, device=device)
    who = rows % n
    near = (rows // n) * n + neighbour[who]
    known, told = neighbour_known[who], commanded[who]
    walls = None if obstacles is None else obstacles.select(who)
    groups = [
        (family, torch.as_tensor(index, device=device)) for family, index in group_by_family(model_index, library)
    ]
    calm = states.position.new_zeros(samples * n, 6)
    path: list[ObjectStates] = []
    for step in range(steps):
        control = Control(commands[step][who], told, states.position[near], states.linear_velocity[near], known)
        around = Surroundings(control, calm, walls, _ROUGH)
        white = _antithetic(samples, (n, calm.shape[-1]), calm, generator)
        for family, index in groups:
            model = library.models[int(np.flatnonzero(library.family_index == family)[0])]
            part, used = states.select(index), natural[index]
            moved, _ = advance_class(model, part, used, models[index], library, around.select(index), dt_s)
            density = model.process_noise(part, used[:, : len(model.parameter_names)], dt_s)
            moved = _kicked(moved, density * scale[index].unsqueeze(-1), dt_s, white[index])
            states = _put(states, index, moved)
        path.append(states)

    def stack(name: str) -> Tensor:
        return torch.stack([getattr(s, name).reshape(samples, n, -1) for s in path], dim=1)

    return Futures(stack("position"), stack("orientation_xyzw"), stack("linear_velocity"))


def _start(
    sources: Sequence[Source], samples: int, generator: torch.Generator
) -> tuple[ObjectStates, Float[Tensor, "R P"], Int[np.ndarray, " R"], Float[Tensor, " R"]]:
    """Draw S joint samples of every object, sample-major: row = sample * n + object."""
    n = len(sources)
    stacked = Density.cat([s.rows for s in sources])
    first = np.cumsum([0] + [len(s.model_index) for s in sources])[:n]
    # systematic sampling of hypotheses: as many samples each as its weight says, to within one
    points = (np.arange(samples) + 0.5) / samples
    pick = np.stack(
        [f + np.searchsorted(np.cumsum(s.weight)[:-1], points) for f, s in zip(first, sources, strict=True)], 1
    )
    row = torch.as_tensor(pick.reshape(-1), device=stacked.parameters.device)
    root = _root(stacked.covariance)
    white = _antithetic(samples, (n, root.shape[-1]), root, generator)
    step = (root[row] @ white.unsqueeze(-1)).squeeze(-1)
    chosen = stacked.select(row)
    states, parameters = retract(chosen.states, chosen.parameters, step)
    model_index = np.concatenate([s.model_index for s in sources])[pick.reshape(-1)]
    scale = torch.tensor([s.noise_scale for s in sources], dtype=root.dtype, device=root.device).repeat(samples)
    return states, parameters, model_index, scale


def _root(covariance: Float[Tensor, "N X X"]) -> Float[Tensor, "N X X"]:
    """Return lower Cholesky factors; a fixed parameter's zero row is lifted by a millionth of a unit."""
    ridge = 1e-12 * torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    return torch.linalg.cholesky_ex(covariance + ridge).L


def _antithetic(samples: int, shape: tuple[int, int], like: Tensor, generator: torch.Generator) -> Float[Tensor, "R k"]:
    """Return standard normal rows, sample-major, the second half of the samples mirroring the first.

    Where the motion is nearly linear, the mean of the samples is then nearly the mean of the future, however few
    the samples are (Hammersley and Morton 1956).
    """
    half = torch.randn((samples + 1) // 2, *shape, generator=generator, dtype=like.dtype, device=like.device)
    return torch.cat([half, -half[: samples // 2]]).reshape(samples * shape[0], shape[1])


def _kicked(
    states: ObjectStates, density: Float[Tensor, "R 6"], dt_s: float, white: Float[Tensor, "R 6"]
) -> ObjectStates:
    """Add what white acceleration noise does in a step: a velocity change, and half of it times dt in position."""
    kick = (density * dt_s).sqrt() * white
    return ObjectStates(
        states.position + 0.5 * dt_s * kick[:, :3],
        states.orientation_xyzw,
        states.linear_velocity + kick[:, :3],
        states.angular_velocity + kick[:, 3:],
        states.extent_m,
    )


def _put(states: ObjectStates, index: Int[Tensor, " m"], rows: ObjectStates) -> ObjectStates:
    return ObjectStates(
        states.position.index_copy(0, index, rows.position),
        states.orientation_xyzw.index_copy(0, index, rows.orientation_xyzw),
        states.linear_velocity.index_copy(0, index, rows.linear_velocity),
        states.angular_velocity.index_copy(0, index, rows.angular_velocity),
        states.extent_m,
    )
