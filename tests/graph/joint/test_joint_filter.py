"""The joint graph filter: right edges from few frames, whatever the order, orientation or number of the bodies."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from worldsim.errors import ConfigurationError, ObservationError
from worldsim.graph.joint import JointGraphFilter, JointSettings, Slots, all_pairs, grouped_pairs, nearest
from worldsim.graph.joint.paths import frame_rules
from worldsim.graph.joint.slots import Pairs
from worldsim.graph.joint.states import Sites, enumerate_states
from worldsim.interactions.charge import Charge
from worldsim.interactions.spring import Spring
from worldsim.interactions.weld import Weld

DT_S, STEPS = 0.1, 100


def _simulate(
    edges: np.ndarray, frames: int, seed: int, change: np.ndarray | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return positions and velocities [T, n, 2] of unit masses under springs, semi-implicit steps of 1 ms."""
    rng = np.random.default_rng(seed)
    place = rng.normal(0.0, 0.5, (len(edges), 2))
    velocity = rng.normal(0.0, 0.4, (len(edges), 2))
    places, velocities = [place], [velocity]
    for frame in range(frames - 1):
        now = edges if change is None or frame < frames // 2 else change
        for _ in range(STEPS):
            velocity = velocity + 1e-3 * (now[..., None] * (place[None] - place[:, None])).sum(1)
            place = place + 1e-3 * velocity
        places.append(place)
        velocities.append(velocity)
    return torch.tensor(np.array(places)), torch.tensor(np.array(velocities))


def _springs(size: int, seed: int, strength: float = 0.1) -> np.ndarray:
    lower = np.tril(np.random.default_rng(seed).integers(0, 2, (size, size)), -1)
    return strength * (lower + lower.T).astype(float)


def _probability(place: torch.Tensor, velocity: torch.Tensor, **rest: object) -> torch.Tensor:
    graph = JointGraphFilter([Spring()], settings=JointSettings(substep_s=1e-3), **rest)  # type: ignore[arg-type]
    for p, v in zip(place, velocity, strict=True):
        graph.assimilate(p, v, DT_S)
    return graph.posterior().dense(place.shape[1], 1)[0, :, :, 0, 1]


def test_four_frames_without_noise_give_every_spring_of_five_balls() -> None:
    edges = _springs(5, 1)
    p = _probability(*_simulate(edges, 4, 2))
    assert ((p > 0.5).numpy() == (edges > 0)).all()


def test_the_strength_is_recovered_within_its_interval() -> None:
    edges = _springs(5, 3, strength=0.23)
    graph = JointGraphFilter([Spring()], settings=JointSettings(substep_s=1e-3))
    for p, v in zip(*_simulate(edges, 10, 4), strict=True):
        posterior = graph.observe(p, v, DT_S)
    there = posterior.probability[..., 0] > 0.5
    # 1e-5 of noise-free data is far above rounding and far below what a wrong integrator step would give (1e-2)
    assert torch.allclose(posterior.strength[..., 0][there], torch.tensor(0.23, dtype=torch.float64), rtol=1e-5)


def test_renaming_bodies_or_turning_the_world_changes_no_probability() -> None:
    place, velocity = _simulate(_springs(5, 5), 5, 6)
    rng = torch.Generator().manual_seed(0)
    place = place + 1e-3 * torch.randn(place.shape, generator=rng, dtype=torch.float64)
    velocity = velocity + 1e-3 * torch.randn(place.shape, generator=rng, dtype=torch.float64)
    plain = _probability(place, velocity)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(_probability(place[:, order], velocity[:, order]), plain[order][:, order], atol=1e-6)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    assert torch.allclose(_probability(place @ turn.T, velocity @ turn.T), plain, atol=1e-6)


def test_a_redrawn_graph_is_noticed_within_eight_frames() -> None:
    before, after = _springs(5, 7, 1.0), _springs(5, 8, 1.0)
    place, velocity = _simulate(before, 40, 9, change=after)
    rng = torch.Generator().manual_seed(1)
    shake = 1e-3 * torch.randn((2, *place.shape), generator=rng, dtype=torch.float64)
    graph = JointGraphFilter([Spring()], settings=JointSettings(substep_s=1e-3))
    right = []
    for frame in range(20 + 9):  # interval 20 to 21 is the first under the new graph
        posterior = graph.observe(place[frame] + shake[0, frame], velocity[frame] + shake[1, frame], DT_S)
        p = posterior.dense(5, 1)[0, :, :, 0, 1]
        right.append([float(((p > 0.5).numpy() == (edges > 0)).mean()) for edges in (before, after)])
    assert right[20][0] == 1.0
    assert right[28][1] == 1.0


