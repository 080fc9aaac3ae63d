"""What information gain is worth: who takes part, and one whole episode with a belief."""

from __future__ import annotations

from dataclasses import replace

from worldsim.evaluation.bench_information import OFF, ON, scenarios_with_outcomes
from worldsim.evaluation.sweep import HALF_LIFE_S, EpisodeJob, play_job


def test_every_task_whose_preferences_name_outcomes_takes_part():
    tasks = {"Billiards", "Crowd", "DoorsAndDrawers", "HouseSearch", "Intercept", "PushT", "Sorting", "Warehouse"}
    assert tasks <= set(scenarios_with_outcomes())
    assert "Stacks" not in scenarios_with_outcomes()  # nothing is asked there


def test_the_two_sides_differ_in_information_gain_alone():
    assert ON.use_utility
    assert OFF.use_utility
    assert (ON.use_states_info_gain, ON.use_param_info_gain) == (True, True)
    assert (OFF.use_states_info_gain, OFF.use_param_info_gain) == (False, False)
    assert ON.nat_worth == OFF.nat_worth


def test_in_a_search_there_is_something_to_ask_and_without_information_gain_nothing_is_asked():
    job = EpisodeJob("HouseSearch", "active_inference", 0, (("duration_s", 1.0),), {"drives": ON}, world_model=True)
    assert play_job(job).questions > 0
    assert play_job(replace(job, agent_arguments={"drives": OFF})).questions == 0


def test_an_agent_with_a_belief_comes_nearer_to_the_ball_and_the_same_seed_has_the_same_score():
    short = (("target", "rolling"), ("duration_s", 1.5))
    job = EpisodeJob("Intercept", "active_inference", 1, short, {"drives": ON}, world_model=True)
    scores = [play_job(job), play_job(job), play_job(replace(job, agent_arguments={"drives": OFF}))]
    assert scores[0] == scores[1] == scores[2]  # where there is nothing to ask, both sides are one episode, to the bit
    assert scores[0].questions == 0
    assert scores[0].total > 0.2
    assert scores[0].frames == 30
    assert 0.5 ** (1.5 / HALF_LIFE_S) * scores[0].total < scores[0].discounted < scores[0].total
