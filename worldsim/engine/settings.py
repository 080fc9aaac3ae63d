"""How a world model is set; each default lives here, with the part that it configures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from worldsim.filtering.predict import Linearisation
from worldsim.hypotheses.trial import TrialSettings
from worldsim.inference.sensor_model import SensorModel

Precision = Literal["float64", "float32"]


@dataclass(frozen=True, slots=True)
class EgoInterface:
    """How actions move the own body.

    Attributes:
        kind: kind of the model that runs the own body.
        speed_m_s: forward speed that action 0 = 1 asks for.
        yaw_rate_rad_s: yaw rate that action 1 = 1 asks for.
        hold_index: which component of the action holds (> 0) and releases (< 0).
    """

    kind: str = "robot"
    speed_m_s: float = 1.2
    yaw_rate_rad_s: float = 1.5
    hold_index: int = 2


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Limits and rates of the loop.

    Attributes:
        surprise: False switches alarms, queries and trials off (an ablation).
        alarm_threshold_nats: the e-detector's log W above which an alarm is raised. If the model of an object is
            right, the mean time to a false alarm is at least exp(threshold) of its frames.
        impact_threshold_nats: log likelihood ratio above which two bodies that met did what no two bodies do. If the
            law of impact holds, an impact is taken for such a one with a probability of at most exp(-threshold): 1e-3.
        unknown_threshold_nats: log evidence of the generic model over every loaded one above which a new object is
            taken for unknown when it is first looked at: a single test an object, so its limit is lower.
        confirm_existence: existence probability that an object needs before it can alarm.
        settle_frames: frames for which a new object is tracked with the generic model before it is recognised.
        candidates: how many models are asked of the registry.
        asked_a_step: how many objects a registry on this machine is asked about in one step, the most surprising first;
            where a hundred unknown things come into view at once, the others wait for their turn.
        tested_at_once: how many objects are under test at once; others wait until a verdict makes room.
        learn_s: for how long a new model is learned before it is published, s.
        learn_min_frames: frames seen that a published model needs at least.
        ask_about_strangers: ask the registry about what moves and is explained by nothing but the broad model, though
            no model has failed on it: for a world model that starts with few, and learns the rest.
        retest_s: how long after a verdict the same object may not alarm again, s.
        death_existence: existence probability below which an object is dropped.
        tentative_s: for how long an object not yet recognised may go unseen before it is taken for clutter, s.
        capacity: slots at the start; doubled when full.
        manoeuvre_m: standard deviation of unforeseen jumps that association allows for, m.
        dormant_above: sleepers beyond which they are put to deep sleep: looked up by place, and worked on by no stage
            of the step until something disturbs them. None never does; a small world is worked on whole.
        attention_budget_ms: what a step may take. The step is spent on those about whom it teaches most, and the record
            names who was left (`StepRecord.deferred`). It follows the clock, so that two runs differ. None attends to
            all.
        composites: take passive things whose bond is certain for one rigid body until it breaks.
        rollback_frames: how far the model goes back where it recognises late that a weld was made or broke; that many
            states are kept. 0 never does.
        quiet_frames: frames at rest before a passive object falls asleep.
        future_samples: samples of a forecast, 2 or more.
        linearisation: how the covariance is carried through the dynamics: by ``differences`` as wide as the belief, or
            by the ``derivatives`` that models give of themselves (thousands of awake objects want this).
        precision: of the belief: ``float64``, or ``float32`` for thousands of awake objects that are seen to
            centimetres (docs/decisions/0003).
    """

    surprise: bool = True
    alarm_threshold_nats: float = 24.0
    impact_threshold_nats: float = 6.91
    unknown_threshold_nats: float = 14.0
    confirm_existence: float = 0.97
    settle_frames: int = 4
    candidates: int = 8
    asked_a_step: int = 4
    tested_at_once: int = 16
    learn_s: float = 3.0
    learn_min_frames: int = 30
    ask_about_strangers: bool = False
    retest_s: float = 1.0
    death_existence: float = 0.02
    tentative_s: float = 0.3
    capacity: int = 96
    manoeuvre_m: float = 0.1
    composites: bool = False
    rollback_frames: int = 0
    quiet_frames: int = 8
    dormant_above: int | None = 128
    attention_budget_ms: float | None = None
    future_samples: int = 24
    linearisation: Linearisation = "differences"
    precision: Precision = "float64"


@dataclass(frozen=True, slots=True)
class WorldModelSettings:
    """All settings of a world model, printed in every run's record."""

    loop: LoopSettings = field(default_factory=LoopSettings)
    trial: TrialSettings = field(default_factory=TrialSettings)
    sensor: SensorModel = field(default_factory=SensorModel)
    ego: EgoInterface = field(default_factory=EgoInterface)
