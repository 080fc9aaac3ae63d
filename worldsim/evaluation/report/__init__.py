"""What a person sees of a run: one self-contained page, its plots, and the animated scene."""

from worldsim.evaluation.report.animation import write_animation
from worldsim.evaluation.report.page import write_report
from worldsim.evaluation.report.story import Moment, tell

__all__ = ["Moment", "tell", "write_animation", "write_report"]
