"""A way through what stands: shortest paths on a grid, and the distance that is left from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from torch import Tensor

from worldsim.planning.boxes import Boxes

_MAX_CELLS = 400_000  # a field of 60 m x 60 m at 0.1 m; beyond it the grid gets coarser
_BORDER_M = 1.0  # free floor kept around everything known, so that a route may go round the outside
_NEAR_M = 0.4  # within a disc this wide about the goal, distances are straight lines
_MOVED_M, _TURNED = 0.08, 0.05  # changes of an outline below these (m, 1 - cos) do not call for a new route

# Moves to 16 neighbours (king's and knight's moves): lengths are at most 2.7 % above the straight line.
_MOVES = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2))


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What a route is planned around.

    Attributes:
        blocking: outlines that cannot be passed.
        hindering: outlines of movers at rest: passed where nothing else is left, at a price.
    """

    blocking: Boxes
    hindering: Boxes

    def resembles(self, other: Obstacles) -> bool:
        """Return whether `other` is the same to within noise."""
        return _alike(self.blocking, other.blocking) and _alike(self.hindering, other.hindering)


def _alike(a: Boxes, b: Boxes) -> bool:
    if len(a) != len(b):
        return False
    if len(a) == 0:
        return True
    moved = (a.centre[0] - b.centre[0]).abs().max() + (a.half_m - b.half_m).abs().max()
    turned = 1.0 - (a.direction * b.direction).sum(dim=-1).abs()
    return bool(moved < _MOVED_M) and bool(turned.max() < _TURNED)


@dataclass(frozen=True, slots=True)
class Route:
    """A route to a goal, and the field of remaining distance it was read from.

    "No route" is a value: `reachable` is False, the field is empty, and there are no waypoints.

    Attributes:
        goal: (x, y) m.
        reachable: whether the goal can be reached from the start.
        length_m: length of the path from the start, infinite where there is none.
        waypoints: [W, 2] m, the shortened path from start to goal, [0, 2] where there is none.
        to_go_m: [H, W] remaining distance from each cell, lengthened where the way is tight, m.
        origin: (x, y) m of the centre of cell (0, 0); rows go along y.
        cell_m: edge of a cell.
        obstacles: what it was planned around.
    """

    goal: tuple[float, float]
    reachable: bool
    length_m: float
    waypoints: Float[np.ndarray, "W 2"]
    to_go_m: Float[Tensor, "H W"]
    origin: tuple[float, float]
    cell_m: float
    obstacles: Obstacles

    def leads_to(self, goal: tuple[float, float]) -> bool:
        """Return whether this is the goal of the route, to within 2 cm."""
        return abs(goal[0] - self.goal[0]) < 0.02 and abs(goal[1] - self.goal[1]) < 0.02

    def is_clear(self, blocking: Boxes, radius_m: float) -> bool:
        """Return whether a disc can still follow the waypoints, to within a cell; False where there are none."""
        if not self.reachable:
            return False
        if len(blocking) == 0:
            return True
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.waypoints, axis=0), axis=1))])
        at = np.linspace(0.0, along[-1], max(2, int(along[-1] / self.cell_m) + 1))
        points = np.stack([np.interp(at, along, self.waypoints[:, axis]) for axis in (0, 1)], axis=1)
        # both ends may lie close to something: there the body stands already, or is asked to stand
        points = points[(_far(points, self.waypoints[0])) & (_far(points, self.waypoints[-1]))]
        gap = blocking.signed_distance(torch.from_numpy(points).float()[None])
        return bool((gap > radius_m - self.cell_m).all())

    def distance_to_go(self, position: Float[Tensor, "... 2"]) -> Float[Tensor, "..."]:
        """Return the remaining distance (m) from each position, by bilinear interpolation of the field.

        The last stretch is measured to the goal itself, to be exact there.
        """
        away = position - position.new_tensor(self.goal)
        straight = torch.hypot(away[..., 0], away[..., 1])
        if not self.reachable:
            return straight
        rows, columns = self.to_go_m.shape
        x = ((position[..., 0] - self.origin[0]) / self.cell_m).clamp(0.0, columns - 1.001)
        y = ((position[..., 1] - self.origin[1]) / self.cell_m).clamp(0.0, rows - 1.001)
        column, row = x.long(), y.long()
        fx, fy = x - column, y - row
        flat, first = self.to_go_m.view(-1), row * columns + column
        low = torch.lerp(flat[first], flat[first + 1], fx)
        high = torch.lerp(flat[first + columns], flat[first + columns + 1], fx)
        return torch.where(straight < _NEAR_M, straight, torch.lerp(low, high, fy))


