"""The whole closed loop on a device that is not the host: the same beliefs, and few transfers however much there is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.emulated_device import DEVICE, OnDevice, Traffic, emulated_device
from tests.small_world import Shelf, frames, model, world_model
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.evaluation.scale_worlds import Plain, known_models
from worldsim.loop import WorldModel
from worldsim.types.observation import Observation
from worldsim.types.record import EventKind, StepRecord
from worldsim.types.transfer import fetched, sent

MOST_TO_HOST = 11
"""Of a step in which nothing out of the ordinary happens; each is a wait for the device."""


def frames_of(count: int, frames: int) -> list[Observation]:
    stream = Plain(count, count, known_models(), np.random.default_rng(0)).frames()
    return [next(stream) for _ in range(frames)]


def played(device: torch.device | str, observations: list[Observation], **given: object) -> tuple[WorldModel, list]:
    wm = WorldModel(device=device, seed=0, **given)  # type: ignore[arg-type]
    wm.reset(observations[0])
    return wm, [wm.step(observation) for observation in observations[1:]]


def bytes_of(wm: WorldModel) -> dict[str, bytes]:
    tensors = wm.belief.tensors().items()
    return {n: (t.held if isinstance(t, OnDevice) else t).contiguous().numpy().tobytes() for n, t in tensors}


def same(one: list[StepRecord], other: list[StepRecord]) -> bool:
    return all(
        a.surprise.surprisal_nats.tobytes() == b.surprise.surprisal_nats.tobytes()
        and a.surprise.log_e_value.tobytes() == b.surprise.log_e_value.tobytes()
        and a.graph.log_odds.tobytes() == b.graph.log_odds.tobytes()
        and a.events == b.events
        and a.hypotheses == b.hypotheses
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("linearisation", ["derivatives", "differences"])
def test_the_loop_believes_on_a_device_what_it_believes_on_the_host(linearisation: str) -> None:
    loop = LoopSettings(linearisation=linearisation, precision="float32")  # type: ignore[arg-type]
    given = {"models": known_models(), "settings": WorldModelSettings(loop=loop)}
    observations = frames_of(3, 8)
    host, told_on_host = played("cpu", observations, **given)
    with emulated_device():
        device, told_on_device = played(DEVICE, observations, **given)
        assert isinstance(device.belief.position, OnDevice)
        assert bytes_of(device) == bytes_of(host)
    assert same(told_on_host, told_on_device)


def test_a_cat_is_noticed_asked_about_and_adopted_on_a_device_as_on_the_host() -> None:
    observations = list(frames(1.6, cat_from_s=0.8))

    def noticed(device: torch.device | str) -> tuple[dict[str, bytes], list[StepRecord]]:
        wm = world_model(Shelf(model("cat"), model("dog")), device=device)
        wm.reset(observations[0])
        records = [wm.step(observation, np.zeros(3)) for observation in observations[1:]]
        wm.forecast(0.5, 0.25)
        wm.imagine(np.zeros((2, 2)), samples=2)
        return bytes_of(wm), records

    on_host = noticed("cpu")
    assert EventKind.ADOPTION in {event.kind for record in on_host[1] for event in record.events}
    with emulated_device():
        on_device = noticed(DEVICE)
    assert on_device[0] == on_host[0]
    assert same(on_host[1], on_device[1])


def transfers(count: int) -> Traffic:
    """Return what crosses in one step about so many walkers and as many crates, long after the start."""
    observations = frames_of(count, 14)
    loop = LoopSettings(linearisation="derivatives", precision="float32")
    with emulated_device() as traffic:
        wm, _ = played(DEVICE, observations[:-1], models=known_models(), settings=WorldModelSettings(loop=loop))
        traffic.clear()
        wm.step(observations[-1])
    return traffic


def test_how_often_the_host_waits_does_not_follow_how_much_there_is() -> None:
    few, many = transfers(2), transfers(8)
    assert sum(few.to_host.values()) <= MOST_TO_HOST, few.to_host
    assert sum(many.to_host.values()) <= MOST_TO_HOST, many.to_host
    assert sum(many.to_device.values()) <= sum(few.to_device.values()) + 2, (few.to_device, many.to_device)


def test_tensors_of_any_dtype_cross_together_and_arrive_as_they_were() -> None:
    arrays = [
        np.array([True, False, True]),
        np.arange(4).reshape(2, 2),
        np.float32([[0.1, -2.0, 3.5]]),
        np.array(7.25),
        np.zeros((0, 3)),
    ]
    with emulated_device() as traffic:
        there = [torch.as_tensor(array, device=DEVICE) for array in arrays]
        back = fetched(*there, there[1].mT)
        assert sum(traffic.to_host.values()) == 1
        traffic.clear()
        again = sent(DEVICE, torch.float32, *arrays)
        assert sum(traffic.to_device.values()) == 1
        assert all(isinstance(x, OnDevice) and x.held.dtype == torch.float32 for x in again)
        held = [x.held.numpy() for x in again]
    for array, found in zip([*arrays, arrays[1].T], back, strict=True):
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)
    assert all(np.array_equal(found, array.astype(np.float32)) for found, array in zip(held, arrays, strict=True))


def test_the_device_would_notice_a_tensor_left_on_the_host_and_counts_what_is_read() -> None:
    with emulated_device() as traffic:
        there = torch.ones(3, device=DEVICE)
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(3)
        assert float(there.sum()) == 3.0
        assert (there > 0.0).nonzero().shape == (3, 1)
    assert sum(traffic.to_host.values()) == 2
    with pytest.raises(RuntimeError, match="outside"):
        there + 1.0
