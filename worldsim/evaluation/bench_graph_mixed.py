"""`Mixed`: six kinds of interaction at once, one of which the library does not know. Is it opened as a new one?

The sensor gives the places of the balls alone, at 60 Hz, with a noise of 0.5 mm in each direction; which ball is which
is known, and so are masses and radii (from the cards) and the fence. What a `BondFilter` finds welded is merged into
one body. The forces between the bodies that are left are read with a radial basis, and only what no law of the library
explains opens a kind (`worldsim.graph.unexplained`). The library is a list of plug-ins, and that of the withheld kind
is not in it: magnets in every other scene, springs in the others. In another look at each scene nothing is withheld.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from worldsim.contracts.radial_basis import POWERS
from worldsim.contracts.scenario import Scenario
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_graph_blows import blow_directions
from worldsim.evaluation.bench_graph_lab import SETTINGS
from worldsim.evaluation.bench_graph_pairs import LAUNCH_FRAMES, RATE_HZ, Play, struck_frames
from worldsim.evaluation.bench_joints import exact_share
from worldsim.evaluation.statistics import bootstrap
from worldsim.graph.joint import ForceLaw, JointGraphFilter
from worldsim.graph.joint.opening import open_kinds, pair_laws
from worldsim.graph.kinematics.bonds import BondFilter
from worldsim.graph.unexplained import NOVEL, Explained, explain, law_in_basis, opened_laws
from worldsim.interactions.charge import Charge
from worldsim.interactions.radial import RadialPower
from worldsim.interactions.spring import Spring
from worldsim.plugins import load_plugin
from worldsim.simulation.bullet import BulletPhysics

__all__ = ["mixed_figures"]

SENSOR_STD_M = 5e-4
SEEDS, QUICK_SEEDS = range(1000, 1030), range(2)
SECONDS = 6.0
OPENED_BAR = 0.9
LIBRARY: dict[str, type[Spring] | type[Charge]] = {"spring": Spring, "magnet": Charge}
"""What the simulator calls a force -> the plug-in that knows it."""
RULE_M = 0.45
"""The simple rule: two that are as near as this at half of the time act on each other."""
_NOISE_BANK_M = (2.5e-4, 5e-4, 1e-3)

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class MixedScene:
    """The table of one scene, and who acts on whom there.

    Attributes:
        play: of the balls; its strengths are not filled in.
        forces: what the simulator calls the force -> pairs of balls, the smaller number first.
    """

    play: Play
    forces: dict[str, frozenset[Pair]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the motion of one scene tells of the forces in it, law unknown.

    Attributes:
        bodies: balls of each body that is left after merging what is welded.
        pairs: of bodies; mean, covariance: [P, Q] and [P, Q, Q] of each pair's coefficients.
        precision, information: likelihood of all coefficients.
        distance_m: at which pairs were seen, [n].
        typical_m: [P] median distance of each pair.
    """

    bodies: tuple[tuple[int, ...], ...]
    pairs: tuple[Pair, ...]
    mean: Float[torch.Tensor, "P Q"]
    covariance: Float[torch.Tensor, "P Q Q"]
    precision: Float[torch.Tensor, "d d"]
    information: Float[torch.Tensor, " d"]
    distance_m: Float[torch.Tensor, " n"]
    typical_m: Float[np.ndarray, " P"]

    def of_balls(self, pairs: frozenset[Pair]) -> frozenset[Pair]:
        """Return pairs of balls as pairs of bodies, those within one body left out."""
        owner = {ball: number for number, balls in enumerate(self.bodies) for ball in balls}
        found = ((owner[a], owner[b]) for a, b in pairs)
        return frozenset((min(a, b), max(a, b)) for a, b in found if a != b)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was made of one scene with one kind withheld (or none).

    Attributes:
        opened: kinds that were opened.
        right: pairs of bodies whose explanation is right (nothing, the known law, or the new kind); pairs: of how many.
        by_rule: pairs right by the simple rule, which knows only of acting and not acting.
        is_the_withheld: one kind was opened, most of its pairs are withheld ones, and it has most of those.
        law_error: relative error of the new kind's law over the distances seen, NaN where it is not the withheld one.
        without_library: kinds that are opened where the library is empty.
    """

    opened: int
    right: int
    pairs: int
    by_rule: int
    is_the_withheld: bool
    law_error: float
    without_library: int


def mixed_figures(options: BenchOptions) -> list[Figure]:
    """Return in how many scenes the withheld kind is opened, and in how many one is opened where none is withheld."""
    torch.set_num_threads(1)
    withheld, whole = [], []
    for number, seed in enumerate(options.seeds_or(SEEDS, QUICK_SEEDS)):
        options.tell(f"graph: mixed, seed {seed}")
        scene = play_mixed(seed, round(SECONDS * RATE_HZ))
        reading = read(scene.play, np.random.default_rng([options.seed, seed]))
        kind = ("magnet", "spring")[number % 2]
        withheld.append(judged(scene, reading, kind))
        whole.append(judged(scene, reading, None))
    return _figures(withheld, whole, np.random.default_rng(options.seed))


def play_mixed(seed: int, frames: int) -> MixedScene:
    """Return the table of `Mixed` over so many frames."""
    made = load_plugin("worldsim.scenarios", "Mixed", Scenario)  # type: ignore[type-abstract]
    physics = BulletPhysics(frame_s=1.0 / RATE_HZ)
    try:
        physics.reset(made(), seed)
        specs = {spec.name: spec for spec in physics.specs}
        balls = [name for name in specs if name.startswith("ball_")]
        tied = physics.truth().forces
        for _ in range(LAUNCH_FRAMES):
            physics.step_unseen()
        places = []
        for _ in range(frames):
            places.append([physics.state(name)[0][:2] for name in balls])
            physics.step_unseen()
    finally:
        physics.close()
    forces: dict[str, set[Pair]] = {}
    for first, second, kind, _ in tied:
        i, j = sorted((balls.index(first), balls.index(second)))
        forces.setdefault(kind, set()).add((i, j))
    walls = [spec for name, spec in specs.items() if name.startswith("fence_")]
    inner = [min(abs(w.position[axis]) - w.extent_m[axis] / 2.0 for w in walls if w.position[axis]) for axis in (0, 1)]
    count = len(balls)
    mass, radius = ([of(specs[name]) for name in balls] for of in (lambda s: s.mass_kg, lambda s: s.extent_m[0] / 2.0))
    nobody = np.zeros((frames, count, count), dtype=bool)
    play = Play(np.array(places), np.array(mass), np.array(radius), np.zeros((count, count)), np.array(inner), nobody)
    return MixedScene(play, {kind: frozenset(pairs) for kind, pairs in forces.items()})


def read(scene: Play, rng: np.random.Generator) -> Reading:
    """Return what a noisy sensor's places tell of the forces: welds first, then the rest with the radial basis."""
    seen = scene.position + SENSOR_STD_M * rng.standard_normal(scene.position.shape)
    bodies = _merged(seen, scene)
    mass = scene.mass_kg
    place = np.stack([np.average(seen[:, b], axis=1, weights=mass[list(b)]) for b in map(list, bodies)], axis=1)
    speed = np.diff(seen, axis=0, prepend=seen[:1]) * RATE_HZ
    touched = struck_frames(seen, speed, scene)
    struck = torch.from_numpy(np.stack([touched[:, list(b)].any(axis=1) for b in bodies], axis=1))
    heavy = torch.tensor([1.0 / mass[list(b)].sum() for b in bodies], dtype=torch.float64)
    settings = replace(SETTINGS, noise_bank_m=_NOISE_BANK_M, run_lengths=1)
    graph = JointGraphFilter([RadialPower(power) for power in POWERS], settings=settings, inverse_mass=heavy)
    shown = torch.from_numpy(place)
    for frame in range(1, len(shown)):
        graph.assimilate(shown[frame], (shown[frame] - shown[frame - 1]) * RATE_HZ, 1.0 / RATE_HZ, struck[frame])
    precision, information = (part[0] for part in graph.scene_likelihood())
    first, second = np.triu_indices(len(bodies), 1)
    apart = np.linalg.norm(place[:, first] - place[:, second], axis=-1)
    distance = torch.from_numpy(np.quantile(apart, np.linspace(0.02, 0.98, 49)))
    mean, covariance = pair_laws(precision, information, len(POWERS))
    pairs = tuple(zip(first.tolist(), second.tolist(), strict=True))
    return Reading(bodies, pairs, mean, covariance, precision, information, distance, np.median(apart, axis=0))


