"""Contact as a computation: derivatives, precision, invariance, compilers and fake devices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from worldsim.dynamics import ContactBodies, ContactResult, ContactSettings, Obstacles, quaternion, resolve_contacts
from worldsim.types.states import ObjectStates

DOUBLE = torch.float64
DT_S = 0.02


def scene(n: int = 6, dtype: torch.dtype = DOUBLE, seed: int = 0) -> tuple[ObjectStates, ContactBodies, Obstacles]:
    """Return bodies of all shapes about to hit the floor or a box, and what they hit."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=DOUBLE).to(dtype)

    extent = torch.tensor([0.2, 0.2, 0.3], dtype=dtype).repeat(n, 1)
    position = torch.cat([0.15 * normal(n, 2), 0.16 + 0.02 * normal(n, 1)], dim=1)
    velocity = normal(n, 3) + torch.tensor([0.0, 0.0, -2.0], dtype=dtype)
    state = ObjectStates(position, quaternion.normalise(normal(n, 4)), velocity, 3.0 * normal(n, 3), extent)
    full = torch.ones(n, dtype=dtype)
    bodies = ContactBodies(
        2.0 * full, 0.4 * full, 0.3 * full, torch.arange(n) % 4, centre_of_mass_offset_m=0.01 * normal(n, 3)
    )
    box = torch.tensor([[0.35, 0.0, 0.2], [-0.4, 0.1, 0.1]], dtype=dtype).repeat(n, 1, 1)
    half = torch.tensor([[0.1, 0.5, 0.2], [0.2, 0.2, 0.1]], dtype=dtype).repeat(n, 1, 1)
    turned = quaternion.exp(torch.tensor([[0.0, 0.0, 0.3], [0.0, 0.1, 0.0]], dtype=dtype)).repeat(n, 1, 1)
    still = torch.zeros_like(box)
    return state, bodies, Obstacles(True, box, turned, half, still, torch.ones(n, 2, dtype=torch.bool))


def step(state: ObjectStates, bodies: ContactBodies, obstacles: Obstacles, **settings: float) -> ContactResult:
    fall = state.linear_velocity.new_tensor([0.0, 0.0, -9.81 * DT_S])
    chosen = ContactSettings(**settings)  # type: ignore[arg-type]
    return resolve_contacts(
        state, state.linear_velocity + fall, state.angular_velocity, bodies, obstacles, DT_S, chosen
    )


@pytest.mark.parametrize("boxes", [True, False])
def test_gradients_through_contact_agree_with_finite_differences(boxes: bool) -> None:
    state, bodies, around = scene()
    obstacles = around if boxes else Obstacles.only_floor(state.position)

    def future(position: Tensor, velocity: Tensor, spin: Tensor, friction: Tensor, restitution: Tensor) -> Tensor:
        moved = ObjectStates(position, state.orientation_xyzw, velocity, spin, state.extent_m)
        hard = ContactBodies(
            bodies.mass_kg, friction, restitution, bodies.shape_index, None, bodies.centre_of_mass_offset_m
        )
        end = step(moved, hard, obstacles, substeps=2, iterations=4).states
        return torch.cat([end.position, end.orientation_xyzw, end.linear_velocity, end.angular_velocity], dim=-1)

    inputs = (state.position, state.linear_velocity, state.angular_velocity, bodies.friction, bodies.restitution)
    leaves = tuple(value.clone().requires_grad_() for value in inputs)
    assert step(state, bodies, obstacles).gate.sum() >= 3  # otherwise the check would say nothing of contact
    assert torch.autograd.gradcheck(future, leaves, eps=1e-7, atol=1e-4, rtol=1e-3, fast_mode=True)


def test_gradients_are_finite_for_a_box_exactly_at_rest() -> None:
    state = ObjectStates.at_rest(torch.tensor([[0.0, 0.0, 0.1]], dtype=DOUBLE), torch.full((1, 3), 0.2, dtype=DOUBLE))
    velocity = torch.zeros(1, 3, dtype=DOUBLE, requires_grad=True)
    moved = ObjectStates(state.position, state.orientation_xyzw, velocity, state.angular_velocity, state.extent_m)
    one = torch.ones(1, dtype=DOUBLE)
    box = ContactBodies(one, 0.5 * one, 0.0 * one, torch.zeros(1, dtype=torch.int64))
    result = step(moved, box, Obstacles.only_floor(state.position))
    (gradient,) = torch.autograd.grad(result.states.position.sum() + result.states.linear_velocity.sum(), velocity)
    assert torch.isfinite(gradient).all()


