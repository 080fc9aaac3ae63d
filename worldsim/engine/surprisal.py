"""Surprise: every match weighed against its prediction, and what decisions rest on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.dynamics.neighbours import pairs_within
from worldsim.engine.state import EngineState
from worldsim.engine.tracking import Matched, Predicted
from worldsim.filtering.blocks import each_block
from worldsim.filtering.correct import Innovation, innovation
from worldsim.filtering.density import rows_of
from worldsim.inference import slots as slot_table
from worldsim.inference.observe import Frame
from worldsim.inference.surprise import PoseSurprise, accumulate, appearance_surprisal, pose_surprise
from worldsim.types.transfer import fetched

_MANOEUVRE, _OUT_OF_THE_BLUE = 0.1, 1e-5  # probabilities a frame
_PUSH_REACH_M = 0.5  # between hulls: somebody that near may push it, directly or through another thing


@dataclass(frozen=True, slots=True)
class Surprised:
    """Surprise of the n matched slots.

    Attributes:
        innovation, pose: of each.
        noise: [n, 6, 6] of the sensor that saw each pose.
        appearance_nats: [n] surprisal of size and look; appearance_excess_nats: minus its expectation.
    """

    innovation: Innovation
    pose: PoseSurprise
    noise: Float[Tensor, "n 6 6"]
    appearance_nats: Float[Tensor, " n"]
    appearance_excess_nats: Float[Tensor, " n"]

    @classmethod
    def cat(cls, parts: list[Surprised]) -> Surprised:
        """Stack the rows of several."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            Innovation(*(torch.cat(t) for t in zip(*(_tensors(p.innovation) for p in parts), strict=True))),
            PoseSurprise(*(torch.cat(t) for t in zip(*(_tensors(p.pose) for p in parts), strict=True))),
            torch.cat([p.noise for p in parts]),
            torch.cat([p.appearance_nats for p in parts]),
            torch.cat([p.appearance_excess_nats for p in parts]),
        )


def _tensors(value: Innovation | PoseSurprise) -> list[Tensor]:
    return [getattr(value, field.name) for field in dataclasses.fields(value)]


def surprise(state: EngineState, predicted: Predicted, matched: Matched, frame: Frame) -> Surprised:
    """Weigh each match against the prediction, before anything is corrected."""
    sensor, belief, density = state.settings.sensor, state.belief, predicted.density
    manoeuvre = _manoeuvre_probability(state, matched.rows_on_host)

    def surprised(part: slice) -> Surprised:
        slots, which = matched.rows(part), matched.which[part]
        noise = sensor.pose_noise(rows_of(frame.covariance, which))
        place, turn = rows_of(frame.position, which), rows_of(frame.orientation_xyzw, which)
        seen = innovation(density.poses(slots), place, turn, noise)
        extent = rows_of(belief.extent_m, slots)
        size_variance = rows_of(belief.extent_variance_m2, slots) + sensor.extent_variance(extent)
        look_variance = rows_of(belief.appearance_variance, slots) + sensor.appearance_variance()
        size = rows_of(frame.extent_m, which) - extent
        look = rows_of(frame.appearance, which) - rows_of(belief.appearance, slots)
        nats = appearance_surprisal(size, size_variance, look, look_variance)
        excess = 0.5 * ((size**2 / size_variance - 1.0).sum(-1) + (look**2 / look_variance - 1.0).nansum(-1))
        return Surprised(seen, pose_surprise(seen, manoeuvre[part]), noise, nats, excess)

    return Surprised.cat(each_block(len(matched.slots), state.device, state.dtype, surprised))


def _manoeuvre_probability(state: EngineState, mine: Int[np.ndarray, " n"]) -> Float[Tensor, " n"]:
    """Return how probable a jump is that no dynamics foresees: of a mover's own will, or by a mover beside it."""
    belief, models = state.belief, state.model_index
    willing = state.awake & state.library.moves[models] & ~state.passive[models]
    probability = np.where(willing[mine], _MANOEUVRE, _OUT_OF_THE_BLUE)
    movers, pushable = np.flatnonzero(willing), np.flatnonzero(state.library.moves[models[mine]] & ~willing[mine])
    if len(movers) and len(pushable):
        # by pairs that are near, not by all pairs: what it costs follows the crowding and not the square of the number
        position, radius = fetched(belief.position, 0.5 * belief.extent_m.norm(dim=-1))
        things = mine[pushable]
        row, near, distance = pairs_within(
            position[things], radius[things] + radius[movers].max() + _PUSH_REACH_M, position[movers]
        )
        gap = distance - radius[movers[near]] - radius[things[row]]
        probability[pushable[row[gap < _PUSH_REACH_M]]] = _MANOEUVRE
    return torch.as_tensor(probability, dtype=state.dtype, device=state.device)


def accumulate_surprise(
    state: EngineState, matched: Matched, surprised: Surprised, shares: Float[Tensor, "n channels"]
) -> None:
    """Feed the e-detectors of the recognised objects that are not under test, and blame the channels."""
    slots, pose = matched.rows_on_host, surprised.pose
    counts = state.ledger.settled[slots] & ~state.holding(state.trials)[slots] & ~state.broad[state.model_index[slots]]
    value = accumulate(
        state.belief.log_e_value[matched.slots], pose.log_e, torch.as_tensor(counts, device=state.device)
    )
    state.belief = slot_table.put(state.belief, matched.slots, log_e_value=value)
    state.ledger.blame(slots, *fetched(shares))


def excess_by_channel(predicted: Predicted, matched: Matched, surprised: Surprised) -> Float[Tensor, "n channels"]:
    """Return the excess surprise of each match by channel: a pose's counts as contact where something touched."""
    touching = predicted.touching[matched.slots]
    pose = surprised.pose
    none = torch.zeros_like(pose.excess_nats)
    return torch.stack(
        [
            none,
            torch.where(touching, none, pose.excess_nats),
            none,
            torch.where(touching, pose.excess_nats, none),
            surprised.appearance_excess_nats,
        ],
        dim=-1,
    )
