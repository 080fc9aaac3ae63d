"""The analytic scenes: references that are right, promises that the corrected engine keeps, and a page that says so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from worldsim.evaluation.accuracy import law as reference
from worldsim.evaluation.accuracy.laws_contact import (
    bounces,
    collision,
    cradle,
    elastic_ball,
    rolling_ball,
    sliding_stop,
    slope_threshold,
    stack,
)
from worldsim.evaluation.accuracy.laws_flight import free_fall, free_top, linear_drag, quadratic_drag, spring
from worldsim.evaluation.accuracy.laws_joints import gyroscope, pendulum
from worldsim.evaluation.accuracy.page import write_page
from worldsim.evaluation.accuracy.suite import ACCURATE, DEFAULT, LAWS, benches, measure
from worldsim.evaluation.accuracy.world_model_bench import WorldModelBench
from worldsim.simulation.laboratory import BulletBench, LabBody, LabScene, MujocoBench, record

KEPT = (free_fall, linear_drag, quadratic_drag, spring, free_top, pendulum, bounces, elastic_ball, sliding_stop)


@pytest.mark.parametrize("make", [*KEPT, rolling_ball, collision])
def test_the_corrected_engine_keeps_its_promise(make) -> None:
    law = make()
    rows = measure(law, [BulletBench.accurate()])
    assert len(rows) == len(law.measures)
    for row in rows:
        bar = row.measure.bar if row.measure.bar is not None else 1e-3
        assert row.errors[ACCURATE] <= bar, row.measure.name


def test_every_promise_is_run_by_this_file() -> None:
    promised = {make().name for make in LAWS if any(m.bar is not None for m in make().measures)}
    here = {make().name for make in (*KEPT, rolling_ball, collision)}
    assert promised - here == {"slope threshold", "stack of ten"}  # they run below, since they take longer


def test_an_elastic_ball_does_not_converge_in_the_engine_alone_and_keeps_its_energy_with_the_corrections() -> None:
    (row,) = measure(elastic_ball(), [BulletBench.preset_alone(), BulletBench.accurate()])
    assert row.errors["PyBullet preset"] > 0.1
    assert row.errors[ACCURATE] < 1e-9  # Newton's law at the time of each impact is exact up to rounding


def test_a_row_of_balls_passes_the_blow_on_to_the_last() -> None:
    (row,) = measure(cradle(), [BulletBench.as_it_comes(), BulletBench.accurate()])
    assert row.errors[DEFAULT] > 0.1
    assert row.errors[ACCURATE] < 1e-9


def test_the_rotation_keeps_energy_and_momentum_better_than_the_engine_by_orders() -> None:
    energy, momentum, _ = measure(free_top(), [BulletBench.preset_alone(), BulletBench.accurate()])
    assert energy.errors[ACCURATE] < 1e-3 * energy.errors["PyBullet preset"]
    assert momentum.errors[ACCURATE] < 1e-10  # it is the quantity that is kept


def test_the_midpoint_rotation_is_of_second_order() -> None:
    """Half the step, a quarter of the error in the time of the flip."""
    from dataclasses import replace

    from worldsim.simulation.presets import ACCURATE as PRESET

    law = free_top()
    error = {}
    for steps in (120, 240):
        bench = BulletBench("top", replace(PRESET, time_step_s=1.0 / steps), conserving=True)
        error[steps] = law.errors([record(bench, law.scenes[0])])[2]
    assert 3.0 < error[120] / error[240] < 5.0


def test_off_centre_balls_keep_momentum_and_angular_momentum() -> None:
    balls = (
        LabBody("sphere", (0.2,) * 3, 1.0, (-0.4, 0.05, 0.0), (0.0, 0.0, 0.0, 1.0), (2.0, 0.0, 0.0), friction=0.4,
                restitution=0.9),
        LabBody("sphere", (0.2,) * 3, 2.0, (0.0, 0.0, 0.0), friction=0.4, restitution=0.9),
    )  # fmt: skip
    scene = LabScene("glancing", 0.6, balls, gravity_m_s2=(0.0, 0.0, 0.0))
    trace = record(BulletBench.accurate(), scene)
    mass = np.array([1.0, 2.0])[:, None]
    moment = np.array([body.moments[0] for body in balls])[:, None]

    def totals(k: int) -> tuple[np.ndarray, np.ndarray]:
        p = mass * trace.linear_velocity[k]
        turning = np.cross(trace.position[k], p) + moment * trace.angular_velocity[k]
        return p.sum(0), turning.sum(0)

    (p0, l0), (p1, l1) = totals(0), totals(-1)
    assert np.abs(trace.angular_velocity[-1, :, 2]).min() > 0.1  # friction did spin both
    np.testing.assert_allclose(p1, p0, atol=1e-12)
    np.testing.assert_allclose(l1, l0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("make", [free_fall, spring, pendulum, gyroscope])
def test_tuned_mujoco_agrees_with_the_references(make) -> None:
    """An engine that nobody here wrote: if the reference were wrong, this would say so."""
    law = make()
    traces = [record(MujocoBench.tuned(), scene, law.sample_s) for scene in law.scenes]
    assert max(law.errors(traces)) < 1e-6


def test_the_world_model_rolls_one_body_out_by_the_laws() -> None:
    bench = WorldModelBench()
    for make, most in ((free_fall, 1e-9), (sliding_stop, 1e-2), (rolling_ball, 1e-2)):
        law = make()
        assert law.errors([record(bench, law.scenes[0])])[0] < most
    assert not bench.can_run(collision().scenes[0])
    assert not bench.can_run(pendulum().scenes[0])


def test_a_reference_integrates_an_exponential_to_its_tolerance() -> None:
    time_s = np.linspace(0.0, 1.0, 3)
    found = reference.integrated(lambda t, y: -y, [1.0], time_s)
    np.testing.assert_allclose(found[:, 0], np.exp(-time_s), rtol=1e-11)


def test_the_page_holds_every_row_and_asks_the_network_for_nothing(tmp_path) -> None:
    engines = [bench for bench in benches() if bench.name in (DEFAULT, "PyBullet preset", ACCURATE)]
    rows = [*measure(free_fall(), engines), *measure(collision(), engines)]
    page = write_page(rows, [bench.name for bench in benches()], tmp_path).read_text(encoding="utf-8")
    assert "two balls collide" in page
    assert "<svg" in page
    assert 'src="http' not in page
    assert 'href="http' not in page
    found = json.loads((tmp_path / "accuracy.json").read_text(encoding="utf-8"))
    assert {row["law"] for row in found["rows"]} == {"free fall", "two balls collide"}
    assert (tmp_path / "accuracy.svg").read_text(encoding="utf-8").startswith("<svg xmlns=")


@pytest.mark.slow
def test_what_is_too_steep_slips_and_what_is_not_stays() -> None:
    (row,) = measure(slope_threshold(), [BulletBench.accurate()])
    assert row.measure.bar is not None
    assert row.errors[ACCURATE] <= row.measure.bar


@pytest.mark.slow
def test_a_stack_of_ten_stands_still_for_a_minute() -> None:
    (row,) = measure(stack(), [BulletBench.accurate()])
    assert row.measure.bar is not None
    assert row.errors[ACCURATE] <= row.measure.bar


def test_a_box_at_rest_creeps_in_the_engine_alone_and_keeps_its_place_with_the_corrections() -> None:
    box = LabBody("box", (0.2,) * 3, 1.0, (0.0, 0.0, 0.1), friction=0.6)
    scene = LabScene("a box", 8.0, (box,), floor=True)
    crept = {}
    for bench in (BulletBench.preset_alone(), BulletBench.accurate()):
        trace = record(bench, scene, 1.0)
        crept[bench.name] = float(np.linalg.norm(trace.position[-1, 0] - trace.position[4, 0]))
    assert crept["PyBullet preset"] > 1e-5
    assert crept[ACCURATE] < 1e-6  # what it goes between two looks


@pytest.mark.parametrize(("newton", "moved_m"), [(4.7, 0.0), (6.0, 0.5 * (6.0 - 0.5 * 9.81) * 2.0**2)])
def test_a_push_sets_a_kept_box_free_where_friction_cannot_hold_it(newton: float, moved_m: float) -> None:
    """Friction holds 0.5 x 9.81 N; the push begins after three seconds of rest and lasts two."""
    push = [0.0]

    def force(position, velocity):
        del position, velocity
        return (push[0], 0.0, 0.0)

    box = LabBody("box", (0.4, 0.4, 0.1), 1.0, (0.0, 0.0, 0.05), friction=0.5)
    bench = BulletBench.accurate()
    bench.start(LabScene("a push", 5.0, (box,), force=force, floor=True))
    for step in range(round(5.0 / bench.step_s)):
        push[0] = newton if step * bench.step_s >= 3.0 else 0.0
        bench.advance()
    found = bench.states()[0].position[0]
    bench.close()
    assert found == pytest.approx(moved_m, rel=0.02, abs=1e-4)
