"""What a step teaches beside the pose: colour, size, restlessness, and that a sleeper has begun to move."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.small_world import DT_S, frames, world_model
from worldsim.engine.correction import _adapt_noise, _blend
from worldsim.engine.surprisal import excess_by_channel, surprise
from worldsim.engine.tracking import match, predict_all
from worldsim.inference.observe import read
from worldsim.loop import WorldModel
from worldsim.types.observation import Observation
from worldsim.types.record import CHANNELS, Channel


def test_a_size_is_averaged_and_never_taken_for_surer_than_looks_are() -> None:
    mean, variance = torch.tensor([1.0]).double(), torch.tensor([0.04]).double()
    noise = torch.full((1,), 0.01).double()
    once, less = _blend(mean, variance, mean + 1.0, noise)
    assert float(once) == pytest.approx(1.0 + 0.04 / 0.05)
    assert float(less) == pytest.approx(0.04 * 0.01 / 0.05)
    for _ in range(5000):
        mean, variance = _blend(mean, variance, mean, noise)
    assert float(variance) == pytest.approx(1e-5)


def test_the_colour_follows_what_is_seen() -> None:
    wm = world_model(None, surprise=False)
    stream = frames(3.0)
    wm.reset(next(stream))
    for k, seen in enumerate(stream):
        red = np.tile([1.0, 0.0, 0.0], (len(seen.detections), 1))
        painted = dataclasses.replace(seen, detections=dataclasses.replace(seen.detections, colour=red))
        wm.step(seen if k < 10 else painted, np.zeros(3))
    seen_now = wm.belief.alive & (wm.belief.object_id != wm.own_id)
    assert torch.allclose(wm.belief.colour[seen_now], torch.tensor([1.0, 0.0, 0.0]).double(), atol=0.02)


def test_the_own_body_was_seen_last_when_it_reported_last() -> None:
    wm = world_model(None, surprise=False)
    stream = frames(1.0)
    wm.reset(next(stream))
    reported = wm.step(next(stream), np.zeros(3)).time_s
    wm.step(dataclasses.replace(next(stream), ego=None), np.zeros(3))
    assert float(wm.belief.last_seen_s[wm.belief.slot_of(wm.own_id)]) == reported < wm.belief.time_s


def beside_a_sleeping_crate() -> tuple[WorldModel, Iterator[Observation], Observation, int, int]:
    """Return a model, the frames to come, the next one, and which detection and which slot is a sleeping crate."""
    wm, stream = world_model(None), frames(4.0)
    wm.reset(next(stream))
    for _ in range(30):
        wm.step(next(stream), np.zeros(3))
    seen = next(stream)
    crate = int(np.flatnonzero(seen.detections.position[:, 1] < -3.5)[0])
    place = wm.belief.position.new_tensor(seen.detections.position[crate])
    slot = int((wm.belief.position - place).norm(dim=-1).argmin())
    assert not wm.belief.awake[slot]
    assert not wm.belief.joint_covariance[slot, 6:12, 6:12].any()
    return wm, stream, seen, crate, slot


@pytest.mark.parametrize(("speed_m_s", "frames_moved"), [(0.0, 1), (1.0, 16), (3.0, 16)])
def test_a_sleeper_that_is_knocked_away_is_where_it_went_and_one_that_goes_on_is_known_to_go(
    speed_m_s: float, frames_moved: int
) -> None:
    wm, stream, seen, crate, slot = beside_a_sleeping_crate()
    place = seen.detections.position[crate].copy()
    fastest = 0.0
    for number in range(1, frames_moved + 1):
        there = seen.detections.position
        mine = int(np.linalg.norm(there - place, axis=1).argmin())
        gone = 0.2 if speed_m_s == 0.0 else number * DT_S * speed_m_s
        if np.linalg.norm(there[mine] - place) < 0.1:  # now and then it is missed
            there[mine, 1] -= gone
        wm.step(seen, np.zeros(3))
        fastest = max(fastest, -float(wm.belief.linear_velocity[slot, 1]))
        seen = next(stream)
    assert float((wm.belief.position[slot] - wm.belief.position.new_tensor(place)).norm()) == pytest.approx(
        gone, abs=0.08
    )
    assert (fastest > 2.0) == (speed_m_s == 3.0)


def test_an_outlier_does_not_keep_a_sleeper_awake() -> None:
    wm, stream, seen, crate, slot = beside_a_sleeping_crate()
    place = seen.detections.position[crate].copy()
    seen.detections.position[crate, 0] += 0.07
    wm.step(seen, np.zeros(3))
    for _ in range(3):
        wm.step(next(stream), np.zeros(3))
    assert not wm.belief.awake[slot]
    assert float((wm.belief.position[slot] - wm.belief.position.new_tensor(place)).norm()) < 0.04


def test_a_touch_is_blamed_on_the_contact_and_teaches_nothing_of_the_motion_without_it() -> None:
    wm = world_model(None, surprise=False)
    stream = frames(2.0)
    wm.reset(next(stream))
    for _ in range(30):
        wm.step(next(stream), np.zeros(3))
    state = wm._state
    walker = next(int(s) for s in np.flatnonzero(state.alive) if wm.kind_of(int(state.ids[s])) == "person")
    frame = read(next(stream), state.device, state.dtype)
    with torch.inference_mode():
        predicted = predict_all(state, frame.time_s)
        matched = match(state, predicted, frame)
        surprised = surprise(state, predicted, matched, frame)
        row = matched.rows_on_host.tolist().index(walker)
        pose = float(surprised.pose.excess_nats[row])
        for touching, channel in ((False, Channel.POSITION), (True, Channel.CONTACT)):
            touched = torch.full_like(predicted.touching, touching)
            shares = excess_by_channel(dataclasses.replace(predicted, touching=touched), matched, surprised)[row]
            expected = {channel: pose, Channel.APPEARANCE: float(surprised.appearance_excess_nats[row])}
            assert shares.tolist() == [expected.get(c, 0.0) for c in CHANNELS]
        before = state.belief.noise_scale.clone()
        wild, everyone = (
            torch.full_like(surprised.innovation.nis, 60.0),
            torch.ones_like(matched.slots, dtype=torch.bool),
        )
        _adapt_noise(state, matched, wild, everyone)
        assert torch.equal(state.belief.noise_scale, before)
        _adapt_noise(state, matched, wild, ~everyone)
    assert (state.belief.noise_scale > before).nonzero().flatten().tolist() == [walker]  # all others sleep
