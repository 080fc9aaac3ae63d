"""Every installed family keeps the contract, and does what it says it does."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.models.cards import VALUES, model_of
from worldsim.dynamics import quaternion
from worldsim.errors import CardError, PluginError
from worldsim.plugins import plugin_names
from worldsim.testing.object_model_conformance import check_object_model
from worldsim.types import Control, ObjectStates

DT_S = 0.01


def states(family: str, position: tuple[float, float, float], velocity: tuple[float, float, float]) -> ObjectStates:
    """One upright body of the family's size."""
    extent = torch.tensor([model_of(family).card.shape.extent_m], dtype=torch.float64)
    rest = ObjectStates.at_rest(torch.tensor([position], dtype=torch.float64), extent)
    moving = torch.tensor([velocity], dtype=torch.float64)
    return ObjectStates(rest.position, rest.orientation_xyzw, moving, rest.angular_velocity, extent)


def run(family: str, state: ObjectStates, seconds: float, control: Control | None = None) -> ObjectStates:
    """Advance one body, parameters at their prior medians."""
    model = model_of(family)
    parameters = torch.tensor([list(VALUES[family].values())], dtype=torch.float64).reshape(1, -1)
    for _ in range(round(seconds / DT_S)):
        inputs = control or Control.none(state.position)
        state = model.dynamics(state, parameters, torch.zeros(1, 6, dtype=torch.float64), inputs, DT_S)
    return state


def near(position: tuple[float, float, float]) -> Control:
    """A mover at `position` that the body responds to."""
    here = torch.tensor([position], dtype=torch.float64)
    return Control(
        torch.zeros(1, 2, dtype=torch.float64),
        torch.tensor([False]),
        here,
        torch.zeros_like(here),
        torch.tensor([True]),
    )


@pytest.mark.parametrize("family", sorted(VALUES))
def test_every_family_keeps_the_contract(family: str) -> None:
    check_object_model(model_of(family))


def test_every_installed_family_is_swept() -> None:
    assert set(VALUES) <= set(plugin_names("worldsim.object_models"))


def test_a_card_of_another_family_is_refused_by_name() -> None:
    with pytest.raises(CardError, match=r"family 'dog', expected 'cat'"):
        type(model_of("cat"))(model_of("dog").card)


def test_a_negative_log_mean_is_refused_with_advice() -> None:
    card = model_of("dog").card
    broken = (card.parameters[0].__class__("approach_speed_m_s", -1.0, 0.3, "1", "log"), *card.parameters[1:])
    with pytest.raises(CardError, match=r"prior mean -1.0, expected > 0 .* Did you mean transform 'identity'"):
        type(model_of("dog"))(card.replace(parameters=broken))


def test_the_conformance_kit_finds_a_model_that_changes_its_input() -> None:
    class Meddler(type(model_of("static"))):  # type: ignore[misc]
        moves = True

        def dynamics(self, state, parameters, wrench, control, dt_s):  # type: ignore[no-untyped-def]
            state.position.add_(1.0)
            return state

    with pytest.raises(PluginError, match="changes its input position"):
        check_object_model(Meddler(model_of("static").card))


def test_a_rigid_body_falls_with_g() -> None:
    after = run("rigid_body", states("rigid_body", (0, 0, 10), (0, 0, 0)), 0.5)
    # drag 0.01 / s takes 0.25 % of the speed in half a second
    assert float(after.linear_velocity[0, 2]) == pytest.approx(-9.81 * 0.5, rel=4e-3)


def test_a_hinge_keeps_its_axis_where_it_is() -> None:
    start = states("hinge", (0, 0, 1), (0, 0, 0))
    spinning = ObjectStates(
        start.position,
        start.orientation_xyzw,
        start.linear_velocity,
        torch.tensor([[0.0, 0.0, 1.5]], dtype=torch.float64),
        start.extent_m,
    )
    after = run("hinge", spinning, 1.0)
    offset = torch.tensor([[-0.7, 0.0, 0.0]], dtype=torch.float64)
    axis = after.position + quaternion.rotate(after.orientation_xyzw, offset)
    assert torch.allclose(axis, start.position + offset, atol=1e-12)
    assert float(after.angular_velocity[0, 2]) == pytest.approx(1.5 * math.exp(-0.5), rel=1e-6)


def test_a_commanded_vehicle_reaches_the_commanded_speed_and_turns() -> None:
    command = Control(
        torch.tensor([[1.0, 0.5]], dtype=torch.float64),
        torch.tensor([True]),
        torch.zeros(1, 3, dtype=torch.float64),
        torch.zeros(1, 3, dtype=torch.float64),
        torch.tensor([False]),
    )
    after = run("vehicle", states("vehicle", (0, 0, 0.15), (0, 0, 0)), 3.0, command)
    assert float(after.linear_velocity[0].norm()) == pytest.approx(1.0, rel=1e-3)
    assert float(after.angular_velocity[0, 2]) == pytest.approx(0.5, rel=1e-3)