def test_charges_of_both_signs_are_told_apart() -> None:
    charge = np.array([1.0, -1.0, 1.0, 1.0])
    place = np.array([[0.0, 0.0], [1.5, 0.2], [0.3, 1.8], [-1.6, -0.4]])
    velocity = np.random.default_rng(0).normal(0.0, 0.3, (4, 2))
    graph = JointGraphFilter([Charge()], settings=JointSettings(substep_s=1e-3))
    for _ in range(6):
        posterior = graph.observe(torch.tensor(place), torch.tensor(velocity), DT_S)
        for _ in range(STEPS):
            apart = place[:, None] - place[None]
            distance = np.linalg.norm(apart, axis=-1) + np.eye(4)
            force = (np.outer(charge, charge) * (1 - np.eye(4)) / distance**3)[..., None] * apart
            velocity = velocity + 1e-3 * force.sum(1)
            place = place + 1e-3 * velocity
    state = posterior.dense(4, 1)[0, :, :, 0].argmax(-1).numpy()
    wanted = np.where(np.outer(charge, charge) > 0, 1, 2)
    off = ~np.eye(4, dtype=bool)
    assert (state[off] == wanted[off]).all()


def test_enumeration_agrees_with_brute_force() -> None:
    rng = torch.Generator().manual_seed(2)
    root = torch.randn(1, 3, 3, generator=rng, dtype=torch.float64)
    precision, information = root @ root.mT * 10.0, torch.randn(1, 3, generator=rng, dtype=torch.float64) * 5.0
    mean = torch.tensor([[[0.0, 0.5]] * 3], dtype=torch.float64)
    variance = torch.tensor([[[0.01, 0.04]] * 3], dtype=torch.float64)
    prior = torch.log(torch.tensor([[[0.7, 0.3]] * 3], dtype=torch.float64))
    found = enumerate_states(precision, information, Sites(prior, mean, variance), 8)
    weights = {}
    for states in itertools.product((0, 1), repeat=3):
        m = torch.stack([mean[0, k, z] for k, z in enumerate(states)])
        v = torch.stack([variance[0, k, z] for k, z in enumerate(states)])
        total = precision[0] + torch.diag(1 / v)
        told = information[0] + m / v
        log_z = 0.5 * (told @ torch.linalg.solve(total, told) - (m * m / v).sum() - torch.logdet(total) - v.log().sum())
        weights[states] = float(log_z + sum(prior[0, k, z] for k, z in enumerate(states)))
    highest = max(weights.values())
    total_mass = sum(math.exp(w - highest) for w in weights.values())
    for slot in range(3):
        mass = sum(math.exp(w - highest) for s, w in weights.items() if s[slot] == 1) / total_mass
        assert float(found.log_weight[0, slot, 1].exp()) == pytest.approx(mass, rel=1e-9)


def test_frame_rules_reproduce_the_engines_own_sums() -> None:
    position, velocity = frame_rules(DT_S, 1e-3)
    nodes = np.array([0.0, 0.1726731646460114, 0.5, 0.8273268353539886, 1.0])
    t = np.arange(STEPS) / STEPS
    for power in range(5):  # exact by construction, to rounding
        assert np.dot(velocity, nodes**power) == pytest.approx((1e-3 * t**power).sum(), rel=1e-12)
        assert np.dot(position, nodes**power) == pytest.approx((1e-3 * DT_S * (1 - t) * t**power).sum(), rel=1e-12)


