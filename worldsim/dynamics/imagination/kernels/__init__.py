"""Rollouts with contact as a loop over samples, in machine code."""

from worldsim.dynamics.imagination.kernels.layout import BOX, CAPSULE, SLOTS, SPHERE, Cast, Rules
from worldsim.dynamics.imagination.kernels.steps import roll

__all__ = ["BOX", "CAPSULE", "SLOTS", "SPHERE", "Cast", "Rules", "roll"]
