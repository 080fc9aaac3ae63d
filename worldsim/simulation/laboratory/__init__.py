"""Small scenes with known laws, built alike in several engines, to measure how far each is from the laws."""

from worldsim.simulation.laboratory.bullet_bench import BulletBench
from worldsim.simulation.laboratory.mujoco_bench import TUNED, MujocoBench, MujocoSettings
from worldsim.simulation.laboratory.scene import Bench, LabBody, LabLink, LabScene, Trace, record

__all__ = [
    "TUNED",
    "Bench",
    "BulletBench",
    "LabBody",
    "LabLink",
    "LabScene",
    "MujocoBench",
    "MujocoSettings",
    "Trace",
    "record",
]
