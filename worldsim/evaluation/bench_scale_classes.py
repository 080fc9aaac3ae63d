"""What classes cost: many models in one batch, uneven classes, edges that are carried on, and what others would do.

Every ratio is of medians of calls that took turns in one loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.contracts.interaction import Interaction, PairFrame
from worldsim.contracts.object_model import ObjectModel
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.scale_worlds import FRAME_S
from worldsim.evaluation.statistics import bootstrap
from worldsim.filtering.density import Density
from worldsim.filtering.library import PARAMETER_DIM, LoadedModels
from worldsim.filtering.predict import predict
from worldsim.filtering.surroundings import Surroundings
from worldsim.graph.edges import EdgeTable, Evidence, infer
from worldsim.interactions.attach import Attach
from worldsim.interactions.avoid import Avoid
from worldsim.interactions.contact import Contact
from worldsim.interactions.push import Push
from worldsim.interactions.support import Support
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

__all__ = ["class_figures"]

_CLASSES = 50
_ZIPF = 1.0  # exponent: the k-th commonest class has a share of 1 / k
_NEIGHBOURS = 4
_PLAIN_FAMILY = "person"
_WIDTH = 64  # of the networks that are compared with
_KINDS: tuple[type[Interaction], ...] = (Support, Contact, Attach, Push, Avoid)


@dataclass(frozen=True, slots=True)
class _Budget:
    rows: int
    pairwise: int
    rounds: int

    @classmethod
    def of(cls, quick: bool) -> _Budget:
        return cls(500, 100, 4) if quick else cls(10_000, 1000, 20)


def class_figures(options: BenchOptions, models: Sequence[ObjectModel], rng: np.random.Generator) -> list[Figure]:
    """Return the figures of classes, of carried edges, and of dense baselines.

    Args:
        options: of the benchmark.
        models: among which are some that give their own derivative.
        rng: of rows, classes and pairs.
    """
    budget = _Budget.of(options.quick)
    with torch.inference_mode():
        return [
            *_shared_classes(budget, models, rng),
            _carried_edges(budget, rng),
            *_dense(budget),
        ]


def _shared_classes(budget: _Budget, models: Sequence[ObjectModel], rng: np.random.Generator) -> list[Figure]:
    """Predict the same rows as one class, as 50 classes in equal shares, and as 50 in shares after Zipf."""
    able = [m for m in models if type(m).transition is not ObjectModel.transition]
    many = [type(able[k % len(able)])(able[k % len(able)].card.replace(model_id=f"bench/{k}")) for k in range(_CLASSES)]
    library = LoadedModels.of(many, torch.device("cpu"), torch.float32)
    plain = next(k for k, m in enumerate(many) if m.family == _PLAIN_FAMILY)
    share = 1.0 / np.arange(1, _CLASSES + 1) ** _ZIPF
    uniform = rng.integers(0, _CLASSES, budget.rows)
    uneven = rng.permutation(_CLASSES)[rng.choice(_CLASSES, budget.rows, p=share / share.sum())]
    one = np.full(budget.rows, plain)
    rows, width = _rows(budget.rows, rng), torch.ones(budget.rows)
    # as in the loop where nothing can be bumped into
    around = Surroundings(Control.none(rows.states.position), torch.zeros(budget.rows, 6), None)

    def ahead(index: Int[np.ndarray, " N"]) -> Callable[[], object]:
        prior = library.prior_mean[torch.as_tensor(index)]
        density = Density(rows.states, prior, rows.covariance)
        return lambda: predict(density, index, library, around, width, FRAME_S, "derivatives")

    taken = _in_turn([ahead(one), ahead(uniform), ahead(uneven)], budget.rounds)
    families = len({m.family for m in many})
    figures = []
    for words, over, under, bar in (
        (f"prediction of {budget.rows} objects in {_CLASSES} classes ({families} families) over one class of as many",
         1, 0, 1.5),
        (f"prediction of {budget.rows} objects in classes after Zipf over uniform ones", 2, 1, 1.3),
    ):  # fmt: skip
        found = bootstrap([taken[:, over] / taken[:, under]], lambda s: float(np.median(s)), rng)
        ms = {"this (ms)": float(np.median(taken[:, over])), "that (ms)": float(np.median(taken[:, under]))}
        figures.append(Figure.at_most(words, found.value, bar, n=len(taken), interval=found.interval, baselines=ms))
    return figures


def _rows(count: int, rng: np.random.Generator) -> Density:
    def drawn(width: int, scale: float) -> Float[Tensor, "N k"]:
        return torch.as_tensor(scale * rng.standard_normal((count, width)), dtype=torch.float32)

    root = drawn((TANGENT_DIM + PARAMETER_DIM) ** 2, 0.02).reshape(count, TANGENT_DIM + PARAMETER_DIM, -1)
    upright = ObjectStates.at_rest(drawn(3, 30.0), torch.full((count, 3), 0.5))
    states = ObjectStates(upright.position, upright.orientation_xyzw, drawn(3, 1.0), drawn(3, 0.2), upright.extent_m)
    return Density(states, torch.zeros(count, PARAMETER_DIM), root @ root.mT)


def _carried_edges(budget: _Budget, rng: np.random.Generator) -> Figure:
    """Time one round of edge inference, and of it what carries the log-odds on: all but the kinds' evidence."""
    states = _rows(budget.rows, rng).states
    pairs = np.unique(np.sort(rng.integers(0, budget.rows, (budget.rows * _NEIGHBOURS // 2, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    source, target = torch.as_tensor(pairs[:, 0]), torch.as_tensor(pairs[:, 1])
    std = torch.full((len(pairs),), 0.01)
    here, there = states.select(source), states.select(target)
    frame = PairFrame(here, there, here, there, std, std, FRAME_S, torch.zeros(len(pairs)))
    kinds, inside = [made() for made in _KINDS], [0.0]
    for interaction in kinds:
        interaction.log_evidence = _timed(interaction.log_evidence, inside)  # type: ignore[method-assign, assignment]
    table, whole, evidence = EdgeTable.empty(), [], []
    for _ in range(budget.rounds + 1):  # the first fills the table
        inside[0], started = 0.0, time.perf_counter()
        table = infer(table, [Evidence(kind, made, pairs, frame) for kind, made in enumerate(kinds)])
        whole.append(1e3 * (time.perf_counter() - started))
        evidence.append(1e3 * inside[0])
    taken = np.column_stack([whole, evidence])[1:]
    share = (taken[:, 0] - taken[:, 1]) / taken[:, 0]
    found = bootstrap([share], lambda s: float(np.median(s)), rng)
    ms = {"the round (ms)": float(np.median(taken[:, 0])), "its evidence (ms)": float(np.median(taken[:, 1]))}
    words = f"carrying {len(table.source)} edges of {len(kinds)} kinds on, as a share of their update"
    return Figure.at_most(words, found.value, 0.5, n=len(taken), interval=found.interval, baselines=ms)


def _timed(call: Callable[[PairFrame], Tensor], inside: list[float]) -> Callable[[PairFrame], Tensor]:
    """Return the same call, which adds the time that it takes to `inside`, s."""

    def timed(frame: PairFrame) -> Tensor:
        started = time.perf_counter()
        found = call(frame)
        inside[0] += time.perf_counter() - started
        return found

    return timed


def _dense(budget: _Budget) -> list[Figure]:
    """Time what looks at all pairs: attention, and a graph network with an edge function of the same width."""
    n = budget.pairwise
    generator = torch.Generator().manual_seed(0)
    token = torch.randn(1, 1, n, _WIDTH, generator=generator)
    first = torch.randn(2 * _WIDTH, _WIDTH, generator=generator)
    second = torch.randn(_WIDTH, _WIDTH, generator=generator)
    nodes = token[0, 0]

    def attention() -> None:
        torch.nn.functional.scaled_dot_product_attention(token, token, token)

    def graph_network() -> None:
        left, right = nodes @ first[:_WIDTH], nodes @ first[_WIDTH:]
        for start in range(0, n, 100):  # all pairs at once would not fit where there are many
            torch.relu(torch.relu(left[start : start + 100, None] + right[None]) @ second).sum(1)

    taken = np.median(_in_turn([attention, graph_network], max(budget.rounds // 4, 2)), axis=0)
    return [
        Figure.told(f"attention over all pairs of {n}, one layer of width {_WIDTH}", float(taken[0]), unit="ms"),
        Figure.told(f"a dense graph network over all pairs of {n}, one layer of width {_WIDTH}", float(taken[1]),
                    unit="ms"),
    ]  # fmt: skip


def _in_turn(calls: Sequence[Callable[[], object]], rounds: int) -> Float[np.ndarray, "T n"]:
    """Return how long each call took in each of so many rounds, ms, after one round to warm up."""
    taken = np.zeros((rounds + 1, len(calls)))
    for row in range(rounds + 1):
        for place, call in enumerate(calls):
            started = time.perf_counter()
            call()
            taken[row, place] = 1e3 * (time.perf_counter() - started)
    return taken[1:]
