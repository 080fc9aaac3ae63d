"""A balloon, as somebody who never saw worldsim's sources would write it."""

import torch

from worldsim.contracts import ObjectModel
from worldsim.dynamics.motion import advance


class Balloon(ObjectModel):
    """Rises until its drag carries its lift."""

    family = "balloon"
    parameter_names = ("lift_m_s2", "drag_per_s")

    def dynamics(self, state, parameters, wrench, control, dt_s):
        """Return the states `dt_s` later."""
        lift, drag = parameters.unbind(-1)
        up = torch.tensor([0.0, 0.0, 1.0], dtype=lift.dtype, device=lift.device)
        kept = torch.exp(-drag * dt_s).unsqueeze(-1)
        velocity = state.linear_velocity * kept + lift.unsqueeze(-1) * up * dt_s
        return advance(state, velocity, state.angular_velocity * kept, dt_s)
