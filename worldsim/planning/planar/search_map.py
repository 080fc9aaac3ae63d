"""A map for a search: how far it is to every place by the way round what stands, and from where a place is seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.planning.boxes import Boxes
from worldsim.planning.planar.visibility import sees
from worldsim.planning.planar.whereabouts import Whereabouts
from worldsim.planning.route import Obstacles, Route, find_route
from worldsim.planning.situation import OwnBody

_MARGIN_M = 0.12  # beside half the own body's width: what is believed of a place is off by a few centimetres
_CELL_M = 0.15
_MOVED_M = 0.15  # a place that has moved so far is mapped anew


@dataclass(frozen=True, slots=True)
class SearchMap:
    """Fields over the floor about K places; each is read for all candidates and steps at once.

    Attributes:
        place: [K, 2] m.
        routes: K fields of the distance that is left.
        in_view: K rasters [H, W], 1 where a place is seen from the cell's middle, aligned with `low`.
        low: [K, 2] m, middle of cell (0, 0) of each raster.
        routed: [K] whose field goes round what stands.
        obstacles: what it was made of.
    """

    place: Float[Tensor, "K 2"]
    routes: tuple[Route, ...]
    in_view: Float[Tensor, "K H W"]
    low: Float[Tensor, "K 2"]
    routed: Bool[Tensor, " K"]
    obstacles: Obstacles

    def suits(self, whereabouts: Whereabouts, obstacles: Obstacles) -> bool:
        """Return whether it is still the map of these places among these obstacles, to within noise."""
        as_far = (whereabouts.place - self.place).abs().max() < _MOVED_M
        return bool(as_far & ~(whereabouts.live & ~self.routed).any()) and self.obstacles.resembles(obstacles)

    def distance(self, k: int, points: Float[Tensor, "... 2"]) -> Float[Tensor, "..."]:
        """Return how far it is from each point to place `k`, m; from outside the field, over its edge."""
        route = self.routes[k]
        if not route.reachable:
            return route.distance_to_go(points)
        rows, columns = route.to_go_m.shape
        low = points.new_tensor(route.origin)
        inside = torch.minimum(
            torch.maximum(points, low), low + points.new_tensor([columns - 1, rows - 1]) * route.cell_m
        )
        return route.distance_to_go(inside) + (points - inside).norm(dim=-1)

    def looks(self, points: Float[Tensor, "S T 2"]) -> Float[Tensor, "S T K"]:
        """Return whether each place is in view from each point, 0 or 1."""
        count, high, wide = self.in_view.shape
        cell = ((points[:, :, None] - self.low) / _CELL_M).round().long()  # [S, T, K, 2]
        inside = (cell >= 0).all(dim=-1) & (cell[..., 0] < wide) & (cell[..., 1] < high)
        flat = cell[..., 1].clamp(0, high - 1) * wide + cell[..., 0].clamp(0, wide - 1)
        flat = flat + torch.arange(count) * (high * wide)
        return torch.where(inside, self.in_view.reshape(-1)[flat], 0.0)


def make_search_map(whereabouts: Whereabouts, obstacles: Obstacles, own: OwnBody, sight_m: float) -> SearchMap:
    """Return the map of the places of `whereabouts` for an own body whose eye sees `sight_m` far on the floor.

    Places that the thing is hardly at are taken to be as far as the crow flies: nobody will go there.
    """
    place, radius_m = whereabouts.place, 0.5 * own.extent_m[1] + _MARGIN_M
    straight = Obstacles(obstacles.hindering, obstacles.hindering)
    routes = tuple(
        find_route(obstacles if live else straight, own.position, (x, y), radius_m, _CELL_M)
        for live, (x, y) in zip(whereabouts.live.tolist(), place.tolist(), strict=True)
    )
    reach = int(sight_m / _CELL_M) + 1
    along = torch.arange(-reach, reach + 1) * _CELL_M
    ys, xs = torch.meshgrid(along, along, indexing="ij")
    about = torch.stack([xs, ys], dim=-1).reshape(1, -1, 2)
    rasters = []
    for at in place:
        seen = sees(about + at, at[None], sight_m, _near(obstacles.blocking, at, sight_m))
        rasters.append(seen.reshape(len(along), len(along)))
    return SearchMap(place, routes, torch.stack(rasters), place - reach * _CELL_M, whereabouts.live, obstacles)


def _near(boxes: Boxes, at: Float[Tensor, "2"], reach_m: float) -> Boxes:
    """Return the boxes that anything within `reach_m` of a point can be behind."""
    gap = (boxes.centre[0] - at).norm(dim=-1) - boxes.half_m.norm(dim=-1)
    return boxes.select(gap < reach_m)
