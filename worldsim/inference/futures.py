"""Futures sampled from the belief: every mover at once, so that who reacts to whom stays consistent in a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics import ContactSettings, Obstacles, quaternion
from worldsim.filtering.density import Density, retract
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import advance_class, group_by_family
from worldsim.filtering.surroundings import Surroundings
from worldsim.inference.blows import Balls, struck
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
    is_ball: Bool[np.ndarray, " n"] | None = None,
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
        is_ball: [n] who is a round body that gives way to others, and they to it; None for nobody.
    """
    n, steps = len(sources), commands.shape[0]
    if n == 0:
        like = library.prior_mean
        return Futures(*(like.new_zeros(samples, steps, 0, width) for width in (3, 4, 3)))
    states, parameters, model_index, scale = _start(sources, samples, generator)
    # rows of one class lie together, so that a class takes its part as a view
    order = np.argsort(library.family_index[model_index], kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    rows, home = torch.as_tensor(order, device=parameters.device), torch.as_tensor(back, device=parameters.device)
    who = rows % n
    near = home[(rows // n) * n + neighbour[who]]
    walls = None if obstacles is None else obstacles.select(who)
    states = states.select(rows)
    groups = _groups(
        model_index[order],
        library,
        parameters[rows],
        scale[rows],
        near,
        neighbour_known[who],
        commanded[who],
        walls,
        dt_s,
    )
    balls = None
    if is_ball is not None and is_ball.sum() > 1:
        balls = _balls(is_ball, home.reshape(samples, n), states, parameters[rows], model_index[order], library)
    path: list[ObjectStates] = []
    for step in range(steps):
        told = commands[step][who]
        white = _antithetic(samples, (n, 6), states.position, generator)[rows]
        moved = [group.moved(states, told, library, white, dt_s) for group in groups]
        free = _cat(moved, states.extent_m)
        states = free if balls is None else struck(states, free, balls, dt_s)
        path.append(states)

    def stack(name: str) -> Tensor:
        whole = torch.stack([getattr(s, name) for s in path]).index_select(1, home)
        return whole.reshape(steps, samples, n, -1).transpose(0, 1).contiguous()

    return Futures(stack("position"), stack("orientation_xyzw"), stack("linear_velocity"))


def _balls(
    is_ball: Bool[np.ndarray, " n"],
    home: Int[Tensor, "S n"],
    states: ObjectStates,
    parameters: Float[Tensor, "R P"],
    model_index: Int[np.ndarray, " R"],
    library: LoadedModels,
) -> Balls:
    """Return the balls among the rows, each sample with masses and restitutions of its own."""
    row = home[:, torch.as_tensor(np.flatnonzero(is_ball), device=home.device)]
    models = torch.as_tensor(model_index, device=home.device)
    natural = library.natural(parameters, models)
    mass, restitution, friction = (
        library.body_parameter(natural, models, name)[row] for name in ("mass_kg", "restitution", "friction")
    )
    radius = 0.5 * states.extent_m.mean(dim=-1)[row]
    return Balls(row, radius, mass, restitution.clamp(0.0, 1.0), friction.clamp_min(0.0))


@dataclass(frozen=True, slots=True)
class _Group:
    """The rows of one class, `start` to `end`, and what stays the same for them from step to step.

    Attributes:
        model: whose dynamics they have; models: [m] which card each row has.
        natural: [m, P] parameters; scale: [m, 1] of the noise's variance; calm: [m, 6] no wrench.
        near: [m] rows that they respond to, among all; known: [m]; commanded: [m].
        walls: what they may bump into.
    """

    model: ObjectModel
    start: int
    end: int
    models: Int[Tensor, " m"]
    natural: Float[Tensor, "m P"]
    scale: Float[Tensor, "m 1"]
    calm: Float[Tensor, "m 6"]
    near: Int[Tensor, " m"]
    known: Bool[Tensor, " m"]
    commanded: Bool[Tensor, " m"]
    walls: Obstacles | None

    def moved(
        self,
        states: ObjectStates,
        told: Float[Tensor, "R U"],
        library: LoadedModels,
        white: Float[Tensor, "R 6"],
        dt_s: float,
    ) -> ObjectStates:
        """Return these rows one step later; `states`, `told` and `white` are of all rows."""
        own = slice(self.start, self.end)
        control = Control(
            told[own],
            self.commanded,
            states.position.index_select(0, self.near),
            states.linear_velocity.index_select(0, self.near),
            self.known,
        )
        part = ObjectStates(
            states.position[own],
            states.orientation_xyzw[own],
            states.linear_velocity[own],
            states.angular_velocity[own],
            states.extent_m[own],
        )
        around = Surroundings(control, self.calm, self.walls, _ROUGH)
        after, _ = advance_class(self.model, part, self.natural, self.models, library, around, dt_s)
        density = self.model.process_noise(part, self.natural[:, : len(self.model.parameter_names)], dt_s)
        return _kicked(after, density * self.scale, dt_s, white[own])


def _groups(  # noqa: PLR0913 - what stays the same from step to step, named one by one
    model_index: Int[np.ndarray, " R"],
    library: LoadedModels,
    parameters: Float[Tensor, "R P"],
    scale: Float[Tensor, " R"],
    near: Int[Tensor, " R"],
    known: Bool[Tensor, " R"],
    commanded: Bool[Tensor, " R"],
    walls: Obstacles | None,
    dt_s: float,
) -> list[_Group]:
    """Return the groups of rows that lie sorted by class."""
    groups = []
    models = torch.as_tensor(model_index, device=parameters.device)
    natural = library.natural(parameters, models)
    for family, index in group_by_family(model_index, library):
        start, end = int(index[0]), int(index[-1]) + 1
        own = slice(start, end)
        model = library.models[int(np.flatnonzero(library.family_index == family)[0])]
        count = len(model.parameter_names)
        groups.append(
            _Group(
                model,
                start,
                end,
                models[own],
                torch.cat([model.stable(natural[own, :count], dt_s), natural[own, count:]], dim=1),
                scale[own].unsqueeze(-1),
                parameters.new_zeros(end - start, 6),
                near[own],
                known[own],
                commanded[own],
                None if walls is None else walls.select(torch.arange(start, end, device=parameters.device)),
            )
        )
    return groups


def _start(
    sources: Sequence[Source], samples: int, generator: torch.Generator
) -> tuple[ObjectStates, Float[Tensor, "R P"], Int[np.ndarray, " R"], Float[Tensor, " R"]]:
    """Draw S joint samples of every object, sample-major: row = sample * n + object."""
    n = len(sources)
    stacked = Density.cat([s.rows for s in sources])
    first = np.cumsum([0] + [len(s.model_index) for s in sources])[:n]
    # systematic sampling of hypotheses: as many samples each as its weight says, to within one; which samples, each
    # object draws for itself
    points = (np.arange(samples) + 0.5) / samples
    pick = np.repeat(first[None], samples, axis=0)
    rng = np.random.default_rng(generator.initial_seed())  # on the host, where the weights are
    for number, source in enumerate(sources):
        if len(source.weight) > 1:
            pick[:, number] += np.searchsorted(np.cumsum(source.weight)[:-1], rng.permutation(points))
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
    """Add what white acceleration noise does in a step: a change of the velocities, and half of it times dt in pose."""
    kick = (density * dt_s).sqrt() * white
    return ObjectStates(
        states.position + 0.5 * dt_s * kick[:, :3],
        quaternion.integrate(states.orientation_xyzw, 0.5 * kick[:, 3:], dt_s),
        states.linear_velocity + kick[:, :3],
        states.angular_velocity + kick[:, 3:],
        states.extent_m,
    )


def _cat(parts: Sequence[ObjectStates], extent_m: Float[Tensor, "R 3"]) -> ObjectStates:
    if len(parts) == 1:
        return parts[0]
    return ObjectStates(
        torch.cat([p.position for p in parts]),
        torch.cat([p.orientation_xyzw for p in parts]),
        torch.cat([p.linear_velocity for p in parts]),
        torch.cat([p.angular_velocity for p in parts]),
        extent_m,
    )
