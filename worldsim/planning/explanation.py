"""Explaining a choice: what each option was expected to lead to, and whether belief or value made the difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.planning.objective import Surroundings
from worldsim.planning.situation import OwnTrajectories, Situation
from worldsim.types.explanation import Attribution, BelievedThing, ImaginedOption

_STD_FLOOR_M = 0.02  # as in the objective: no position is believed better than this
_SHOWN_THINGS = 12


def attribute(advantage: Callable[[bool, bool], float]) -> Attribution:
    """Return how a change of belief and a change of value share in a change of choice.

    Source: Shapley 1953, for two players. With a(b, v) the advantage of the new choice over the old one under belief b
    and value v (0 old, 1 new), belief gets ((a(1,0) - a(0,0)) + (a(1,1) - a(0,1))) / 2, value the mirror image.

    Args:
        advantage: cost of the old choice less cost of the new one, given (new belief?, new value?).

    >>> attribute(lambda belief, value: 2.0 * belief - 1.0)
    Attribution(belief=2.0, value=0.0)
    """
    neither, both = advantage(False, False), advantage(True, True)
    belief, value = advantage(True, False), advantage(False, True)
    return Attribution(((belief - neither) + (both - value)) / 2.0, ((value - neither) + (both - belief)) / 2.0)


def believed_things(situation: Situation) -> tuple[BelievedThing, ...]:
    """Return what is believed of the things around, nearest first, a dozen at most."""
    forecast, here = situation.forecast, situation.own.position
    things = []
    span_s = max((forecast.position.shape[0] - 1) * forecast.dt_s, 1e-9)
    for n in range(len(forecast)):
        x, y, z = forecast.position[0, n].tolist()
        way = float((forecast.position[-1, n] - forecast.position[0, n]).norm())
        things.append(
            BelievedThing(
                int(forecast.object_id[n]),
                (x, y, z),
                float(forecast.position_std[0, n].square().mean().sqrt()),
                way / span_s,
                bool(forecast.moves[n]),
                math.dist(here, (x, y)),
            )
        )
    return tuple(sorted(things, key=lambda thing: thing.distance_m)[:_SHOWN_THINGS])


def imagined_options(
    names: Sequence[str], own: OwnTrajectories, around: Surroundings, terms: dict[str, Float[Tensor, " S"]]
) -> tuple[ImaginedOption, ...]:
    """Return what S options lead to, in their order.

    Args:
        names: S names.
        own: [S, T] trajectories under the options.
        around: what they run among.
        terms: expected cost of each option by term.
    """
    count = own.position.shape[0]
    end = own.position[:, -1]
    to_go: list[float | None] = [None] * count
    if around.route is not None and around.route.reachable:
        to_go = list(around.route.distance_to_go(own.position)[:, -1].tolist())
    nearest_mover: list[float | None] = [None] * count
    touch = torch.zeros(count)
    if len(around.moving):
        gap = around.gaps(own, around.moving)
        nearest_mover = list(gap.amin(dim=(1, 2)).tolist())
        touching = torch.special.ndtr(-gap / around.moving.std_m.clamp(min=_STD_FLOOR_M)).amax(dim=1)
        touch = 1.0 - (1.0 - touching).prod(dim=1)
    nearest_standing: list[float | None] = [None] * count
    if len(around.standing):
        nearest_standing = list(around.gaps(own, around.standing).amin(dim=(1, 2)).tolist())
    return tuple(
        ImaginedOption(
            name,
            {term: float(cost[s]) for term, cost in terms.items()},
            (float(end[s, 0]), float(end[s, 1])),
            to_go[s],
            nearest_mover[s],
            float(touch[s]),
            nearest_standing[s],
        )
        for s, name in enumerate(names)
    )
