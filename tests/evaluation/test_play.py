"""Playing a scenario from the command line's options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import worldsim
from worldsim.errors import ConfigurationError, PluginError, UnknownNameError
from worldsim.evaluation.play import PlayOptions, agent_for, check, construct, learning_agent, make_agent, play
from worldsim.evaluation.run_folder import RunFolder, read_events, read_run
from worldsim.evaluation.trajectory_io import read_trajectory


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (PlayOptions("Warehaus"), UnknownNameError, "Did you mean 'Warehouse'"),
        (PlayOptions("Warehouse", agent="deliverr"), UnknownNameError, "Did you mean 'deliverer'"),
        (PlayOptions("Warehouse", agent="ppo"), ConfigurationError, "has to be trained first: `worldsim train"),
        (PlayOptions("Warehouse", policy=Path("x")), ConfigurationError, "does not learn"),
    ],
)
def test_a_name_that_cannot_be_played_is_an_error_that_says_what_to_do(options, error, says):
    with pytest.raises(error, match=says):
        check(options)


def test_only_an_agent_that_learns_can_be_trained():
    assert learning_agent(PlayOptions("Warehouse", agent="sac")).__name__ == "SACAgent"
    with pytest.raises(ConfigurationError, match="does not learn"):
        learning_agent(PlayOptions("Warehouse", agent="random"))


def test_an_agent_gets_what_its_constructor_asks_for():
    wm = worldsim.WorldModel(registry=worldsim.open_registry("builtin"))
    assert make_agent(PlayOptions("Warehouse", agent="random"), wm, 5).action_dim == 5
    assert make_agent(PlayOptions("Warehouse"), wm, 3).world_model is wm


def test_an_agent_whose_constructor_asks_for_what_nobody_has_is_told_what_is_offered():
    class Picky:
        def __init__(self, action_dim, speed_m_s):
            """Want too much."""

    with pytest.raises(
        PluginError, match=r"'Picky' asks its constructor for \['speed_m_s'\]; offered are \['action_dim'"
    ):
        construct(Picky, None, 3, None)


@pytest.mark.slow
def test_a_played_episode_leaves_a_run_folder_that_can_be_read_back(tmp_path):
    options = PlayOptions("Warehouse", episodes=2, max_frames=10, seed=4)
    with RunFolder(tmp_path / "run", name="Warehouse", config={}, seed=4) as folder:
        metrics = play(options, folder)
    assert metrics["summary"]["episodes"] == 2
    assert metrics["summary"]["simulated_s"] == pytest.approx(1.0)
    assert read_run(folder.path)["status"] == "finished"
    assert {event["kind"] for event in read_events(folder.path)} <= {str(kind) for kind in worldsim.types.EventKind}
    assert [len(read_trajectory(folder.path / f"trajectory-{seed}.npz")) for seed in (4, 5)] == [10, 10]
    written = json.loads((folder.path / "metrics.json").read_text())
    assert [episode["seed"] for episode in written["episodes"]] == [4, 5]
    assert "<html" in (folder.path / "report.html").read_text()


def test_a_run_in_the_other_engine_is_another_world_of_the_same_scene(tmp_path):
    pytest.importorskip("mujoco", reason="the second engine needs worldsim-lab[mujoco]")
    ways = []
    for engine in ("bullet", "mujoco"):
        options = PlayOptions("Intercept", agent="random", max_frames=20, seed=3, engine=engine)
        with RunFolder(tmp_path / engine, name="Intercept", config={"engine": engine}, seed=3) as folder:
            play(options, folder)
        ways.append(np.load(next(folder.path.glob("*.npz")))["infos/truth/position"])
    assert ways[0].shape == ways[1].shape
    np.testing.assert_allclose(ways[0][0], ways[1][0], atol=1e-6)
    assert 0.0 < np.abs(ways[0][-1] - ways[1][-1]).max() < 1.0


@pytest.mark.parametrize(
    ("scenario", "arguments", "agent"),
    [
        ("Warehouse", (), "deliverer"),
        ("PushT", (), "pusher"),
        ("Stacks", (), "deliverer"),
        ("Billiards", (), "deliverer"),
        ("Billiards", (("reward", "dense"),), "striker"),
    ],
)
def test_who_plays_where_nobody_was_named_can_do_what_is_asked(scenario, arguments, agent):
    assert agent_for(scenario, arguments, "deliverer") == agent


def test_a_belief_more_often_than_every_frame_is_kept_every_frame(tmp_path):
    options = PlayOptions("Intercept", agent="random", max_frames=4, beliefs_every_s=0.01)
    with RunFolder(tmp_path / "run", name="Intercept", config={}, seed=0) as folder:
        play(options, folder)
    assert [path.name for path in sorted(folder.path.glob("belief-*"))] == [
        f"belief-0-{time}s.safetensors" for time in ("0.00", "0.05", "0.10", "0.15")
    ]


def test_a_run_that_is_interrupted_keeps_its_events_and_the_scores_of_the_episodes_that_were_played(tmp_path):
    def stop(episode, frame):
        if episode == 1 and frame.time_s > 0.2:
            raise KeyboardInterrupt

    options = PlayOptions("Intercept", agent="random", episodes=3, max_frames=8, seed=5)
    with (
        pytest.raises(KeyboardInterrupt),
        RunFolder(tmp_path / "run", name="Intercept", config={}, seed=5) as folder,
    ):
        play(options, folder, stop)
    events = read_events(folder.path)
    assert {event["episode"] for event in events} == {5, 6}
    assert max(event["time_s"] for event in events if event["episode"] == 6) <= 0.25
    scores = json.loads((folder.path / "metrics.json").read_text())
    assert scores["summary"]["episodes"] == 1
    assert [row["seed"] for row in scores["episodes"]] == [5]
    assert scores["episodes"][0]["other_alarms"] == scores["summary"]["alarms"]
    assert "false_alarms" not in scores["episodes"][0]