def test_float32_agrees_with_float64() -> None:
    single = step(*scene(60, torch.float32)).states
    double = step(*scene(60, DOUBLE)).states
    torch.testing.assert_close(single.position.double(), double.position, atol=1e-5, rtol=0.0)
    # Velocities jump where a contact opens a rounding error earlier or later; such a body is rare.
    error = (single.linear_velocity.double() - double.linear_velocity).abs().amax(-1)
    assert error.quantile(0.95) < 1e-3


def test_turning_the_world_about_the_vertical_turns_the_result() -> None:
    state, bodies, around = scene(24)
    turn = quaternion.exp(torch.tensor([0.0, 0.0, 1.1], dtype=DOUBLE))
    turned = ObjectStates(
        quaternion.rotate(turn, state.position),
        quaternion.multiply(turn.expand(24, 4), state.orientation_xyzw),
        quaternion.rotate(turn, state.linear_velocity),
        quaternion.rotate(turn, state.angular_velocity),
        state.extent_m,
    )
    boxes = Obstacles(
        True,
        quaternion.rotate(turn, around.position),
        quaternion.multiply(turn.expand_as(around.orientation_xyzw), around.orientation_xyzw),
        around.half_extent_m,
        around.linear_velocity,
        around.present,
    )
    plain, other = step(state, bodies, around), step(turned, bodies, boxes)
    torch.testing.assert_close(quaternion.rotate(turn, plain.states.position), other.states.position, atol=1e-9, rtol=0)
    torch.testing.assert_close(
        quaternion.rotate(turn, plain.states.linear_velocity), other.states.linear_velocity, atol=1e-7, rtol=0
    )


def test_a_body_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    state, bodies, around = scene(12)
    whole = step(state, bodies, around).states.position
    index = torch.tensor([3, 7])
    part = ContactBodies(
        bodies.mass_kg[index],
        bodies.friction[index],
        bodies.restitution[index],
        bodies.shape_index[index],
        None,
        bodies.centre_of_mass_offset_m[index] if bodies.centre_of_mass_offset_m is not None else None,
    )
    boxes = Obstacles(
        True,
        around.position[index],
        around.orientation_xyzw[index],
        around.half_extent_m[index],
        around.linear_velocity[index],
        around.present[index],
    )
    torch.testing.assert_close(step(state.select(index), part, boxes).states.position, whole[index], atol=1e-12, rtol=0)


def test_the_step_runs_on_fake_tensors_of_another_device() -> None:
    # A torch built without CUDA cannot index fake "cuda" tensors; a registered stand-in device can be indexed,
    # and a tensor left on the CPU still raises a device mismatch.
    if torch._C._get_privateuse1_backend_name() == "privateuseone":
        _setup_privateuseone_for_python_backend("fakegpu")
    device = torch._C._get_privateuse1_backend_name()
    with FakeTensorMode():

        def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.empty(*shape, device=device, dtype=dtype)

        state = ObjectStates(empty(8, 3), empty(8, 4), empty(8, 3), empty(8, 3), empty(8, 3))
        bodies = ContactBodies(empty(8), empty(8), empty(8), empty(8, dtype=torch.int64), empty(8), empty(8, 3))
        present = empty(8, 2, dtype=torch.bool)
        boxes = Obstacles(True, empty(8, 2, 3), empty(8, 2, 4), empty(8, 2, 3), empty(8, 2, 3), present)
        for around in (boxes, Obstacles.only_floor(state.position)):
            result = resolve_contacts(state, state.linear_velocity, state.angular_velocity, bodies, around, DT_S)
            assert result.states.position.device.type == device
            assert result.impulse_n_s.shape == (8, around.boxes + 1, 3)


@pytest.mark.slow
def test_the_step_compiles_to_one_graph_with_the_same_result() -> None:
    state, bodies, around = scene(8)

    def whole(position: Tensor) -> Tensor:
        moved = ObjectStates(
            position, state.orientation_xyzw, state.linear_velocity, state.angular_velocity, state.extent_m
        )
        return step(moved, bodies, around, substeps=1, iterations=2).states.position

    compiled = torch.compile(whole, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(state.position), whole(state.position), atol=1e-12, rtol=0.0)
