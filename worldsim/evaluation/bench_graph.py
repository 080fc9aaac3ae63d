"""``worldsim bench graph``: online inference of who acts on whom, beside simple rules and an oracle.

Stages: the relational-inference sets (test splits), change, strangers, unknown laws, symmetry and cost of the joint
filter (`bench_graph_nri`); springs, magnets and welds in PyBullet (`bench_graph_lab`, `bench_graph_welds`); support in
`Stacks` (`bench_graph_support`); what lies in what in `Containers` (`bench_graph_containment`); a kind that the library
lacks in `Mixed` (`bench_graph_mixed`); collisions in `Billiards` (`bench_graph_collisions`); joints (`bench_joints`).
``--stages A,B`` runs some of them. With ``--out DIR`` each is kept, and counts as long as the code that made it is
unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_graph_calibration import SceneSums
from worldsim.evaluation.bench_graph_collisions import collision_figures
from worldsim.evaluation.bench_graph_containment import containment_figures
from worldsim.evaluation.bench_graph_data import read_scenes
from worldsim.evaluation.bench_graph_lab import magnet_figures, spring_figures
from worldsim.evaluation.bench_graph_mixed import mixed_figures
from worldsim.evaluation.bench_graph_nri import (
    CLEAN_BARS,
    ECE_BARS,
    cost_figures,
    honesty_figures,
    opening_figures,
    scenes_figures,
    set_figures,
    stranger_figures,
    switch_figures,
    symmetry_figures,
)
from worldsim.evaluation.bench_graph_support import support_figures
from worldsim.evaluation.bench_graph_welds import weld_figures
from worldsim.evaluation.bench_joints import bench_joints
from worldsim.evaluation.jsonable import to_jsonable
from worldsim.evaluation.kept_stages import figures_from_json, kept

__all__ = ["bench_graph"]

_FILTER = ("worldsim/graph/joint", "worldsim/interactions", "worldsim/evaluation/nri_generator.py", "constraints.txt")
_NRI = (
    *_FILTER,
    *(f"worldsim/evaluation/bench_graph_{part}.py" for part in ("nri", "data", "scoring", "baselines", "calibration")),
    *(f"worldsim/evaluation/bench_graph_{part}.py" for part in ("opening", "cost")),
)
_WORLD = ("worldsim/simulation", "scenarios", "assets")
_LAB = (*_FILTER, *_WORLD, "worldsim/evaluation/bench_graph_lab.py", "worldsim/evaluation/bench_graph_pairs.py")
_WELDS = (
    *_WORLD,
    *(f"worldsim/evaluation/bench_graph_{part}.py" for part in ("pairs", "blows", "welds")),
    *("worldsim/graph/kinematics", "constraints.txt"),
)
_LIVE = ("worldsim", "agents", "scenarios", "assets", "constraints.txt", ":!worldsim/commands")
"""What the stages depend on, as pathspecs."""

Result = Mapping[str, object]
_Stage = tuple[tuple[str, ...], Callable[[BenchOptions], Result]]


def _plain(figures: Callable[[BenchOptions], list[Figure]]) -> Callable[[BenchOptions], Result]:
    return lambda options: {"figures": figures(options)}


def _of_set(name: str) -> Callable[[BenchOptions], Result]:
    def stage(options: BenchOptions) -> Result:
        figures, sums = set_figures(name, options)
        return {"figures": figures, "sums": to_jsonable(sums)}

    return stage


_STAGES: dict[str, _Stage] = {name: (_NRI, _of_set(name)) for name in CLEAN_BARS} | {
    "switch": (_NRI, _plain(switch_figures)),
    "strangers": (_NRI, _plain(stranger_figures)),
    "opening": (_NRI, _plain(opening_figures)),
    "symmetry": (_NRI, _plain(symmetry_figures)),
    "cost": (_NRI, _plain(cost_figures)),
    "springs": (_LAB, _plain(spring_figures)),
    "magnets": (_LAB, _plain(magnet_figures)),
    "welds": (_WELDS, _plain(weld_figures)),
    "support": (_LIVE, _plain(support_figures)),
    "containment": (_LIVE, _plain(containment_figures)),
    "mixed": (_LIVE, _plain(mixed_figures)),
    "collisions": (_LIVE, _plain(collision_figures)),
    "joints": (_LIVE, _plain(bench_joints)),
}


def bench_graph(options: BenchOptions) -> list[Figure]:
    """Return a figure for each promise about edges; with ``options.data``, the figures of that file alone."""
    if options.data is not None:
        return _one_file(options)
    figures: list[Figure] = []
    sums: dict[str, list[SceneSums]] = {label: [] for label in ECE_BARS}
    for name in options.stages_of(tuple(_STAGES)):
        options.tell(f"graph: {name}")
        sources, stage = _STAGES[name]
        seeds = None if options.seeds is None else to_jsonable(options.seeds)
        key = {"quick": options.quick, "seed": options.seed, "seeds": seeds}
        file = None if options.out is None else Path(options.out) / "stages" / f"{name}.json"
        result = kept(file, key, sources, lambda stage=stage: stage(options))  # type: ignore[misc]
        figures += figures_from_json(result["figures"])
        for label, rows in result.get("sums", {}).items():
            sums[label].append(_sums_from_json(rows))
    return [*figures, *honesty_figures(sums, options.seed)]


def _one_file(options: BenchOptions) -> list[Figure]:
    """Score one file in the format, by the bars of its family where there are any."""
    assert options.data is not None
    scenes = read_scenes(options.data)
    if options.quick:
        scenes = scenes.first(3)
    if scenes.edges_after is not None:
        return switch_figures(options, scenes)
    figures, sums = scenes_figures(scenes, options)
    return figures + honesty_figures({label: [each] for label, each in sums.items()}, options.seed)


def _sums_from_json(rows: Mapping[str, Any]) -> SceneSums:
    return SceneSums(**{name: np.asarray(part, dtype=np.float64) for name, part in rows.items()})