def find_route(
    obstacles: Obstacles,
    start: tuple[float, float],
    goal: tuple[float, float],
    radius_m: float,
    cell_m: float = 0.125,
) -> Route:
    """Return the shortest route for a disc of `radius_m` from `start` to `goal`.

    Dijkstra's algorithm from the goal over the free cells of a grid; near obstacles the price of a cell rises, so
    that the route keeps off them where there is room. The path is then shortened to the corners that matter.
    """
    outline_points = torch.cat([_corners(obstacles.blocking), torch.tensor([start, goal], dtype=torch.float32)])
    low = outline_points.min(dim=0).values.numpy() - _BORDER_M
    size = outline_points.max(dim=0).values.numpy() + _BORDER_M - low
    cell_m = max(cell_m, float(np.sqrt(size[0] * size[1] / _MAX_CELLS)))
    shape = (int(size[1] / cell_m) + 2, int(size[0] / cell_m) + 2)
    gap = _gap_field(obstacles.blocking, low, shape, cell_m)
    free = gap > radius_m
    price = 1.0 + 2.0 * np.clip(1.0 - (gap - radius_m) / radius_m, 0.0, 1.0) ** 2
    if len(obstacles.hindering):
        slow = _gap_field(obstacles.hindering, low, shape, cell_m)
        price += 6.0 * np.clip(1.0 - (slow - radius_m) / (2 * radius_m), 0.0, 1.0)
    to_go, next_cell = _dijkstra(free, price, cell_m, np.asarray(goal) - low)
    begin = _nearest_reached(to_go, _cell_of(start, low, cell_m), radius_m / cell_m)
    if begin is None:
        return Route(goal, False, float("inf"), np.zeros((0, 2)), torch.zeros(0, 0), (0.0, 0.0), cell_m, obstacles)
    cells = _follow(next_cell, begin, shape)
    path = _shorten(cells, np.where(free, price, np.inf), to_go, cell_m) * cell_m + low
    path = np.vstack([np.asarray(start), path[1:-1], np.asarray(goal)])
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    field = torch.from_numpy(_fill(to_go, cell_m)).float().contiguous()
    return Route(goal, True, length, path, field, (float(low[0]), float(low[1])), cell_m, obstacles)


def _far(points: Float[np.ndarray, "n 2"], end: Float[np.ndarray, "2"]) -> Bool[np.ndarray, " n"]:
    return np.linalg.norm(points - end, axis=1) > _NEAR_M


def _corners(boxes: Boxes) -> Float[Tensor, "n 2"]:
    normal = torch.stack([-boxes.direction[:, 1], boxes.direction[:, 0]], dim=-1)
    along, across = boxes.direction * boxes.half_m[:, :1], normal * boxes.half_m[:, 1:]
    centre = boxes.centre[0]
    return torch.cat(
        [centre + along + across, centre + along - across, centre - along + across, centre - along - across]
    )


def _gap_field(
    boxes: Boxes, low: Float[np.ndarray, "2"], shape: tuple[int, int], cell_m: float
) -> Float[np.ndarray, "H W"]:
    """Return the distance (m) of each cell's centre to the nearest outline.

    Each box is drawn only near itself (exactly), the rest follows by the distance transform: the cost does not
    grow with boxes times cells.
    """
    occupied = np.zeros(shape, dtype=bool)
    near = np.full(shape, np.inf, dtype=np.float32)
    window_m = 0.5
    reach = boxes.half_m.norm(dim=-1).numpy() + window_m
    for n in range(len(boxes)):  # tens of boxes, each a small window
        centre = boxes.centre[0, n].numpy()
        c0, r0 = np.maximum(((centre - low - reach[n]) / cell_m).astype(int), 0)
        c1, r1 = np.maximum(((centre - low + reach[n]) / cell_m).astype(int) + 2, 0)
        rows, columns = np.arange(r0, min(r1, shape[0])), np.arange(c0, min(c1, shape[1]))
        if rows.size == 0 or columns.size == 0:
            continue
        x = low[0] + columns[None, :] * cell_m - centre[0]
        y = low[1] + rows[:, None] * cell_m - centre[1]
        dx, dy = boxes.direction[n].tolist()
        along = np.abs(x * dx + y * dy) - float(boxes.half_m[n, 0])
        across = np.abs(y * dx - x * dy) - float(boxes.half_m[n, 1])
        distance = np.hypot(np.maximum(along, 0), np.maximum(across, 0)) + np.minimum(np.maximum(along, across), 0)
        window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        near[window] = np.minimum(near[window], distance)
        occupied[window] |= distance <= cell_m / 2
    if not occupied.any():
        return near
    far = ndimage.distance_transform_edt(~occupied) * cell_m
    return np.where(near < window_m, near, np.minimum(near, far)).astype(np.float32)


def _cell_of(point: tuple[float, float], low: Float[np.ndarray, "2"], cell_m: float) -> tuple[int, int]:
    column, row = np.rint((np.asarray(point) - low) / cell_m).astype(int)
    return int(row), int(column)


