"""A training goes on where a kill left it, counts every frame once, and writes what it came to."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.agents.test_sb3_agent import Corridor
from worldsim.commands.train import _check_nothing_is_lost, _saying_how_to_go_on
from worldsim.errors import ConfigurationError, DataError
from worldsim.evaluation.run_folder import RunFolder
from worldsim.evaluation.statistics import interquartile_mean
from worldsim.evaluation.training import (
    Evaluation,
    SeedResult,
    TrainOptions,
    _checkpoint,
    _History,
    newest_checkpoint,
    train_seeds,
)
from worldsim.evaluation.training_page import render_training_page, training_metrics, training_verdict
from worldsim_agents.sb3_agent import PPOAgent, SACAgent


@pytest.mark.parametrize("made", [PPOAgent, SACAgent])
def test_a_training_that_is_taken_up_again_has_the_networks_the_memory_and_the_history_of_the_first(made, tmp_path):
    first = made.learner(Corridor, 1, 256, 3)
    first.learn(128)
    first.save(tmp_path)
    second = made.learner(Corridor, 1, 256, 3)
    second.restore(tmp_path)
    assert second.steps == first.steps >= 128
    assert second.episodes == first.episodes
    ours, theirs = first.algorithm.policy.state_dict(), second.algorithm.policy.state_dict()
    assert all(bool((ours[name] == theirs[name]).all()) for name in ours)
    for name in first.algorithm._get_torch_save_params()[0]:
        if name.endswith("optimizer"):
            owner = [learner.algorithm for learner in (first, second)]
            for part in name.split("."):
                owner = [getattr(o, part) for o in owner]
            mine, other = (o.state_dict()["state"] for o in owner)
            assert mine.keys() == other.keys()
            assert all(torch.equal(mine[row][key], other[row][key]) for row in mine for key in mine[row])
    if made is SACAgent:
        memories = [learner.algorithm.replay_buffer for learner in (first, second)]
        assert memories[0].size() == memories[1].size() == 128
        assert np.array_equal(memories[0].actions[:128], memories[1].actions[:128])
    before = second.steps
    second.learn(256)
    assert second.steps > before
    assert all(a.step < b.step for a, b in zip(second.episodes, second.episodes[1:], strict=False))
    first.close()
    second.close()


def test_a_finished_training_goes_on_with_a_larger_memory_in_the_order_of_what_it_holds(tmp_path):
    first = SACAgent.learner(Corridor, 1, 64, 3)
    first.learn(64)  # its memory is full to the last row
    first.save(tmp_path)
    second = SACAgent.learner(Corridor, 1, 128, 3)
    second.restore(tmp_path)
    ours, theirs = first.algorithm.replay_buffer, second.algorithm.replay_buffer
    assert (theirs.pos, theirs.full, theirs.size()) == (64, False, 64)
    assert np.array_equal(ours.actions[:64], theirs.actions[:64])
    second.learn(128)
    assert second.steps == 128
    first.close()
    second.close()


def test_a_look_at_a_training_leaves_it_as_it_was():
    weights = []
    for looks in (0, 3):
        learner = PPOAgent.learner(Corridor, 1, 256, 3)
        for _ in range(looks):
            learner.agent()
        learner.learn(128)
        weights.append([value.clone() for value in learner.algorithm.policy.state_dict().values()])
        learner.close()
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_a_training_leaves_nothing_in_the_folder_of_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    learner = PPOAgent.learner(Corridor, 1, 256, 3)
    learner.learn(64)
    losses = learner.scalars
    learner.learn(2 * learner.steps)
    assert "train/loss" in losses
    assert losses.keys() <= learner.scalars.keys()
    PPOAgent.train(Corridor(), 64, 3)
    assert list(tmp_path.iterdir()) == []


def test_two_environments_side_by_side_count_the_frames_of_both():
    learner = PPOAgent.learner(Corridor, 2, 256, 0)
    try:
        learner.learn(128)
        assert learner.vector.num_envs == 2
        assert learner.steps == 128
        assert sum(e.frames for e in learner.episodes) <= 128
    finally:
        learner.close()


def test_the_numbers_are_the_same_wherever_the_environments_run(monkeypatch):
    learned = {}
    for cores in (1, 2):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        learner = PPOAgent.learner(Corridor, 2, 256, 0)
        try:
            learner.learn(256)
            learned[type(learner.vector.unwrapped).__name__] = learner.algorithm.policy.state_dict(), learner.episodes
        finally:
            learner.close()
    (here, episodes), (apart, others) = learned["DummyVecEnv"], learned["SubprocVecEnv"]
    assert all(torch.equal(here[name], apart[name]) for name in here)
    assert episodes == others


def test_a_checkpoint_of_another_algorithm_or_a_truncated_one_is_refused(tmp_path):
    learner = PPOAgent.learner(Corridor, 1, 64, 0)
    learner.learn(64)
    learner.save(tmp_path)
    with pytest.raises(DataError, match="of a training of 'ppo'"):
        SACAgent.learner(Corridor, 1, 64, 0).restore(tmp_path)
    tensors = tmp_path / "learner.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:2000])
    with pytest.raises(DataError, match="no readable training"):
        PPOAgent.learner(Corridor, 1, 64, 0).restore(tmp_path)


def test_the_newest_checkpoint_is_the_one_with_the_most_frames(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    for name in ("checkpoint-64", "checkpoint-1024", "checkpoint-512", ".checkpoint-unfinished", "checkpoint-x"):
        (tmp_path / name).mkdir()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-1024"


def test_an_option_that_cannot_work_is_refused(tmp_path):
    with (
        RunFolder(tmp_path, name="x", config={}, seed=0) as folder,
        pytest.raises(ConfigurationError, match="at least 1"),
    ):
        train_seeds(TrainOptions("Warehouse", steps=0), folder, resume=False)


@pytest.mark.parametrize(
    ("last", "interval", "says"),
    [
        (9.0, [5.0, 12.0], "It has learned something: acting at random has 4"),
        (4.5, [2.0, 6.0], "That may be luck"),
        (3.0, [2.0, 6.0], "no more than an agent has that learns nothing"),
    ],
)
def test_the_verdict_holds_the_score_against_what_learns_nothing(last, interval, says):
    metrics = {
        "steps": [2000, 2048],
        "evaluation_last": {"value": last, "interval": interval, "n": 8},
        "success_last": 0.25,
        "floors": {"random": 4.0, "still": 1.0},
    }
    verdict = training_verdict("ppo", metrics)
    assert says in verdict
    assert "After 2,048 frames ppo" in verdict
    assert "succeeds in 25% of them" in verdict
    assert "was not evaluated" in training_verdict("ppo", {"steps": [10], "floors": {}})


def test_the_verdict_makes_nothing_of_one_episode():
    once = {"value": 9.0, "interval": None, "n": 1}
    metrics = {"steps": [64], "evaluation_last": once, "success_last": 1.0, "floors": {"random": 4.0}}
    verdict = training_verdict("ppo", metrics)
    assert "return of 9 on one held-out episode, which is too few to tell: acting at random has 4." in verdict
    assert "learned something" not in verdict


def test_a_full_disk_leaves_the_checkpoint_before_and_nothing_half_written(tmp_path):
    class Full:
        steps = 20

        def save(self, folder):
            folder.mkdir()
            (folder / "learner.json").write_text("half of")
            raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "checkpoint-10").mkdir()
    with pytest.raises(ConfigurationError, match=r"checkpoint-20: .*No space left.*go on with --resume"):
        _checkpoint(Full(), _History(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]


def test_a_training_is_not_begun_anew_over_another_one_by_accident(tmp_path):
    (tmp_path / "seed-0" / "checkpoint-0").mkdir(parents=True)
    _check_nothing_is_lost(tmp_path)  # nothing was learned
    (tmp_path / "seed-0" / "checkpoint-512").mkdir()
    with pytest.raises(ConfigurationError, match=r"training of 512 frames \(seed-0\). --resume goes on"):
        _check_nothing_is_lost(tmp_path)
    _check_nothing_is_lost(None)


def test_nothing_of_an_earlier_training_is_left_where_another_one_begins(tmp_path):
    for place in (tmp_path / "seed-0" / "tensorboard", tmp_path / "seed-1" / "checkpoint-64", tmp_path / "seed-notes"):
        place.mkdir(parents=True)
    (tmp_path / "policy.json").write_text("{}")
    options = TrainOptions("Intercept", steps=32, evaluation_episodes=0)
    with RunFolder(tmp_path, name="train-ppo", config={}, seed=0) as folder:
        known = {0: SeedResult(0, 32, 0, (), ())}
        train_seeds(options, folder, resume=True, known=known)
        assert (tmp_path / "seed-1").is_dir()
        train_seeds(options, folder, resume=False, known=known)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["events.jsonl", "run.json", "seed-0", "seed-notes"]


def test_who_interrupts_a_training_is_told_the_folder_that_it_goes_on_in(capsys):
    with pytest.raises(KeyboardInterrupt), _saying_how_to_go_on(Path("my runs/train-ppo-0")):
        raise KeyboardInterrupt
    assert "--resume --out 'my runs/train-ppo-0'" in capsys.readouterr().err


def test_a_training_that_is_done_is_not_taken_up_again(tmp_path):
    restarts = []
    for steps, resume in ((64, False), (64, True), (128, True), (128, True)):
        options = TrainOptions("Intercept", steps=steps, checkpoint_every=64, evaluation_episodes=0)
        with RunFolder(tmp_path, name="train-ppo", config={}, seed=0, goes_on=resume) as folder:
            restarts += [result.restarts for result in train_seeds(options, folder, resume=resume)]
    assert restarts == [0, 0, 1, 1]


def test_figures_and_page_hold_curves_floors_and_intervals():
    results = [
        SeedResult(s, 200, 0, tuple((10 * k, float(k), 10) for k in range(1, 21)),
                   (Evaluation(0, (0.0, 1.0), 0.0), Evaluation(200, (8.0 + s, 9.0 + s), 0.5)))
        for s in range(3)
    ]  # fmt: skip
    floors = {"random": Evaluation(0, (-1.0, 1.0), 0.0)}
    metrics = training_metrics(results, floors, np.random.default_rng(0))
    assert metrics["evaluation_last"]["value"] == interquartile_mean(np.array([8, 9, 9, 10, 10, 11.0]))
    assert metrics["evaluation_last"]["interval"][0] <= metrics["evaluation_last"]["value"]
    assert metrics["floors"] == {"random": 0.0}
    assert metrics["success_last"] == 0.5
    assert metrics["mean_return_last_tenth"] == pytest.approx(19.5)
    rng = np.random.default_rng(0)
    page = render_training_page("<ppo>", results, floors, metrics, {"seed": 0}, rng, "It learned.", "worldsim view a")
    assert page.count("<svg") == 2
    assert page.index("It learned.") < page.index("worldsim view a") < page.index("<svg")
    assert "&lt;ppo&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_single_episode_has_a_return_and_no_interval():
    alone = [SeedResult(0, 200, 0, ((10, 1.0, 10),), (Evaluation(200, (8.0,), 0.0),))]
    metrics = training_metrics(alone, {}, np.random.default_rng(0))
    assert metrics["evaluation_last"] == {"value": 8.0, "interval": None, "n": 1}
    page = render_training_page("ppo", alone, {}, metrics, {"seed": 0}, np.random.default_rng(0), "Once.", "view")
    assert "8 (n = 1)" in page


COMMAND = (
    *(sys.executable, "-m", "worldsim", "train", "Warehouse", "--agent", "ppo", "--steps", "256"),
    *("--checkpoint-every", "64", "--evaluation-episodes", "1", "--evaluation-seconds", "0.2", "--json", "--out"),
)


def state_of(place: Path) -> dict:
    return json.loads((newest_checkpoint(place) / "learner.json").read_text())


@pytest.mark.slow
def test_a_training_killed_at_some_moment_goes_on_and_counts_no_frame_twice(tmp_path):
    run, place = tmp_path / "run", tmp_path / "run" / "seed-0"
    process = subprocess.Popen([*COMMAND, run], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (newest_checkpoint(place) or Path("checkpoint-0")).name == "checkpoint-0":
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at = state_of(place)["steps"]
    assert 0 < killed_at < 256
    assert json.loads((run / "run.json").read_text())["status"] == "running"
    other = subprocess.run([*COMMAND, run, "--resume", "--seed", "5"], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "another one: seed 0, now 5" in other.stderr
    done = subprocess.run([*COMMAND, run, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["steps"] == [256]
    assert metrics["restarts"] == [1]
    assert [e["step"] for e in metrics["evaluations"]] == [0, 64, 128, 192, 256]
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert (run / "policy.safetensors").exists()
    assert "<svg" in (run / "report.html").read_text()
    assert list((place / "tensorboard").glob("events.*"))
    assert [p.name for p in place.glob("checkpoint-*")] == ["checkpoint-256"]
