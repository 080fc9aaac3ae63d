"""People who walk together keep together; those who merely pass do not."""

import torch

from worldsim.evaluation.track_models import pedestrian
from worldsim.types import Control, ObjectStates


def _after(neighbour_at: tuple[float, float], neighbour_velocity: tuple[float, float], known: bool = True) -> float:
    """Return the speed along x, 0.4 s later, of somebody who walks at 1 m/s along x."""
    model = pedestrian()
    state = ObjectStates.at_rest(
        torch.tensor([[0.0, 0.0, 0.875]], dtype=torch.float64), torch.tensor([[0.45, 0.45, 1.75]], dtype=torch.float64)
    )
    velocity = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    state = ObjectStates(state.position, state.orientation_xyzw, velocity, state.angular_velocity, state.extent_m)
    alone = Control.none(state.position)
    control = Control(
        alone.command,
        alone.commanded,
        torch.tensor([[*neighbour_at, 0.875]], dtype=torch.float64),
        torch.tensor([[*neighbour_velocity, 0.0]], dtype=torch.float64),
        torch.tensor([known]),
    )
    parameters = torch.tensor([[p.mean for p in model.card.parameters]], dtype=torch.float64)
    wrench = torch.zeros(1, 6, dtype=torch.float64)
    return float(model.dynamics(state, parameters, wrench, control, 0.4).linear_velocity[0, 0])


def test_a_companion_who_walks_faster_is_kept_up_with() -> None:
    alone = _after((0.0, 0.7), (1.2, 0.0), known=False)
    together = _after((0.0, 0.7), (1.2, 0.0))
    assert alone + 0.02 < together < 1.2


def test_somebody_far_away_or_going_elsewhere_is_no_companion() -> None:
    alone = _after((0.0, 0.7), (1.2, 0.0), known=False)
    for place, velocity in (((0.0, 4.0), (1.2, 0.0)), ((0.0, 0.7), (-1.0, 0.0))):
        assert abs(_after(place, velocity) - alone) < 1e-3
