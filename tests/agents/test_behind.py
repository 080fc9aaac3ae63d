"""Pushing from the right side: when it goes round a thing, and which thing."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from tests.agents.playing import played
from tests.planning.floor import ROBOT
from worldsim.planning.boxes import Boxes
from worldsim.planning.planar import Hypotheses, Outline, PlanarScene, Pushable
from worldsim.types import Preferences
from worldsim.types.planning import OTHERS, PreferredOutcome
from worldsim_agents.active_inference import ActiveInference
from worldsim_agents.behind import Behind, PushPhase

CRATE = Outline.of(torch.tensor([[0.0, 0.0, 0.6, 0.4]]))
NOTHING = Boxes(torch.zeros(1, 0, 2), torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(1, 0))


def led(place, target=0, phase=PushPhase.GO):
    """Return the level above after it has read a scene of two crates, of which it had led behind the first."""
    own = replace(ROBOT, position=place)
    things = (Pushable(1, (0.0, 0.0, 0.0), CRATE), Pushable(2, (0.0, 2.0, 0.0), CRATE))
    scene = PlanarScene(0.0, own, things, {}, {"goal": torch.tensor([[2.0, 0.0, 0.0]])}, NOTHING, NOTHING)
    above = Behind(Preferences(), lambda _: scene, lambda _: target)
    above._target, above.phase = 0, phase
    assert above.read(None, None, 16, 0.25) is scene
    return above, scene


def test_it_goes_behind_a_thing_first_and_pushes_from_there():
    above, scene = led((1.0, 0.3))  # on the goal's side
    assert above.phase is PushPhase.GO
    there, wanted = above.arranged(scene)
    assert not there.pushables
    assert len(there.standing) == 2  # neither of the two is to be run into on the way
    assert [o.subject for o in wanted.outcomes] == ["own"]
    above, scene = led((-1.2, 0.1))
    assert above.phase is PushPhase.PUSH
    there, wanted = above.arranged(scene)
    assert there is scene
    assert wanted is above.preferences


def test_what_has_slipped_aside_is_gone_behind_again_and_so_is_another_one():
    assert led((-0.2, 0.9), phase=PushPhase.PUSH)[0].phase is PushPhase.GO
    assert led((-0.9, 0.6), phase=PushPhase.PUSH)[0].phase is PushPhase.PUSH
    assert led((1.2, 0.0), target=1, phase=PushPhase.PUSH)[0].phase is PushPhase.GO


def test_of_equals_the_nearest_is_tried_that_can_be_felt_before_it_harms():
    clear = PreferredOutcome("clear", OTHERS, "goal", scale_m=0.1, distance_m=0.6, or_farther=True)
    things = tuple(Pushable(n, (x, 0.0, 0.0), CRATE) for n, x in enumerate((1.2, -1.0, -2.5)))
    scene = PlanarScene(0.0, ROBOT, things, {}, {"goal": torch.tensor([[2.0, 0.0, 0.0]])}, NOTHING, NOTHING)
    home = PreferredOutcome("home", "heaviest", "goal", scale_m=0.3)

    def chosen(*outcomes, weights=(0.0, 0.0, 0.0)):
        agent = ActiveInference(None, Preferences(outcomes=outcomes))
        agent.hypotheses = replace(Hypotheses.one_is_heaviest(3, 0.1, 0.4), log_weight=torch.tensor(weights))
        return agent._likeliest(replace(scene, own=replace(ROBOT, position=(1.0, 1.0))))

    assert chosen(home) == 0  # the nearest
    assert chosen(home, clear) == 1  # the first lies within 1.1 m of where all but the heavy one harm
    assert chosen(home, clear, weights=(3.0, 0.0, 0.0)) == 0  # it is as good as known


def test_the_heavy_one_is_found_and_pushed_home():
    agent, done, _ = played("Sorting", 20_004, ActiveInference)
    assert isinstance(agent.above, Behind)
    assert done
    assert float(agent.hypotheses.posterior.max()) > 0.9
    assert math.isfinite(agent.last_plan.cost)
