"""Planning by shooting: four searches over any model that prices action sequences."""

from worldsim.planning.shooting.cem import CEM
from worldsim.planning.shooting.gradient import GradientShooting
from worldsim.planning.shooting.icem import ICEM
from worldsim.planning.shooting.optimiser import CandidateCost, ShootingOptimiser, Shot
from worldsim.planning.shooting.path_integral import PathIntegral

__all__ = ["CEM", "ICEM", "CandidateCost", "GradientShooting", "PathIntegral", "ShootingOptimiser", "Shot"]