def test_a_walker_keeps_a_pace_and_a_stander_stays() -> None:
    walker = run("person", states("person", (0, 0, 0.875), (0.9, 0, 0)), 4.0)
    assert float(walker.linear_velocity[0, 0]) == pytest.approx(1.2, rel=0.02)
    stander = run("person", states("person", (0, 0, 0.875), (0, 0, 0)), 4.0)
    assert float(stander.position[0, :2].norm()) < 1e-6


def test_a_cat_flees_what_nears_it_and_brakes_when_left_alone() -> None:
    chased = run("cat", states("cat", (1, 0, 0.15), (0, 0, 0)), 0.8, near((0, 0, 0.5)))
    assert float(chased.position[0, 0]) > 1.5
    alone = run("cat", states("cat", (1, 0, 0.15), (1.5, 0, 0)), 2.0)
    assert float(alone.linear_velocity[0].norm()) < 0.05


def test_a_dog_walks_up_and_stops_short() -> None:
    after = run("dog", states("dog", (5, 0, 0.3), (-1.5, 0, 0)), 10.0, near((0, 0, 0.5)))
    assert float(after.position[0, 0]) == pytest.approx(1.1, abs=0.3)
    passing = run("dog", states("dog", (5, 0, 0.3), (1.5, 0, 0)), 1.0, near((0, 0, 0.5)))
    assert float(passing.linear_velocity[0, 0]) == pytest.approx(1.5, rel=1e-6)


def test_a_dog_steps_back_from_what_comes_too_near() -> None:
    after = run("dog", states("dog", (0.5, 0, 0.3), (0, 0, 0)), 2.0, near((0, 0, 0.5)))
    assert float(after.position[0, 0]) > 0.9


@pytest.mark.parametrize(("family", "height", "rate"), [("rolling_ball", 0.15, 0.15), ("trolley", 0.5, 0.3)])
def test_what_rolls_slows_at_its_own_rate_and_stops(family: str, height: float, rate: float) -> None:
    model = model_of(family)
    state = states(family, (0, 0, height), (1.0, 0, 0))
    if family == "rolling_ball":  # it rolls already, and does not slide first
        state = dataclasses.replace(state, angular_velocity=torch.tensor([[0.0, 1.0 / height, 0.0]]).double())
    parameters = torch.tensor([list(VALUES[family].values())], dtype=torch.float64)
    speeds = []
    for _ in range(1000):
        moved = model.dynamics(
            state, parameters, torch.zeros(1, 6, dtype=torch.float64), Control.none(state.position), DT_S
        )
        position = torch.cat([moved.position[:, :2], state.position[:, 2:]], dim=-1)  # the floor holds it up
        velocity = torch.cat([moved.linear_velocity[:, :2], torch.zeros(1, 1, dtype=torch.float64)], dim=-1)
        state = ObjectStates(position, moved.orientation_xyzw, velocity, moved.angular_velocity, moved.extent_m)
        speeds.append(float(velocity.norm()))
    assert speeds[99] == pytest.approx(1.0 - rate, abs=1e-6)
    assert speeds[-1] == 0.0


def test_a_ball_that_slides_is_braked_until_it_rolls_at_five_sevenths_of_its_speed() -> None:
    model = model_of("rolling_ball")
    state = states("rolling_ball", (0, 0, 0.15), (1.0, 0, 0))
    parameters = torch.tensor([[0.4, 0.0, 0.5, 0.2]], dtype=torch.float64)  # it rolls for ever
    still = torch.zeros(1, 6, dtype=torch.float64)
    after = model.dynamics(state, parameters, still, Control.none(state.position), DT_S)
    assert float(after.linear_velocity[0, 0]) == pytest.approx(1.0 - 0.2 * 9.81 * DT_S)
    for _ in range(100):
        state = model.dynamics(state, parameters, still, Control.none(state.position), DT_S)
    assert float(state.linear_velocity[0, 0]) == pytest.approx(5.0 / 7.0)
    assert float(state.angular_velocity[0, 1]) == pytest.approx(5.0 / 7.0 / 0.15)


def test_a_slip_that_ends_within_the_step_turns_the_ball_as_many_small_steps_do() -> None:
    model = model_of("rolling_ball")
    parameters = torch.tensor([[0.4, 0.0, 0.5, 0.5]], dtype=torch.float64)
    state = states("rolling_ball", (0, 0, 0.15), (0.3, 0, 0))  # it slides for 17 ms, then it rolls
    still = torch.zeros(1, 6, dtype=torch.float64)
    whole = model.dynamics(state, parameters, still, Control.none(state.position), 0.05)
    fine = state
    for _ in range(500):
        fine = model.dynamics(fine, parameters, still, Control.none(state.position), 1e-4)
    turned = quaternion.difference(fine.orientation_xyzw, state.orientation_xyzw)
    off = quaternion.difference(whole.orientation_xyzw, fine.orientation_xyzw)
    assert float(turned.norm()) > 0.05
    assert float(off.norm()) < 1e-3
    assert float((whole.position - fine.position).norm()) < 2e-4


