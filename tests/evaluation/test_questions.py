"""What-if questions: what is understood, where understanding stops, and what a belief answers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.small_world import frames, world_model
from worldsim.errors import ConfigurationError, DataError, UnknownNameError
from worldsim.evaluation.answers import answer
from worldsim.evaluation.questions import Act, Asked, Question, Thing, parse_question
from worldsim.evaluation.run_folder import RunFolder
from worldsim.evaluation.saved_beliefs import keep_belief, kept_beliefs, open_belief
from worldsim.graph.edges import EdgeTable


@pytest.mark.parametrize(
    ("text", "acts", "asked", "thing", "at_s"),
    [
        ("if nothing changes, where is the worker?", (), Asked.WHERE, Thing(kind="worker"), 2.0),
        ("If I stop, how fast is #12 in 1.5 s", (Act(),), Asked.HOW_FAST, Thing(object_id=12), 1.5),
        (
            "if I drive at 0.8 m/s and turn left at .5 rad/s for 1 s, do I touch anything?",
            (Act(0.8, 0.5, (1, 1), 1.0),), Asked.TOUCH, Thing(), 1.0,
        ),
        (
            "if back 0.3 m/s for 2 s then turn right for 1 s then wait, how near does the cat come in 4 s?",
            (Act(-0.3, 0.0, (-1, 0), 2.0), Act(0.0, None, (0, -1), 1.0), Act()), Asked.HOW_NEAR, Thing(kind="cat"), 4.0,
        ),
        ("if I drive for 3 s, where will I be?", (Act(None, 0.0, (1, 0), 3.0),), Asked.WHERE, Thing(own=True), 3.0),
    ],
)  # fmt: skip
def test_a_question_of_the_language_is_understood(text, acts, asked, thing, at_s):
    assert parse_question(text) == Question(text, acts, asked, thing, at_s)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("where is the cat?", "expected 'if', found 'where' at character 1"),
        ("if I fly, where is the cat?", "expected 'stop', 'wait', 'drive', 'back' or 'turn', found 'fly'"),
        ("if I turn at 1 rad/s, where am I", "expected 'left' or 'right', found 'at'"),
        ("if I drive at 0.8 km/h, where am I", "expected 'm/s', found 'km'"),
        ("if I stop where am I", "expected ',', found 'where'"),
        ("if I stop, why", "expected 'where', 'how fast', 'how near'"),
        ("if I stop, where is", "expected 'I', 'anything', '#' and a number, or a kind, found the end"),
        ("if I stop, where is # cat", "expected the number of a thing, found 'cat'"),
        ("if I stop, where is the cat now", "expected the end of the question, found 'now'"),
        ("if I stop then drive, where am I", "only the last act may do without"),
        ("if I stop, where am I in 60 s", "at most 10 s"),
        ("if I stop, do I touch I", "other than the own body"),
        ("if I turn left and turn right for 1 s, where am I", "once each"),
        ("if I drive at 0.3 m/s and back at 0.3 m/s for 2 s, where am I", "once each"),
    ],
)
def test_a_wrong_question_is_told_where_it_goes_wrong(text, says):
    with pytest.raises(ConfigurationError, match=says):
        parse_question(text)


@pytest.fixture(scope="module")
def believer():
    """A world model after a second in which a person walks along x at 1.2 m/s; the own body stands at (5, 1)."""
    model = world_model()
    for k, frame in enumerate(frames(1.0)):
        model.reset(frame) if k == 0 else model.step(frame, np.zeros(3))
    return model


def asked(model, text):
    return answer(model, parse_question(text))


def test_the_answer_to_nothing_changes_is_the_forecast(believer):
    found = asked(believer, "if nothing changes, where is the person in 1 s?")
    assert [f.kind for f in found.findings] == ["person"]
    assert found.time_s == pytest.approx(0.95)
    x, y, _ = found.findings[0].value
    # it walks at 1.2 m/s from x = -4: a second later at -1.66, give or take its wandering
    assert (x, y) == pytest.approx((-1.66, 0.0), abs=0.35)
    assert found.findings[0].low[0] < x < found.findings[0].high[0]


def test_what_the_own_body_does_is_answered_from_its_imagined_motion(believer):
    still = asked(believer, "if I stop, where am I in 2 s?").findings[0].value
    ahead = asked(believer, "if I drive at 0.6 m/s, where am I in 2 s?").findings[0].value
    assert still[:2] == pytest.approx((5.0, 1.0), abs=0.1)
    assert ahead[0] - still[0] == pytest.approx(1.2, abs=0.35)  # less what the body needs to get going


def test_an_answer_is_of_the_very_time_that_was_asked_for(believer):
    x = [asked(believer, f"if I drive at 1 m/s, where am I in {t} s?").findings[0].value[0] for t in (0.2, 0.25, 0.3)]
    assert x[0] < x[1] - 0.01 < x[2] - 0.02


@dataclasses.dataclass
class Raised:
    """A believer that holds another belief."""

    other: object
    belief: object

    def __getattr__(self, name):
        return getattr(self.other, name)


def test_what_is_likelier_than_not_low_enough_to_be_touched_does_not_hang_above(believer):
    crate = asked(believer, "if I stop, how near does anything come?").findings[0].object_id
    belief = believer.belief
    own, slot = belief.slot_of(believer.own_id), belief.slot_of(crate)
    top = float(belief.position[own, 2] + belief.extent_m[own, 2] / 2.0)
    for under_m, hangs in ((0.03, False), (0.15, True)):
        position, covariance = belief.position.clone(), belief.joint_covariance.clone()
        position[slot, 2] = top + under_m + belief.extent_m[slot, 2] / 2.0
        covariance[slot, 2, 2] = 0.03**2

        raised = Raised(believer, dataclasses.replace(belief, position=position, joint_covariance=covariance))
        text = asked(raised, f"if I stop, how near does #{crate} come?").text
        assert ("hangs above" in text) == hangs


def test_the_gap_to_a_thing_shrinks_as_one_drives_towards_it(believer):
    # nothing stands ahead of (5, 1) along x; the person walks behind
    away = asked(believer, "if I drive at 1 m/s, do I touch anything in 3 s?")
    assert away.findings[0].value[0] < 0.2
    gap_back = asked(believer, "if I back at 1 m/s for 3 s, how near does the person come?").findings[0].value[0]
    gap_ahead = asked(believer, "if I drive at 1 m/s for 3 s, how near does the person come?").findings[0].value[0]
    assert gap_back < gap_ahead - 1.0


def test_anything_is_not_what_the_own_body_carries(believer):
    crate = asked(believer, "if I stop, how near does anything come?").findings[0].object_id
    state, own = believer._state, believer.own_id
    kind, before = [i.kind for i in state.interactions].index("attach"), state.edges
    state.edges = EdgeTable(*(np.array([value]) for value in (own, crate, kind, 4.0)))
    believer._whole = None
    told = asked(believer, "if I stop, how near does anything come?").findings
    named = asked(believer, f"if I stop, how near does #{crate} come?").findings
    state.edges, believer._whole = before, None
    assert told
    assert crate not in [finding.object_id for finding in told]
    assert [finding.object_id for finding in named] == [crate]


def test_asking_decides_nothing_and_changes_nothing(believer):
    before = {name: value.clone() for name, value in believer.belief.tensors().items()}
    first = asked(believer, "if I drive, how near does anything come?")
    again = asked(believer, "if I drive, how near does anything come?")
    assert first == again
    assert all(torch.equal(before[name], value) for name, value in believer.belief.tensors().items())


def test_what_is_not_in_the_belief_is_an_error_that_lists_what_is(believer):
    with pytest.raises(UnknownNameError, match="person"):
        asked(believer, "if I stop, where is the unicorn?")
    with pytest.raises(UnknownNameError, match="#1"):
        asked(believer, "if I stop, where is #4711?")
    with pytest.raises(ConfigurationError, match="beyond the body's"):
        asked(believer, "if I drive at 9 m/s, where am I?")


def test_a_run_is_asked_by_command_from_the_belief_that_it_kept(believer, tmp_path):
    with RunFolder(tmp_path / "run", name="x", config={}, seed=3) as folder:
        kept = keep_belief(believer, folder.path, 3)
    assert kept_beliefs(folder.path) == {3: {0.95: kept}}
    assert open_belief(folder.path, 3, 0.95).belief.time_s == believer.belief.time_s
    with pytest.raises(DataError, match=r"it has those of 0\.95 s"):
        open_belief(folder.path, 3, 7.0)
    with pytest.raises(DataError, match=r"it has those of \[3\]"):
        open_belief(folder.path, 5)
    bytes_before = kept.read_bytes()
    question = "if I stop, where is the person in 1 s?"
    command = [sys.executable, "-m", "worldsim", "ask", str(folder.path), question, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["findings"][0]["kind"] == "person"
    assert said["text"].startswith("in 1 s, the person")
    assert kept.read_bytes() == bytes_before


def test_a_folder_without_a_belief_says_how_one_is_made(tmp_path):
    with RunFolder(tmp_path / "run", name="x", config={}, seed=3) as folder:
        pass
    with pytest.raises(DataError, match="worldsim run SCENARIO"):
        open_belief(folder.path)