def test_slots_know_both_ends_of_each_edge() -> None:
    place = torch.rand(40, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    slots = nearest(place, 5)
    node = torch.arange(40)[:, None].expand_as(slots.neighbour)
    back = slots.neighbour.flatten()[slots.reverse]
    assert bool((back[slots.mutual] == node[slots.mutual]).all())
    assert bool((slots.reverse[slots.mutual] // 5 == slots.neighbour[slots.mutual]).all())


def test_a_kept_edge_stays_a_candidate_at_any_distance() -> None:
    place = torch.arange(20, dtype=torch.float64)[:, None].repeat(1, 2)
    slots = nearest(place, 3, keep=(torch.tensor([0, 19]), torch.tensor([19, 0])))
    assert 19 in slots.neighbour[0].tolist()
    assert bool(slots.mutual[0, slots.neighbour[0].tolist().index(19)])


def test_pairs_are_numbered_once_within_each_scene() -> None:
    slots = grouped_pairs(3, 4)
    pairs = Pairs.of(slots, torch.arange(3).repeat_interleave(4), 3)
    assert pairs.used.shape == (3, 6)
    assert bool(pairs.used.all())
    assert sorted(torch.bincount(pairs.index[:4].flatten()).tolist()) == [2] * 6


def test_the_graph_lists_each_pair_once_with_its_probability() -> None:
    edges = _springs(4, 11)
    graph = JointGraphFilter([Spring()], settings=JointSettings(substep_s=1e-3))
    for p, v in zip(*_simulate(edges, 6, 12), strict=True):
        posterior = graph.observe(p, v, DT_S)
    listed = posterior.graph(threshold=0.5)
    assert len(listed) == int((edges > 0).sum() / 2)
    assert bool((listed.source < listed.target).all())


def test_what_cannot_work_is_refused_with_advice() -> None:
    with pytest.raises(ConfigurationError, match="distinct kinds"):
        JointGraphFilter([Spring(), Spring()])
    with pytest.raises(ConfigurationError, match=r"\['weld'\] are kinds without a law of force"):
        JointGraphFilter([Weld()])  # type: ignore[list-item]
    with pytest.raises(ObservationError, match="positions are of type ndarray, expected a tensor"):
        JointGraphFilter([Spring()]).assimilate(np.zeros((3, 2)), np.zeros((3, 2)), DT_S)  # type: ignore[arg-type]
    with pytest.raises(ObservationError, match="of one node or more"):
        JointGraphFilter([Spring()]).assimilate(torch.zeros(0, 2), torch.zeros(0, 2), DT_S)
    with pytest.raises(ConfigurationError, match="run_lengths"):
        JointSettings(run_lengths=0)
    graph = JointGraphFilter([Spring()])
    with pytest.raises(ObservationError, match="no frame was observed"):
        graph.posterior()
    graph.assimilate(torch.zeros(3, 2), torch.zeros(3, 2), DT_S)
    with pytest.raises(ObservationError, match="expected both"):
        graph.assimilate(torch.zeros(4, 2), torch.zeros(4, 2), DT_S)
    with pytest.raises(ObservationError, match="dt_s is 0"):
        graph.assimilate(torch.zeros(3, 2), torch.zeros(3, 2), 0.0)


def test_all_pairs_keeps_scenes_apart() -> None:
    slots: Slots = all_pairs(torch.tensor([0, 0, 1, 1, 1]))
    assert slots.neighbour[0][slots.used[0]].tolist() == [1]
    assert sorted(slots.neighbour[3][slots.used[3]].tolist()) == [2, 4]


def test_slots_that_nobody_fills_say_nothing():
    """A padded table of slots holds the same scene, and neither its prior nor its tilt is written over."""
    edges = np.zeros((3, 3))
    edges[0, 1] = edges[1, 0] = 0.1
    places, velocities = _simulate(edges, 4, 3)
    noise = 1e-2 * torch.from_numpy(np.random.default_rng(7).standard_normal((2, 4, 3, 2)))
    found = []
    for width in (2, 4):
        slots = nearest(places[0], width)
        graph = JointGraphFilter([Spring()], settings=JointSettings(substep_s=1e-3), slots=slots)
        for place, velocity in zip(places + noise[0], velocities + noise[1], strict=True):
            graph.assimilate(place, velocity, DT_S)
        posterior = graph.posterior()
        filled = graph.slots.used
        found.append([posterior.probability[filled], posterior.strength[filled]])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


def test_what_is_told_of_coefficients_reaches_those_alone_that_a_slot_speaks_of():
    slots, group = (
        nearest(torch.randn(3, 2, generator=torch.Generator().manual_seed(0)), 4),
        torch.zeros(3, dtype=torch.int64),
    )
    pairs = Pairs.of(slots, group, 1)
    number = pairs.index.double()
    told = torch.where(slots.used, number + 1.0, 99.0)
    assert pairs.spread(told, group, 0.0).tolist() == [[1.0, 2.0, 3.0]]
