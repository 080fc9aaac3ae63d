"""How far each engine, and the world model's own rollout, is from the laws of mechanics."""

from worldsim.evaluation.accuracy.suite import bench_accuracy

__all__ = ["bench_accuracy"]
