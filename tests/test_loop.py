"""The loop: it tracks, doubts, asks, adopts, learns, and survives bad input."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.small_world import Shelf, frames, model, run, same, spoilt, world_model
from worldsim.contracts import ObjectModel
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.engine.state import GENERIC_MODEL
from worldsim.errors import CardError, ConfigurationError, ObservationError, PluginError, WorldsimError
from worldsim.loop import WorldModel
from worldsim.registry import open_registry
from worldsim.types import Detections, Event, EventKind, Observation, Viewpoints

DETECTION_FIELDS = tuple(field.name for field in dataclasses.fields(Detections))


def of(events: list[Event], kind: EventKind) -> list[Event]:
    return [e for e in events if e.kind == kind]


def test_a_known_world_is_recognised_and_raises_no_alarm() -> None:
    wm = world_model(Shelf())
    events = run(wm, list(frames(4.0)))
    assert not of(events, EventKind.ALARM)
    belief = wm.belief
    kinds = [wm.kind_of(int(i)) for i, alive in zip(belief.object_id, belief.alive, strict=True) if alive]
    assert sorted(k for k in kinds if k) == sorted(["robot", "person"] + ["static"] * 4 + ["rigid_body"] * 11)


def test_stacked_crates_are_supported_in_the_graph() -> None:
    wm = world_model(Shelf())
    run(wm, list(frames(4.0)))
    support = [(a, b) for a, b, k in wm.graph.to_networkx(0.5).edges(keys=True) if k == "support"]
    height = {int(i): float(z) for i, z in zip(wm.belief.object_id, wm.belief.position[:, 2], strict=True)}
    assert len(support) == 3
    assert all(height[b] > height[a] for a, b in support)


def test_a_cat_alarms_is_asked_about_adopted_and_the_rest_returned() -> None:
    wm = world_model(Shelf(model("cat"), model("dog")))
    before = len(wm.loaded_models)
    events = run(wm, list(frames(4.5, cat_from_s=2.0)))
    (alarm,) = of(events, EventKind.ALARM)
    (adoption,) = of(events, EventKind.ADOPTION)
    assert alarm.object_id == adoption.object_id
    assert 2.0 <= alarm.time_s <= 2.5
    assert adoption.detail["kind"] == "cat"
    assert len(wm.loaded_models) == before + 1


def test_what_no_model_fits_is_learned_published_and_known_the_next_time() -> None:
    shelf = Shelf(model("dog"))
    wm = world_model(shelf)
    events = run(wm, list(frames(8.0, cat_from_s=1.0, hover=True)))
    assert of(events, EventKind.NOVEL)
    (published,) = of(events, EventKind.PUBLISH)
    assert shelf.models[published.detail["model_id"]].card.evidence.log_evidence_gain_nats > 0.0
    again = world_model(shelf)
    later = run(again, list(frames(4.0, seed=1, cat_from_s=1.0, hover=True)))
    assert [e.detail["model_id"] for e in of(later, EventKind.ADOPTION)] == [published.detail["model_id"]]


def test_a_full_disk_while_publishing_is_told_and_tried_again() -> None:
    shelf = Shelf(model("dog"), full=True)
    wm = world_model(shelf)
    observations = list(frames(9.0, cat_from_s=1.0, hover=True))
    events = run(wm, observations[:140])
    away = of(events, EventKind.REGISTRY_AWAY)
    assert away
    assert "no space left" in away[0].detail["error"]
    assert not of(events, EventKind.PUBLISH)
    shelf.full = False
    for observation in observations[140:]:
        events += wm.step(observation, np.zeros(3)).events
    assert of(events, EventKind.PUBLISH)


@pytest.mark.parametrize("refusal", [CardError, PluginError])
def test_a_registry_that_refuses_what_was_learned_is_told_and_the_loop_goes_on(refusal: type[WorldsimError]) -> None:
    class Choosy(Shelf):
        def publish(self, model: ObjectModel) -> str:
            raise refusal("not of a family that is known here")

    events = run(world_model(Choosy(model("dog"))), list(frames(7.0, cat_from_s=1.0, hover=True)))
    assert of(events, EventKind.NOVEL)
    assert "not of a family" in of(events, EventKind.REGISTRY_AWAY)[0].detail["error"]


def test_without_surprise_nothing_is_asked() -> None:
    shelf = Shelf(model("cat"))
    events = run(world_model(shelf, surprise=False), list(frames(4.0, cat_from_s=2.0)))
    assert not of(events, EventKind.ALARM)
    assert not shelf.queries


def test_a_missed_detection_widens_the_belief() -> None:
    wm = world_model(Shelf())
    observations = list(frames(3.0))
    run(wm, observations[:40])
    walker = next(s for s in range(wm.belief.capacity) if wm.kind_of(int(wm.belief.object_id[s])) == "person")
    before = float(wm.belief.joint_covariance[walker, 0, 0])
    gone = observations[40]
    empty = Observation(gone.time_s, Detections.empty(), gone.viewpoints, gone.ego)
    wm.step(empty, np.zeros(3))
    assert float(wm.belief.joint_covariance[walker, 0, 0]) > before


def test_one_seed_one_result_bit_for_bit() -> None:
    a, b = world_model(Shelf(model("cat"))), world_model(Shelf(model("cat")))
    observations = list(frames(3.0, cat_from_s=1.5))
    run(a, observations)
    run(b, observations)
    assert same(a, b)
    assert torch.equal(a.forecast(1.0, 0.1).position, b.forecast(1.0, 0.1).position)


def test_the_order_of_detections_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    observations = list(frames(2.5))
    shuffled = [
        Observation(o.time_s, o.detections.select(rng.permutation(len(o.detections))), o.viewpoints, o.ego)
        for o in observations
    ]
    a, b = world_model(Shelf()), world_model(Shelf())
    run(a, observations)
    run(b, shuffled)

    def places(wm: WorldModel) -> np.ndarray:
        here = wm.belief.position[wm.belief.alive].numpy()
        return here[np.lexsort(here.round(6).T)]

    # sums are taken in another order: rounding of float64
    assert np.allclose(places(a), places(b), atol=1e-9)


def test_a_nan_is_counted_and_the_belief_stays_finite() -> None:
    wm = world_model(Shelf())
    observations = list(frames(1.0))
    wm.reset(observations[0])
    record = wm.step(spoilt(observations[1], 3), np.zeros(3))
    (refused,) = [e for e in record.events if e.kind == EventKind.REJECTED_INPUT]
    assert (refused.detail["detections"], refused.detail["faults"]) == (1, {"position": 1})
    assert all(bool(torch.isfinite(v.double()).all()) for v in wm.belief.tensors().values())


@pytest.mark.parametrize(
    ("first", "across", "back"),
    [(0.0, 0.0, 0.0), (-1e-4, 0.0, 0.0), (1e-4, 5e-4, 5e-4), (1e-4, 5e-5, 0.0)],
    ids=["zero", "negative", "more than correlated", "one-sided"],
)
def test_a_covariance_that_is_none_is_refused_and_named(first: float, across: float, back: float) -> None:
    wm = world_model(Shelf())
    observations = list(frames(1.0))
    wm.reset(observations[0])
    covariance = observations[1].detections.covariance.copy()
    covariance[2, 0, 0], covariance[2, 0, 1], covariance[2, 1, 0] = first, across, back
    covariance[2, 1, 1] = 1e-4
    detections = dataclasses.replace(observations[1].detections, covariance=covariance)
    record = wm.step(dataclasses.replace(observations[1], detections=detections), np.zeros(3))
    (refused,) = [e for e in record.events if e.kind == EventKind.REJECTED_INPUT]
    assert (refused.detail["detections"], refused.detail["faults"]) == (1, {"covariance": 1})


def test_an_empty_observation_is_a_frame_in_which_all_was_missed() -> None:
    wm = world_model(Shelf())
    observations = list(frames(1.0))
    run(wm, observations)
    alive = int(wm.belief.alive.sum())
    wm.step(Observation(1.0, Detections.empty(), Viewpoints.everywhere(), observations[0].ego), np.zeros(3))
    assert int(wm.belief.alive.sum()) == alive


def test_a_sensor_that_has_lost_its_place_tells_nothing_against_what_it_does_not_see() -> None:
    wm = world_model(Shelf())
    observations = list(frames(1.0))
    run(wm, observations)
    before = set(wm.belief.object_id[wm.belief.alive].tolist())
    lost = Viewpoints(np.full((1, 3), np.nan), np.array([30.0]))
    for k in range(20):
        record = wm.step(Observation(1.0 + 0.05 * k, Detections.empty(), lost, observations[-1].ego), np.zeros(3))
    (refused,) = [e for e in record.events if e.kind == EventKind.REJECTED_INPUT]
    assert refused.detail["faults"] == {"viewpoints": 1}
    assert set(wm.belief.object_id[wm.belief.alive].tolist()) == before


def test_time_that_runs_backwards_is_refused_and_the_belief_stays() -> None:
    wm = world_model(Shelf())
    observations = list(frames(1.0))
    run(wm, observations)
    before = {k: v.clone() for k, v in wm.belief.tensors().items()}
    with pytest.raises(ObservationError, match="time runs forward"):
        wm.step(observations[3], np.zeros(3))
    with pytest.raises(ObservationError, match="action is"):
        wm.step(Observation(5.0, Detections.empty(), Viewpoints.everywhere()), np.array([np.nan, 0, 0]))
    assert all(torch.equal(before[k], v) for k, v in wm.belief.tensors().items())


def test_the_same_instant_twice_teaches_nothing() -> None:
    wm = world_model(Shelf())
    observations = list(frames(1.0))
    wm.reset(observations[0])
    record = wm.step(observations[1], np.zeros(3))
    assert wm.step(observations[1], np.zeros(3)) is record


def test_use_before_reset_and_without_models_is_refused_with_advice() -> None:
    with pytest.raises(ConfigurationError, match="open_registry"):
        WorldModel()
    with pytest.raises(ConfigurationError, match="before reset"):
        world_model(Shelf()).step(next(iter(frames(1.0))), np.zeros(3))


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (
            [type(model("cat"))],
            r"models holds <class .*Cat'>, expected an id in the registry or an ObjectModel instance",
        ),
        ([model("cat").card], r"models holds ModelCard\(.*, expected an id"),
        ("generic/unknown", r"expected a list of ids .*\['generic/unknown'\]"),
    ],
)
def test_what_is_no_model_and_no_id_is_refused(models: object, message: str) -> None:
    with open_registry("builtin") as registry, pytest.raises(ConfigurationError, match=message):
        WorldModel(registry, models=models)  # type: ignore[arg-type]


def test_models_of_ones_own_without_a_registry_need_the_broad_one_among_them() -> None:
    with pytest.raises(ConfigurationError, match=r"'generic/unknown' is needed, but there is no registry"):
        WorldModel(models=[model("cat")])
    assert WorldModel(models=[model("cat"), model("generic")]).loaded_models == (
        model("cat").card.model_id,
        GENERIC_MODEL,
    )


def test_the_address_of_a_registry_is_told_to_be_opened_first(tmp_path: Path) -> None:
    world_model(None).save(tmp_path / "wm.safetensors")
    for make in (WorldModel, lambda registry: WorldModel.load(tmp_path / "wm.safetensors", registry)):
        with pytest.raises(ConfigurationError, match=r"worldsim\.open_registry\('builtin'\)"):
            make("builtin")  # type: ignore[arg-type]


def test_imagining_asks_for_usable_actions_and_moves_the_own_body() -> None:
    wm = world_model(Shelf())
    run(wm, list(frames(1.0)))
    with pytest.raises(ConfigurationError, match="imagine: actions"):
        wm.imagine(np.full((3, 3), np.nan))
    rollout = wm.imagine(np.tile([1.0, 0.0, 0.0], (10, 1)), horizon=20, samples=8)
    own = int(np.flatnonzero(rollout.object_id == wm.own_id)[0])
    ahead = rollout.position[:, -1, own, 0].mean() - wm.belief.position[wm.belief.slot_of(wm.own_id), 0]
    # response 4/s: 1.2 m/s less a quarter of a second of run-up over 2 s
    assert float(ahead) == pytest.approx(1.2 * (2.0 - 0.25), rel=0.05)
    assert rollout.position.shape[:2] == (8, 20)
    beyond = wm.imagine(np.tile([5.0, 0.0, 0.0], (10, 1)), horizon=20, samples=8)  # as a step takes it
    assert torch.equal(beyond.position, rollout.position)


@pytest.mark.parametrize("device", ["gpu0", "cuda:99"])
def test_a_device_that_is_not_there_is_told_as_a_mistake_of_the_settings(device: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"no device '{device}' here: .*device='cpu'"):
        WorldModel(models=[model("generic")], device=device)
    with pytest.raises(ConfigurationError, match=f"no device '{device}' here"):
        WorldModel.load(tmp_path / "wm.safetensors", device=device)


@pytest.mark.parametrize(("horizon_s", "dt_s"), [(0.0, 0.1), (1.0, 0.0), (1.0, -0.1), (np.nan, 0.1), (1.0, np.inf)])
def test_a_future_without_length_or_step_is_refused(horizon_s: float, dt_s: float) -> None:
    wm = world_model(Shelf())
    run(wm, list(frames(0.2)))
    with pytest.raises(ConfigurationError, match="forecast: horizon_s"):
        wm.forecast(horizon_s, dt_s)
    if not 0.0 < dt_s < np.inf:
        with pytest.raises(ConfigurationError, match="imagine: dt_s is"):
            wm.imagine(np.zeros((3, 3)), dt_s=dt_s)


def test_a_belief_without_a_slot_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="capacity is 0, expected 1 or more"):
        world_model(Shelf(), settings=WorldModelSettings(loop=LoopSettings(capacity=0)))


def test_a_forecast_of_one_sample_whose_spread_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="future_samples is 1, expected 2 or more"):
        world_model(Shelf(), settings=WorldModelSettings(loop=LoopSettings(future_samples=1)))


def test_the_world_model_runs_where_pybullet_cannot_be_imported() -> None:
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('pybullet', 'mujoco'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import numpy as np\n"
        "from tests.small_world import Shelf, frames, world_model\n"
        "wm = world_model(Shelf())\n"
        "seen = list(frames(1.0))\n"
        "wm.reset(seen[0])\n"
        "for o in seen[1:]: wm.step(o, np.zeros(3))\n"
        "print(wm.belief.position.sum().item().hex())\n"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", script], check=True, cwd=root, capture_output=True, text=True)
    wm = world_model(Shelf())
    run(wm, list(frames(1.0)))
    assert done.stdout.strip() == wm.belief.position.sum().item().hex()


def test_clutter_seen_once_is_forgotten_before_it_can_become_something_else() -> None:
    nowhere = Viewpoints(np.array([[100.0, 0, 5]]), np.array([1.0]))  # nobody looks: nothing tells of a ghost
    stream = [dataclasses.replace(observation, viewpoints=nowhere) for observation in frames(2.0)]
    seen = stream[30].detections
    ghost = {name: np.concatenate([getattr(seen, name), getattr(seen, name)[:1]]) for name in DETECTION_FIELDS}
    ghost["position"][-1] = [0.0, -1.0, 3.0]
    stream[30] = dataclasses.replace(stream[30], detections=Detections(**ghost))
    wm = world_model(Shelf())
    run(wm, stream[:32])
    born = int(wm.belief.alive.sum())
    run(wm, stream)
    assert int(wm.belief.alive.sum()) == born - 1


def test_a_refused_observation_or_action_leaves_the_belief_as_it_was() -> None:
    first, second, third = list(frames(0.2))[:3]
    wm = world_model(Shelf())
    wm.reset(first)
    wm.step(second, np.zeros(3))
    before = {name: tensor.clone() for name, tensor in wm.belief.tensors().items()}
    blind = dataclasses.replace(third, viewpoints=Viewpoints(np.zeros((2, 3)), np.ones(1)))
    strange = dataclasses.replace(
        third, detections=dataclasses.replace(third.detections, appearance=third.detections.appearance[:, :5])
    )
    for refused in (blind, strange, None, 5):
        with pytest.raises(ObservationError):
            wm.step(refused, np.zeros(3))  # type: ignore[arg-type]
        with pytest.raises(ObservationError):
            wm.reset(refused)  # type: ignore[arg-type]
    with pytest.raises(ObservationError, match="action is 'forward'"):
        wm.step(third, "forward")  # type: ignore[arg-type]
    assert all(torch.equal(before[name], tensor) for name, tensor in wm.belief.tensors().items())
    other = world_model(Shelf())
    other.reset(first)
    other.step(second, np.zeros(3))
    wm.step(third, np.zeros(3))
    other.step(third, np.zeros(3))
    assert same(wm, other)