@lru_cache(maxsize=8)
def _grid_moves(shape: tuple[int, int]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return source cells, target cells and lengths (in cells) of all moves of a grid, each once."""
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    sources, targets, lengths = [], [], []
    for dr, dc in _MOVES:
        rows = slice(0, shape[0] - dr)
        left, right = (slice(0, shape[1] - dc), slice(dc, None)) if dc >= 0 else (slice(-dc, None), slice(0, dc))
        sources.append(index[rows, left].ravel())
        targets.append(index[dr:, right].ravel())
        lengths.append(np.full(sources[-1].size, np.hypot(dr, dc)))
    return np.concatenate(sources), np.concatenate(targets), np.concatenate(lengths)


def _dijkstra(
    free: Bool[np.ndarray, "H W"],
    price: Float[np.ndarray, "H W"],
    cell_m: float,
    goal_offset: Float[np.ndarray, "2"],
) -> tuple[Float[np.ndarray, "H W"], Int[np.ndarray, "H W"]]:
    """Return the priced distance of each cell to the goal (inf where blocked), and the next cell on the way there."""
    shape = free.shape
    source, target, length = _grid_moves(shape)
    # A knight's move crosses the two cells between; asking both ends of free cells leaves corners of half a cell.
    open_move = free.ravel()[source] & free.ravel()[target]
    source, target, length = source[open_move], target[open_move], length[open_move]
    flat_price = price.ravel()
    weight = length * cell_m * 0.5 * (flat_price[source] + flat_price[target])
    # The goal is a node of its own, tied by straight lines to the cells about it (also when it lies close to an
    # obstacle, as the place in front of a parcel does).
    rows, columns = np.indices(shape)
    straight = np.hypot(columns * cell_m - goal_offset[0], rows * cell_m - goal_offset[1])
    tied = np.flatnonzero(((straight < _NEAR_M) & free).ravel())
    node = free.size
    source = np.concatenate([source, np.full(tied.size, node)])
    target = np.concatenate([target, tied])
    weight = np.concatenate([weight, straight.ravel()[tied] + 1e-6])
    graph = sparse.coo_array((weight, (source, target)), shape=(node + 1, node + 1)).tocsr()
    distance, before = csgraph.dijkstra(graph, directed=False, indices=node, return_predecessors=True)
    return distance[:node].reshape(shape), before[:node].reshape(shape)


def _nearest_reached(
    to_go: Float[np.ndarray, "H W"], cell: tuple[int, int], reach_cells: float
) -> tuple[int, int] | None:
    """Return the reached cell nearest to `cell`, None where none lies within `reach_cells` (or three cells)."""
    rows, columns = np.nonzero(np.isfinite(to_go))
    if rows.size == 0:
        return None
    away = np.hypot(rows - cell[0], columns - cell[1])
    best = int(away.argmin())
    return (int(rows[best]), int(columns[best])) if away[best] <= max(reach_cells, 3.0) else None


def _follow(
    next_cell: Int[np.ndarray, "H W"], begin: tuple[int, int], shape: tuple[int, int]
) -> Int[np.ndarray, "n 2"]:
    """Return the (column, row) cells from `begin` to the goal."""
    flat, at, end = next_cell.ravel(), begin[0] * shape[1] + begin[1], shape[0] * shape[1]
    cells = []
    while 0 <= at < end:
        cells.append((at % shape[1], at // shape[1]))
        at = int(flat[at])
    return np.asarray(cells)


def _shorten(
    cells: Int[np.ndarray, "n 2"], price: Float[np.ndarray, "H W"], to_go: Float[np.ndarray, "H W"], cell_m: float
) -> Float[np.ndarray, "W 2"]:
    """Pull the string tight: keep only cells beyond which a straight line would be blocked, or dearer than the path."""
    kept, anchor = [cells[0]], 0
    while anchor < len(cells) - 1:
        low, high = anchor + 1, len(cells) - 1
        while low < high:  # bisection: what ends a straight stretch mostly stays ended along a shortest path
            middle = (low + high + 1) // 2
            straight = _straight_cost(cells[anchor], cells[middle], price) * cell_m
            along = to_go[tuple(cells[anchor][::-1])] - to_go[tuple(cells[middle][::-1])]
            low, high = (middle, high) if straight <= along + cell_m else (low, middle - 1)
        anchor = low
        kept.append(cells[anchor])
    if len(kept) == 1:
        kept.append(cells[-1])
    return np.asarray(kept, dtype=np.float64)


def _straight_cost(a: Int[np.ndarray, "2"], b: Int[np.ndarray, "2"], price: Float[np.ndarray, "H W"]) -> float:
    steps = 2 * int(np.abs(b - a).max()) + 1
    line = np.rint(np.linspace(a, b, steps)).astype(int)
    return float(price[line[:, 1], line[:, 0]].mean() * np.linalg.norm(b - a))


def _fill(to_go: Float[np.ndarray, "H W"], cell_m: float) -> Float[np.ndarray, "H W"]:
    """Give unreached cells the nearest reached cell's distance plus four times the way to it, so that they repel."""
    unreached = ~np.isfinite(to_go)
    away, (rows, columns) = ndimage.distance_transform_edt(unreached, return_indices=True)
    return np.where(unreached, to_go[rows, columns] + 4.0 * away * cell_m, to_go)
