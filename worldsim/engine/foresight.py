"""What may come: forecasts of the others, and rollouts of everything under imagined actions."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.engine.state import STARTER_TAG, EngineState
from worldsim.engine.tracking import carried
from worldsim.filtering.density import Density
from worldsim.inference import stimuli
from worldsim.inference.futures import Futures, Source, sample_futures
from worldsim.inference.slots import density_of
from worldsim.types.control import COMMAND_DIM
from worldsim.types.planning import Forecast, Rollout

_EXISTS = 0.5
_SLIDES_M_S = 0.3  # a passive thing slower than this will be where it is
_FAR_M = 7.0  # twice what two bodies at full speed close in two seconds
_FAR_ACCELERATION_PSD = 0.3  # (m/s^2)^2 s, a walker's
_ROLLS_M_S, _STRUCK_GAP_M = 0.1, 0.1  # who rolls slower than this strikes nobody worth foretelling
_INNER_STEP_S = 0.2  # futures are stepped this coarsely and interpolated: movers hardly turn in it


def movers_and_own(state: EngineState) -> Int[np.ndarray, " n"]:
    """Return the slots whose futures are worth sampling: what moves of itself, what rolls or slides, the own body."""
    speed = state.belief.linear_velocity.norm(dim=-1).cpu().numpy()
    live = state.awake & state.library.moves[state.model_index] & (state.belief.existence.cpu().numpy() > _EXISTS)
    live &= ~state.passive[state.model_index] | (speed > _SLIDES_M_S)
    live[[target for _, target in carried(state)]] = False
    return np.flatnonzero(live)


def round_bodies(state: EngineState) -> Bool[np.ndarray, " C"]:
    """Return who is believed to be a round body with a mass, asleep or awake: by the law of impact it gives way."""
    models = np.where(state.alive, state.model_index, 0)
    real = state.alive & (state.belief.existence.cpu().numpy() > _EXISTS) & state.ledger.settled
    return real & state.library.is_round[models] & ~state.holding([*state.trials, *state.waiting])


def may_be_struck(state: EngineState, movers: Int[np.ndarray, " n"], horizon_s: float) -> Int[np.ndarray, " m"]:
    """Return the round bodies beside the movers that a rolling one among these may reach within the horizon."""
    balls = round_bodies(state)
    balls[[target for _, target in carried(state)]] = False
    still = np.setdiff1d(np.flatnonzero(balls), movers)
    speed = state.belief.linear_velocity.norm(dim=-1).cpu().numpy()
    rolling = movers[balls[movers] & (speed[movers] > _ROLLS_M_S)]
    if len(still) == 0 or len(rolling) == 0:
        return np.zeros(0, dtype=np.int64)
    here = state.belief.position.cpu().numpy()
    radius = 0.5 * state.belief.extent_m.mean(dim=-1).cpu().numpy()
    apart = np.linalg.norm(here[rolling, None] - here[None, still], axis=-1) - radius[rolling, None] - radius[still]
    return still[(apart < speed[rolling, None] * horizon_s + _STRUCK_GAP_M).any(axis=0)]


def forecast(state: EngineState, horizon_s: float, dt_s: float, only: tuple[int, ...] | None) -> Forecast:
    """Return where everything but the own body is expected to be; see `worldsim.loop.WorldModel.forecast`."""
    steps = max(round(horizon_s / dt_s), 1)
    known = state.alive & (state.belief.existence.cpu().numpy() > _EXISTS)
    if state.own_slot is not None:
        known[state.own_slot] = False
    if only is not None:
        known &= state.holding(only)
    slots = np.flatnonzero(known)
    row = state.index(slots)
    belief = state.belief
    position = belief.position[row].unsqueeze(0).repeat(steps, 1, 1)
    variance = torch.diagonal(belief.joint_covariance[row, :3, :3], dim1=1, dim2=2).clamp_min(0.0)
    std = variance.sqrt().unsqueeze(0).repeat(steps, 1, 1)
    movers = movers_and_own(state)
    if only is None:
        far = movers[_far_away(state, movers)]
        position, std = _straight_on(state, position, std, state.index(np.searchsorted(slots, far)), far, dt_s)
        movers = np.setdiff1d(movers, far)
    movers = np.union1d(movers, may_be_struck(state, movers, horizon_s))
    wanted = np.intersect1d(movers, slots)
    if len(wanted):
        if only is not None:
            movers = _with_neighbours(state, wanted, movers)
        inner_s = max(dt_s, _INNER_STEP_S)
        inner = max(math.ceil(horizon_s / inner_s - 1e-9), 1)
        commands = _persisting(state, movers, inner)
        futures = _sample(state, movers, commands, state.settings.loop.future_samples, inner_s)
        place = state.index(np.searchsorted(slots, wanted))
        sampled = futures.position[:, :, state.index(np.searchsorted(movers, wanted))]
        times = torch.arange(1, steps + 1, device=state.device, dtype=state.dtype) * (dt_s / inner_s)
        now = position[:1, place], std[:1, place]
        position = position.index_copy(1, place, _interpolated(torch.cat([now[0], sampled.mean(0)]), times))
        std = std.index_copy(1, place, _interpolated(torch.cat([now[1], sampled.std(0)]), times))
    return Forecast(
        belief.object_id[row],
        position.float(),
        std.float(),
        belief.orientation_xyzw[row].float(),
        belief.extent_m[row].float(),
        torch.as_tensor(state.library.moves[state.model_index[slots]], device=state.device),
        dt_s,
    )


def _far_away(state: EngineState, movers: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Return which familiar movers are so far from the own body that straight on is good enough for whoever plans."""
    own = state.own_slot
    if own is None:
        return np.zeros(len(movers), dtype=bool)
    here = state.belief.position.cpu().numpy()
    familiar = np.array([STARTER_TAG in m.card.tags for m in state.library.models], dtype=bool)
    under_test = state.holding(state.trials)[movers]
    far = np.linalg.norm(here[movers] - here[own], axis=1) > _FAR_M
    return far & ~under_test & familiar[state.model_index[movers]]


