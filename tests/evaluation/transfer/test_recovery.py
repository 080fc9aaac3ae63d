"""Recovery on simulated tosses: what is drawn, what is seen of it, and that a few tosses sharpen the belief."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.protocol_r import windows
from worldsim.evaluation.transfer.recovery import Recovery, recover, restitution_of, simulated_tosses, transfer_recovery
from worldsim.inference.identification import CUBE_PRIORS, Identifier

NATURAL = np.array([[prior.mean for prior in CUBE_PRIORS]])


def test_a_damped_spring_gives_back_what_its_damping_leaves() -> None:
    found = restitution_of(np.array([0.0, 0.2, 1.0, 3.0]))
    assert found[0] == 1.0
    assert found[1] == pytest.approx(np.exp(-np.pi * 0.2 / np.sqrt(0.96)))
    assert found[2:].max() < 1e-6


def test_simulated_tosses_come_to_rest_on_a_side_and_look_like_recordings() -> None:
    identifier = Identifier()
    tosses = simulated_tosses(NATURAL, 6, identifier, np.random.default_rng(0))
    falling = np.diff(tosses.linear_velocity[:8, :, 2], axis=0) * tosses.rate_hz
    assert np.median(falling) == pytest.approx(-9.81, abs=2.0)  # noise of 0.03 mm, twice differenced
    assert tosses.position[-1, :, 2].min() > 0.04
    assert windows(tosses, identifier.horizons[-1], 12, 4).position.shape[1] >= 6


def test_a_few_tosses_narrow_the_belief_about_friction_and_runs_do_not_hear_each_other() -> None:
    identifier = Identifier(particles=48)
    together = recover(identifier, [3, 4])
    alone = recover(identifier, [4])
    assert together[1].truth == alone[0].truth
    for name, found in alone[0].believed.items():
        assert together[1].believed[name] == pytest.approx(found, rel=1e-3)  # batches of another size round otherwise
    for run in together:
        (_, low, high), (_, before_low, before_high) = run.believed["friction"], run.prior["friction"]
        assert high - low < 0.9 * (before_high - before_low)


def test_an_interval_holds_what_lies_in_it() -> None:
    run = Recovery({"friction": 0.2}, {"friction": (0.25, 0.2, 0.3)}, {}, {})
    assert run.holds("friction")
    assert not Recovery({"friction": 0.19}, run.believed, {}, {}).holds("friction")


@pytest.mark.slow
def test_the_command_tells_a_coverage_for_each_parameter() -> None:
    figures = transfer_recovery(BenchOptions(seeds=range(2)))
    covered = [figure for figure in figures if figure.bar is not None]
    assert [figure.name.split(" of ")[2].split(" after")[0] for figure in covered] == [
        "friction",
        "restitution",
        "edge_m",
    ]
    assert all(figure.interval is not None and figure.n == 2 for figure in covered)