def _merged(seen: Float[np.ndarray, "T n 2"], scene: Play) -> tuple[tuple[int, ...], ...]:
    """Return the balls of each body, those that are found welded at the end together."""
    count = len(scene.mass_kg)
    first, second = np.triu_indices(count, 1)
    blows = torch.from_numpy(blow_directions(seen, scene)[:, first, second])
    bonds = BondFilter(torch.from_numpy(1.0 / scene.mass_kg[first] + 1.0 / scene.mass_kg[second]))
    for apart, hit in zip(torch.from_numpy(seen[:, second] - seen[:, first]), blows, strict=True):
        bonds.observe(apart, SENSOR_STD_M * np.sqrt(2.0), 1.0 / RATE_HZ, hit)
    label = np.arange(count)
    for pair in np.flatnonzero(bonds.probability.numpy() > 0.5):
        label[label == label[second[pair]]] = label[first[pair]]
    return tuple(tuple(np.flatnonzero(label == each).tolist()) for each in np.unique(label))


def judged(scene: MixedScene, reading: Reading, withheld: str | None) -> Verdict:
    """Explain a scene with a library that lacks `withheld`, and compare with what acts in it."""
    names = [name for name in LIBRARY if name != withheld]
    laws: list[ForceLaw] = [LIBRARY[name]() for name in names]
    found = explain(reading.mean, reading.covariance, laws, reading.distance_m)
    there = {kind: reading.of_balls(pairs) for kind, pairs in scene.forces.items() if kind != "weld"}
    acting = frozenset().union(*there.values())
    right = sum(_said(found, row, names) == _true(pair, there, withheld) for row, pair in enumerate(reading.pairs))
    near = (reading.typical_m < RULE_M).tolist()
    by_rule = sum(said == (pair in acting) for said, pair in zip(near, reading.pairs, strict=True))
    new = [{reading.pairs[r] for r in _rows(found.opened.assignment == k)} for k in range(len(found.opened.pairs))]
    hidden = there.get(withheld, frozenset()) if withheld is not None else frozenset()
    one = len(new) == 1 and 2 * len(new[0] & hidden) > max(len(new[0]), len(hidden))
    learned = opened_laws(found, laws, reading.distance_m, reading.precision, reading.information)
    error = _law_error(learned, reading, withheld)
    alone = len(open_kinds(reading.mean, reading.covariance).pairs)
    return Verdict(len(new), right, len(reading.pairs), by_rule, one, error if one else np.nan, alone)