def _straight_on(
    state: EngineState,
    position: Float[Tensor, "T N 3"],
    std: Float[Tensor, "T N 3"],
    place: Int[Tensor, " m"],
    slots: Int[np.ndarray, " m"],
    dt_s: float,
) -> tuple[Float[Tensor, "T N 3"], Float[Tensor, "T N 3"]]:
    """Return the forecast with some objects going straight on, their spread growing with their velocity's."""
    row = state.index(slots)
    times = dt_s * torch.arange(1, len(position) + 1, dtype=state.dtype, device=state.device).reshape(-1, 1, 1)
    speed_std = torch.diagonal(state.belief.joint_covariance[row, 6:9, 6:9], dim1=1, dim2=2).clamp_min(0.0).sqrt()
    gone = position[:, place] + state.belief.linear_velocity[row] * times
    wide = (std[:, place] ** 2 + (speed_std * times) ** 2 + _FAR_ACCELERATION_PSD * times**3 / 3.0).sqrt()
    return position.index_copy(1, place, gone), std.index_copy(1, place, wide)


def _interpolated(path: Float[Tensor, "J n 3"], at: Float[Tensor, " T"]) -> Float[Tensor, "T n 3"]:
    """Return the path, given at 0, 1, 2 ..., at other times between."""
    before = at.floor().long().clamp_max(len(path) - 2)
    share = (at - before).reshape(-1, 1, 1)
    return path[before] * (1.0 - share) + path[before + 1] * share


