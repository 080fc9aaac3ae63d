"""Contact against laws worked by hand: what comes to rest, bounces, slides and rolls, and how far."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from worldsim.dynamics import ContactBodies, ContactResult, ContactSettings, Obstacles, quaternion, resolve_contacts
from worldsim.errors import ConfigurationError
from worldsim.types.states import ObjectStates

GRAVITY = 9.81
DOUBLE = torch.float64
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
LYING = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))


def body(
    position: tuple[float, ...],
    extent: tuple[float, ...] = (0.2, 0.2, 0.2),
    velocity: tuple[float, ...] = (0.0, 0.0, 0.0),
    orientation: tuple[float, ...] = UPRIGHT,
) -> ObjectStates:
    def row(values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor([values], dtype=DOUBLE)

    return ObjectStates(row(position), row(orientation), row(velocity), row((0.0, 0.0, 0.0)), row(extent))


def properties(
    n: int = 1, friction: float = 0.5, restitution: float = 0.0, shape: int = 0, **more: object
) -> ContactBodies:
    def full(value: float) -> torch.Tensor:
        return torch.full((n,), value, dtype=DOUBLE)

    extra = {k: v if isinstance(v, torch.Tensor) else full(float(v)) for k, v in more.items()}  # type: ignore[arg-type]
    return ContactBodies(full(1.0), full(friction), full(restitution), torch.full((n,), shape), **extra)


def boxes(*rows: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]) -> Obstacles:
    position, half, velocity = (torch.tensor([[row[i] for row in rows]], dtype=DOUBLE) for i in range(3))
    upright = torch.tensor(UPRIGHT, dtype=DOUBLE).expand(1, len(rows), 4)
    return Obstacles(True, position, upright, half, velocity, torch.ones(1, len(rows), dtype=torch.bool))


def simulate(
    state: ObjectStates,
    bodies: ContactBodies,
    steps: int,
    dt_s: float = 0.05,
    obstacles: Obstacles | None = None,
    settings: ContactSettings | None = None,
    watch: Callable[[ObjectStates], None] = lambda _: None,
) -> ContactResult:
    fall = torch.tensor([0.0, 0.0, -GRAVITY * dt_s], dtype=state.position.dtype)
    around = obstacles or Obstacles.only_floor(state.position)
    for _ in range(steps):
        result = resolve_contacts(
            state, state.linear_velocity + fall, state.angular_velocity, bodies, around, dt_s, settings
        )
        state = result.states
        watch(state)
    return result


@pytest.mark.parametrize(
    ("shape", "extent"), [(0, (0.2, 0.3, 0.2)), (1, (0.2, 0.2, 0.2)), (2, (0.4, 0.4, 0.2)), (3, (0.2, 0.2, 0.6))]
)
def test_a_body_at_rest_stays_where_it_is_and_its_weight_is_carried(shape: int, extent: tuple[float, ...]) -> None:
    orientation = LYING if shape == 3 else UPRIGHT
    result = simulate(body((0.3, -0.2, 0.1), extent, orientation=orientation), properties(shape=shape), steps=60)
    drift = result.states.position - torch.tensor([[0.3, -0.2, 0.1]], dtype=DOUBLE)
    assert drift.abs().max() < 5e-5  # a twentieth of a millimetre in three seconds
    assert result.states.linear_velocity.abs().max() < 1e-4
    torch.testing.assert_close(
        result.impulse_n_s[0, 0, 2] / 0.05, torch.tensor(GRAVITY, dtype=DOUBLE), rtol=2e-3, atol=0
    )
    assert bool(result.gate[0])


@pytest.mark.parametrize("dt_s", [0.05, 1 / 148])
def test_a_sliding_box_stops_after_v_squared_over_two_mu_g(dt_s: float) -> None:
    result = simulate(body((0, 0, 0.1), velocity=(2.0, 0, 0)), properties(friction=0.4), int(0.7 / dt_s), dt_s)
    distance = 4.0 / (2 * 0.4 * GRAVITY)
    assert result.states.position[0, 0].item() == pytest.approx(distance, rel=1e-3)


@pytest.mark.parametrize(("dt_s", "relative"), [(0.05, 5e-3), (1 / 148, 1e-3), (1 / 240, 1e-3)])
@pytest.mark.parametrize("restitution", [0.5, 0.8])
def test_a_ball_rises_to_the_square_of_its_restitution(dt_s: float, relative: float, restitution: float) -> None:
    heights: list[float] = []
    ball = properties(restitution=restitution, shape=1)
    fall_s = math.sqrt(2.0 / GRAVITY)
    steps = int((fall_s * (1 + restitution) + 0.05) / dt_s)
    simulate(body((0, 0, 1.1)), ball, steps, dt_s, watch=lambda s: heights.append(s.position[0, 2].item() - 0.1))
    after = heights[int((fall_s + dt_s) / dt_s) :]
    # Sampling at dt misses the top by up to g dt^2 / 8.
    assert max(after) == pytest.approx(restitution**2, abs=relative * restitution**2 + GRAVITY * dt_s**2 / 8)


@pytest.mark.parametrize(("shape", "extent", "share"), [(1, (0.2, 0.2, 0.2), 5 / 7), (2, (0.2, 0.2, 0.5), 2 / 3)])
def test_a_sliding_round_body_ends_in_pure_rolling(shape: int, extent: tuple[float, ...], share: float) -> None:
    orientation = LYING if shape == 2 else UPRIGHT
    result = simulate(body((0, 0, 0.1), extent, (2.0, 0, 0), orientation), properties(shape=shape, friction=0.4), 40)
    speed = result.states.linear_velocity[0, 0].item()
    assert speed == pytest.approx(2.0 * share, rel=2e-3)
    assert result.states.angular_velocity[0, 1].item() == pytest.approx(speed / 0.1, rel=2e-3)


def test_a_ball_rolls_down_a_slope_with_five_sevenths_of_the_pull() -> None:
    # The slope is made by turning gravity; the push along x then is g sin(20 deg).
    angle = math.radians(20)
    state, dt_s = body((0, 0, 0.1)), 0.01
    gain = torch.tensor([GRAVITY * math.sin(angle), 0.0, -GRAVITY * math.cos(angle)], dtype=DOUBLE) * dt_s
    ball, floor = properties(shape=1, friction=0.6), Obstacles.only_floor(state.position)
    for _ in range(100):
        state = resolve_contacts(state, state.linear_velocity + gain, state.angular_velocity, ball, floor, dt_s).states
    expected = 0.5 * 5 / 7 * GRAVITY * math.sin(angle)
    assert state.position[0, 0].item() == pytest.approx(expected, rel=2e-3)


def test_rolling_deceleration_stops_a_ball_and_keeps_it_rolling_until_then() -> None:
    state = body((0, 0, 0.1), velocity=(1.0, 0, 0))
    rolling = torch.tensor([[0.0, 10.0, 0.0]], dtype=DOUBLE)
    state = ObjectStates(state.position, state.orientation_xyzw, state.linear_velocity, rolling, state.extent_m)
    result = simulate(state, properties(shape=1, rolling_deceleration_m_s2=0.5), steps=60)
    assert result.states.position[0, 0].item() == pytest.approx(1.0, rel=2e-2)  # v^2 / 2a
    assert result.states.linear_velocity.abs().max() < 1e-3


def test_free_flight_is_exact_and_an_engine_step_displaces_it_as_the_engine_does() -> None:
    state, dt_s, steps = body((0, 0, 5.0), velocity=(1.0, 0, 2.0)), 0.05, 10
    exact = simulate(state, properties(), steps, dt_s).states.position[0, 2].item()
    t = dt_s * steps
    assert exact == pytest.approx(5.0 + 2.0 * t - GRAVITY * t * t / 2, abs=1e-12)
    engine = simulate(state, properties(), steps, dt_s, settings=ContactSettings(engine_step_s=1 / 240))
    z, v = 5.0, 2.0
    for _ in range(120):
        v -= GRAVITY / 240
        z += v / 240
    assert engine.states.position[0, 2].item() == pytest.approx(z, abs=1e-12)


def test_an_engine_step_displaces_a_turn_as_the_engine_does() -> None:
    gain, dt_s = 4.0, 0.05  # rad/s within the step, about the axis of the body
    state, end = body((0, 0, 5.0)), torch.tensor([[0.0, 0.0, gain]], dtype=DOUBLE)
    still, floor = torch.zeros_like(end), Obstacles.only_floor(state.position)
    for engine_step_s in (0.0, 1 / 240):
        settings = ContactSettings(engine_step_s=engine_step_s)
        turned = resolve_contacts(state, still, end, properties(), floor, dt_s, settings).states.orientation_xyzw
        angle = 2.0 * float(torch.atan2(turned[0, 2], turned[0, 3]))
        assert angle == pytest.approx(0.5 * gain * (dt_s + engine_step_s), abs=1e-12)  # sum of k h g, k = 1 ... dt / h


@pytest.mark.parametrize(("friction", "restitution"), [(0.2, 0.0), (0.8, 0.0), (0.2, 0.5), (0.8, 0.5)])
def test_a_tumbling_cube_never_gains_energy_nor_sinks(friction: float, restitution: float) -> None:
    n, g = 100, torch.Generator().manual_seed(0)
    orientation = quaternion.normalise(torch.randn(n, 4, generator=g, dtype=DOUBLE))
    start = torch.tensor([0.0, 0.0, 0.3], dtype=DOUBLE).repeat(n, 1)
    spin, velocity = 5 * torch.randn(n, 3, generator=g, dtype=DOUBLE), torch.randn(n, 3, generator=g, dtype=DOUBLE)
    cubes = properties(n, friction, restitution)
    state = ObjectStates(start, orientation, velocity, spin, torch.full((n, 3), 0.1, dtype=DOUBLE))
    history = [state]
    simulate(state, cubes, 100, 1 / 148, watch=history.append)
    inertia = 0.1**2 / 6

    def energy(s: ObjectStates) -> torch.Tensor:
        kinetic = 0.5 * (s.linear_velocity**2).sum(-1) + 0.5 * inertia * (s.angular_velocity**2).sum(-1)
        return kinetic + GRAVITY * s.position[:, 2]

    energies = torch.stack([energy(s) for s in history])
    # 4.6 J a body at the start; the displacement that mends penetration lifts by less than a millijoule.
    assert (energies[1:] - energies[:-1]).max() < 1e-3
    assert min(s.position[:, 2].min() for s in history) > 0.05 - 5e-4


def test_a_compliant_contact_sinks_by_its_weight_over_its_stiffness() -> None:
    cube = properties(stiffness_per_s2=20_000.0, damping_per_s=100.0)
    result = simulate(body((0, 0, 0.1)), cube, 60, 1 / 148)
    sink = 0.1 - result.states.position[0, 2].item()
    assert sink == pytest.approx(GRAVITY / 20_000.0 / 4, rel=5e-2)  # ten iterations stop a few percent short


@pytest.mark.parametrize(
    ("supports", "carriers"),
    [
        ([((0, 0, 0.2), (0.5, 0.5, 0.2), (0, 0, 0))], [1.0]),
        ([((0, 0, 0.2), (0.05, 0.05, 0.2), (0, 0, 0))], [1.0]),
        ([((0.09, 0, 0.2), (0.03, 0.2, 0.2), (0, 0, 0)), ((-0.09, 0, 0.2), (0.03, 0.2, 0.2), (0, 0, 0))], [0.5, 0.5]),
    ],
    ids=["a larger box", "a narrow pillar", "two beams"],
)
def test_a_crate_rests_on_boxes_and_says_which_carries_it(
    supports: list[tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]], carriers: list[float]
) -> None:
    result = simulate(body((0, 0, 0.5)), properties(), 40, obstacles=boxes(*supports))
    assert (result.states.position - torch.tensor([[0, 0, 0.5]], dtype=DOUBLE)).abs().max() < 1e-4
    carried = result.impulse_n_s[0, :, 2] / 0.05 / GRAVITY
    torch.testing.assert_close(carried, torch.tensor([*carriers, 0.0], dtype=DOUBLE), atol=1e-2, rtol=0.0)
    assert result.support_height_m.item() == pytest.approx(0.4, abs=1e-4)


def test_a_crate_beyond_the_edge_of_its_support_falls_to_the_floor() -> None:
    result = simulate(
        body((0, 0, 0.5)), properties(), 60, obstacles=boxes(((0.12, 0, 0.2), (0.05, 0.05, 0.2), (0, 0, 0)))
    )
    assert result.states.position[0, 2].item() == pytest.approx(0.1, abs=1e-3)
    assert result.impulse_n_s[0, 0].abs().max() < 1e-9


def test_the_floor_beside_a_wall_is_below_a_body_wherever_it_is() -> None:
    def slid(x: float) -> torch.Tensor:
        wall = boxes(((x + 1.0, 0, 1), (0.2, 2, 1), (0, 0, 0)))
        end = simulate(body((x, 0, 0.1), velocity=(3.0, 0, 0)), properties(restitution=0.5), 20, obstacles=wall).states
        return end.position - torch.tensor([x, 0.0, 0.0], dtype=DOUBLE)

    torch.testing.assert_close(slid(5000.0), slid(0.0), atol=1e-6, rtol=0.0)  # rounding at 5 km, and what follows of it


def test_a_wall_reverses_the_normal_speed_by_the_restitution() -> None:
    wall = boxes(((1.0, 0, 1), (0.2, 2, 1), (0, 0, 0)))
    start = body((0, 0, 0.1), velocity=(3.0, 0, 0))
    result = simulate(start, properties(friction=0.0, restitution=0.5), 10, obstacles=wall)
    assert result.states.linear_velocity[0, 0].item() == pytest.approx(-1.5, rel=5e-2)  # a flat hit is four impacts
    assert result.states.position[0, 0].item() == pytest.approx(0.7 - 1.5 * (0.5 - 0.7 / 3), abs=2e-2)


def test_a_moving_box_pushes_a_crate_ahead_of_it() -> None:
    state = body((0.5, 0, 0.1))
    result = simulate(state, properties(friction=0.3), 1, obstacles=boxes(((0.3, 0, 0.5), (0.1, 1, 0.5), (1.0, 0, 0))))
    assert result.states.linear_velocity[0, 0].item() == pytest.approx(1.0, rel=3e-2)
    assert result.states.position[0, 0].item() == pytest.approx(0.55, abs=2e-3)


def test_an_impact_in_empty_space_keeps_momentum_in_every_direction_but_the_normal() -> None:
    state = body((0, 0, 0.1005), velocity=(1.0, -0.5, -2.0))
    result = resolve_contacts(
        state,
        state.linear_velocity,
        state.angular_velocity,
        properties(friction=0.0, restitution=0.3),
        Obstacles.only_floor(state.position),
        0.01,
    )
    change = result.states.linear_velocity - state.linear_velocity
    torch.testing.assert_close(change[:, :2], torch.zeros(1, 2, dtype=DOUBLE), atol=1e-12, rtol=0.0)
    torch.testing.assert_close(change[:, 2], result.normal_impulse_n_s, atol=1e-12, rtol=0.0)


def test_without_floor_and_boxes_nothing_is_touched() -> None:
    state = body((0, 0, -1.0))
    nothing = Obstacles.only_floor(state.position, floor=False)
    result = simulate(state, properties(), 4, obstacles=nothing)
    assert not bool(result.gate[0])
    assert result.states.position[0, 2].item() == pytest.approx(-1.0 - GRAVITY * 0.02, abs=1e-12)


def test_a_spring_without_damper_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one spring and damper"):
        properties(stiffness_per_s2=1e4)
    with pytest.raises(ConfigurationError, match="substeps is 0"):
        ContactSettings(substeps=0)


HALF = (0.25, 0.2, 0.18)
EXTENT = tuple(2.0 * h for h in HALF)
STILL = (0.0, 0.0, 0.0)


def stack(*under: tuple[float, float]) -> Obstacles:
    return boxes(*(((x, y, HALF[2]), HALF, STILL) for x, y in under))


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("yaw", [0.0, 0.02, 0.6])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.05, 0.0), (0.003, -0.002), (0.06, 0.05), (-0.1, 0.08)])
def test_a_box_on_its_like_stays_there(offset: tuple[float, float], yaw: float, dtype: torch.dtype) -> None:
    turn = (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
    upper = body((*offset, 3.0 * HALF[2]), EXTENT, orientation=turn)
    upper, under = (_in_dtype(part, dtype) for part in (upper, stack((0.0, 0.0))))
    found = simulate(upper, _in_dtype(properties(), dtype), 40, obstacles=under)
    assert found.gate.all()
    moved = (found.states.position - upper.position).abs()[0]
    assert float(moved[2]) < 1e-3
    assert float(moved[:2].max()) < 8e-3  # turned, it creeps: ten iterations are no exact friction
    assert float((found.states.orientation_xyzw - upper.orientation_xyzw).abs().max()) < 2e-3


def test_a_box_beyond_its_support_falls_and_one_on_four_does_not() -> None:
    over_the_edge = body((0.3, 0.0, 3.0 * HALF[2]), EXTENT)
    fallen = simulate(over_the_edge, properties(), 40, obstacles=stack((0.0, 0.0))).states
    assert float(fallen.position[0, 2]) < 2.5 * HALF[2]
    bond = stack((-0.25, -0.2), (-0.25, 0.2), (0.25, -0.2), (0.25, 0.2))
    borne = simulate(body((0.0, 0.0, 3.0 * HALF[2]), EXTENT), properties(), 40, obstacles=bond).states
    assert float(borne.position[0, 2]) == pytest.approx(3.0 * HALF[2], abs=2e-3)


def test_a_box_that_is_believed_within_the_one_below_comes_up_and_not_out_of_its_side() -> None:
    sunk = body((0.235, 0.0, 3.0 * HALF[2] - 0.02), EXTENT)  # each corner is nearer to a side than to the top
    found = simulate(sunk, properties(), 20, obstacles=stack((0.24, 0.005))).states
    assert float(found.position[0, 2]) == pytest.approx(3.0 * HALF[2], abs=2e-3)
    assert float((found.position - sunk.position)[0, :2].norm()) < 5e-3


def test_a_box_slides_on_its_like_as_friction_lets_it_and_stands_among_neighbours() -> None:
    sliding = body((0.0, 0.0, 3.0 * HALF[2]), EXTENT, velocity=(0.8, 0.0, 0.0))
    gone = float(simulate(sliding, properties(), 20, obstacles=stack((0.0, 0.0))).states.position[0, 0])
    assert gone == pytest.approx(0.8**2 / (2.0 * 0.5 * GRAVITY), abs=5e-3)
    row = stack((-0.5, 0.0), (0.5, 0.0), (0.0, 0.4), (0.0, -0.4))
    among = simulate(body((0.0, 0.0, HALF[2]), EXTENT), properties(), 40, obstacles=row).states
    assert float((among.position - torch.tensor([[0.0, 0.0, HALF[2]]])).norm()) < 2e-3


def _in_dtype(part: Any, dtype: torch.dtype) -> Any:
    values = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    floating = {k: v.to(dtype) for k, v in values.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    return dataclasses.replace(part, **floating)
