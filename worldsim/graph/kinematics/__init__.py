"""Joints between pairs of bodies, inferred online from detected poses."""

from worldsim.graph.kinematics.filter import KinematicFilter
from worldsim.graph.kinematics.freedom import JointKind, KinematicSettings, Shift, Turn
from worldsim.graph.kinematics.posterior import FREE, JointPosterior

__all__ = ["FREE", "JointKind", "JointPosterior", "KinematicFilter", "KinematicSettings", "Shift", "Turn"]