def imagine(state: EngineState, actions: Float[np.ndarray, "T U"], samples: int, dt_s: float) -> Rollout:
    """Return sampled futures of every mover while the own body executes `actions`."""
    movers, steps = movers_and_own(state), len(actions)
    movers = np.union1d(movers, may_be_struck(state, movers, steps * dt_s))
    commands = _persisting(state, movers, steps)
    own = state.own_slot
    if own is not None and own in movers:
        ego = state.settings.ego
        scaled = np.asarray(actions, dtype=np.float64)[:, :COMMAND_DIM] * [ego.speed_m_s, ego.yaw_rate_rad_s]
        commands[:, int(np.searchsorted(movers, own))] = torch.as_tensor(scaled, device=state.device).to(state.dtype)
    futures = _sample(state, movers, commands, samples, dt_s)
    return Rollout(
        state.ids[movers].copy(),
        state.belief.time_s + dt_s * np.arange(1, steps + 1),
        futures.position,
        futures.orientation_xyzw,
        futures.linear_velocity,
        futures.position.std(0) if samples > 1 and len(movers) else torch.zeros_like(futures.position[0]),
    )


def _persisting(state: EngineState, movers: Int[np.ndarray, " n"], steps: int) -> Float[Tensor, "T n U"]:
    """Return commands in which the own body goes on as it was told last."""
    commands = torch.zeros(steps, len(movers), COMMAND_DIM, dtype=state.dtype, device=state.device)
    own = state.own_slot
    if own is not None and own in movers:
        commands[:, int(np.searchsorted(movers, own))] = torch.as_tensor(state.command, device=state.device).to(
            state.dtype
        )
    return commands


def _with_neighbours(
    state: EngineState, wanted: Int[np.ndarray, " m"], movers: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " k"]:
    """Return the wanted movers and those that they respond to, directly or through others."""
    mask = np.zeros(state.belief.capacity, dtype=bool)
    mask[movers] = True
    nearest, known = stimuli.nearest_mover(state.belief.position, mask, state.belief.alive)
    near, ok = nearest.cpu().numpy(), known.cpu().numpy()
    chosen = set(wanted.tolist())
    frontier = list(chosen)
    while frontier:
        slot = frontier.pop()
        if ok[slot] and int(near[slot]) not in chosen:
            chosen.add(int(near[slot]))
            frontier.append(int(near[slot]))
    return np.array(sorted(chosen), dtype=np.int64)


def _sample(
    state: EngineState, movers: Int[np.ndarray, " n"], commands: Float[Tensor, "T n U"], samples: int, dt_s: float
) -> Futures:
    density = density_of(state.belief)
    mask = np.zeros(state.belief.capacity, dtype=bool)
    mask[movers] = True
    nearest, known = stimuli.nearest_mover(state.belief.position, mask, state.belief.alive)
    rows = state.index(movers)
    place = np.zeros(state.belief.capacity, dtype=np.int64)
    place[movers] = np.arange(len(movers))
    colliding = mask & state.library.collides[state.model_index]
    standing = np.flatnonzero(colliding & state.library.stands[state.model_index])
    balls = round_bodies(state) & mask
    colliding[standing] = stimuli.may_bump(state.belief, standing, len(commands) * dt_s, balls)
    for trial in state.trials.values():
        slot = state.belief.slot_of(trial.object_id)
        if slot is not None:
            colliding[slot] = True
    walls = stimuli.obstacles(state.belief, colliding, balls) if colliding.any() else None
    own = state.own_slot
    generator = torch.Generator(device=state.device)
    generator.manual_seed(state.seed * 1_000_003 + state.frames)  # the same forecast however often it is asked for
    return sample_futures(
        [_source(state, density, int(slot)) for slot in movers],
        state.index(place[nearest.cpu().numpy()[movers]]),
        known[rows],
        None if walls is None else walls.select(rows),
        commands,
        torch.as_tensor(movers == (-1 if own is None else own), device=state.device),
        state.library,
        samples,
        dt_s,
        generator,
        balls[movers],
    )


def _source(state: EngineState, density: Density, slot: int) -> Source:
    """Return an object's own belief, or the mixture of hypotheses while it is under test."""
    trial = state.trials.get(int(state.ids[slot]))
    if trial is not None:
        return Source(trial.density, trial.model_index, trial.posterior(), 1.0)
    row = density.select(state.index(np.array([slot])))
    scale = float(state.belief.noise_scale[slot])
    return Source(row, state.model_index[slot : slot + 1], np.ones(1), scale)