def _said(found: Explained, row: int, names: Sequence[str]) -> str:
    law = int(found.law[row])
    if law == NOVEL:
        return "new" if int(found.opened.assignment[row]) == 0 else "nothing"
    return names[law] if law >= 0 else "nothing"


def _true(pair: Pair, there: dict[str, frozenset[Pair]], withheld: str | None) -> str:
    kind = next((kind for kind, pairs in there.items() if pair in pairs), "nothing")
    return "new" if kind == withheld else kind


def _rows(mask: Bool[torch.Tensor, " P"]) -> list[int]:
    return [int(row) for row in mask.nonzero()[:, 0]]


def _law_error(laws: Float[torch.Tensor, "Z Q"], reading: Reading, withheld: str | None) -> float:
    """Return how far the first opened law is from the withheld one's at its best strength, over the distances seen."""
    if withheld is None or len(laws) == 0:
        return float("nan")
    basis = torch.stack([reading.distance_m**power for power in POWERS], -1)
    learned = basis @ laws[0]
    shape = basis @ law_in_basis(LIBRARY[withheld](), reading.distance_m)
    true = shape * (shape @ learned) / (shape @ shape)
    return float(((learned - true).square().mean() / true.square().mean()).sqrt())


def _figures(withheld: list[Verdict], whole: list[Verdict], rng: np.random.Generator) -> list[Figure]:
    n = len(withheld)
    opened = sum(each.is_the_withheld for each in withheld)
    alone = sum(each.without_library == 1 for each in withheld)
    told = {"one kind is opened where the library is empty": alone / n}
    rest = {"interval": exact_share(opened, n), "n": n, "baselines": told}
    words = f"Mixed, 60 Hz, noise 0.5 mm, {SECONDS:g} s: scenes in which the withheld kind, and no other, is opened"
    figures = [Figure.at_least(words, opened / n, OPENED_BAR, **rest)]
    false = sum(each.opened > 0 for each in whole)
    words = "Mixed: scenes in which a kind is opened though none is withheld"
    figures.append(Figure.at_most(words, false / n, 0.1, interval=exact_share(false, n), n=n))
    for words, verdicts in (("one kind withheld", withheld), ("none withheld", whole)):
        share = bootstrap([np.array([v.right / v.pairs for v in verdicts])], lambda s: float(np.mean(s)), rng)
        told = {"proximity (acting or not)": float(np.mean([v.by_rule / v.pairs for v in verdicts]))}
        name = f"Mixed, {words}: pairs of bodies explained rightly"
        figures.append(Figure.told(name, share.value, interval=share.interval, n=n, baselines=told))
    errors = np.array([v.law_error for v in withheld if np.isfinite(v.law_error)])
    if len(errors):
        error = bootstrap([errors], lambda sample: float(np.median(sample)), rng)
        name = "Mixed: relative error of the law of the kind that was opened, its strength aside, median"
        figures.append(Figure.told(name, error.value, interval=error.interval, n=error.n))
    return figures