def test_walkers_that_hang_in_the_air_come_down() -> None:
    for family in ("person", "cat", "dog", "vehicle", "trolley"):
        height = 0.5 * model_of(family).card.shape.extent_m[2]
        after = run(family, states(family, (0, 0, height + 0.5), (0, 0, 0)), 1.5)
        assert float(after.position[0, 2]) == pytest.approx(height, abs=2e-3), family


def test_a_constant_turn_keeps_the_speed_at_any_step() -> None:
    model = model_of("generic")
    values = dict(VALUES["generic"]) | {"turn_rate_per_s": 0.8}
    parameters = torch.tensor([list(values.values())], dtype=torch.float64)
    state = states("generic", (0, 0, 0.5), (1.0, 0, 0))
    after = model.dynamics(state, parameters, torch.zeros(1, 6, dtype=torch.float64), Control.none(state.position), 0.5)
    assert float(after.linear_velocity.norm()) == pytest.approx(1.0, abs=1e-9)
    heading = torch.atan2(after.linear_velocity[0, 1], after.linear_velocity[0, 0])
    assert float(heading) == pytest.approx(0.4, abs=1e-9)


@pytest.mark.parametrize("dt_s", [0.05, 0.2, 1.0])
def test_no_coefficients_of_the_broad_model_let_its_futures_run_away(dt_s: float) -> None:
    generic, count, span_s = model_of("generic"), 500, 30.0
    rng = np.random.default_rng(0)
    prior = [(VALUES["generic"][p.name], 3.0 * p.std) for p in generic.card.parameters]
    drawn = torch.tensor(np.column_stack([rng.normal(mean, std, count) for mean, std in prior]))
    tamed = generic.stable(drawn, dt_s)
    assert torch.equal(generic.stable(tamed, dt_s), tamed)
    lasting = (drawn[:, [0, 3, 5]] >= 0.0).all(dim=1) & (drawn[:, 5] * dt_s <= 1.0) & (drawn[:, 3] * dt_s**2 <= 1.0)
    assert torch.equal(tamed[lasting], drawn[lasting])
    assert 20 < int(lasting.sum()) < 400
    start = ObjectStates.at_rest(torch.zeros(count, 3, dtype=torch.float64), torch.ones(count, 3, dtype=torch.float64))
    start = dataclasses.replace(start, linear_velocity=torch.tensor(rng.normal(0.0, 1.0, (count, 3))))

    def end(parameters: torch.Tensor) -> torch.Tensor:
        state, calm = start, torch.zeros(count, 6, dtype=torch.float64)
        for _ in range(round(span_s / dt_s)):
            state = generic.dynamics(state, parameters, calm, Control.none(state.position), dt_s)
        return state.position

    # no farther than what nothing brakes and nothing holds gets
    speed, thrust, height = start.linear_velocity.abs(), tamed[:, 2].clamp_min(0.0), tamed[:, 4].abs()
    across = 1.5 * span_s * (speed[:, :2].norm(dim=1) + span_s * thrust)
    assert bool((end(tamed)[:, :2].norm(dim=1) <= across + 1.0).all())
    assert bool((end(tamed)[:, 2].abs() <= 2.0 * height + span_s * speed[:, 2] + 1.0).all())
    assert float(end(drawn)[:, 2].nan_to_num(nan=1e30).abs().max()) > 1e6


def test_a_spinning_body_is_as_unsure_as_an_off_centre_mass_makes_it() -> None:
    still = states("rigid_body", (0.0, 0.0, 1.0), (0.0, 0.0, 0.0))
    values = torch.tensor([list(VALUES["rigid_body"].values())], dtype=torch.float64)
    noise = model_of("rigid_body").process_noise

    def added(spin: float) -> float:
        turning = dataclasses.replace(still, angular_velocity=torch.tensor([[0.0, spin, 0.0]], dtype=torch.float64))
        return float((noise(turning, values, DT_S) - noise(still, values, DT_S))[0, 0])

    assert added(0.0) == 0.0
    # over the time 1/w that a direction lasts, it amounts to the speed at which the centre circles: a few millimetres w
    circling_m = math.sqrt(added(10.0) / 10.0) / 10.0
    assert 0.002 * 0.4 < circling_m < 0.02 * 0.4
    assert added(20.0) == pytest.approx(8.0 * added(10.0))
