"""Scores of an inferred interaction graph, worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tests.evaluation.hand_made import make_log
from worldsim.evaluation.episode import BeliefSnapshot, EpisodeLog
from worldsim.evaluation.graph_scoring import EdgeScore, graph_scores, names_of_objects
from worldsim.types.graph import InteractionGraph
from worldsim.types.truth import WorldTruth

LOG = make_log(10)
ID = {name: int(LOG.frames[0].belief.object_id[k]) for k, name in enumerate(LOG.frames[0].truth.names)}


def edges(*listed: tuple[str, str, str, float]) -> InteractionGraph:
    """Return a graph of (source, target, kind, probability) over the names of the hand-made episode."""
    source, target, kind, p = zip(*listed, strict=True) if listed else ((), (), (), ())
    p = np.array(p)
    return InteractionGraph(
        np.array([ID[name] for name in source], dtype=np.int64),
        np.array([ID[name] for name in target], dtype=np.int64),
        tuple(kind),
        np.log(p / (1.0 - p)),
    )


def log_with(graph: InteractionGraph, **truth) -> EpisodeLog:
    """Return the episode with that graph in every frame, and that truth."""
    frames = tuple(
        dataclasses.replace(
            frame,
            record=dataclasses.replace(frame.record, graph=graph),
            truth=dataclasses.replace(frame.truth, **truth),
        )
        for frame in LOG.frames
    )
    return dataclasses.replace(LOG, frames=frames)


def scores(graph: InteractionGraph, **truth) -> dict[str, EdgeScore]:
    return {score.kind: score for score in graph_scores(log_with(graph, **truth))}


def test_an_edge_that_is_there_is_found_in_every_frame_and_one_that_is_not_is_invented():
    graph = edges(("pallet-1", "crate-1", "support", 0.9), ("shelf-1", "shelf-2", "support", 0.6))
    support = scores(graph, supports=(("pallet-1", "crate-1"),))["support"]
    assert (support.frames, support.found, support.invented, support.missed) == (10, 10, 10, 0)
    assert (support.precision, support.recall) == (0.5, 1.0)


def test_support_has_a_direction_and_contact_has_none():
    graph = edges(("crate-1", "pallet-1", "support", 0.9), ("pallet-1", "crate-1", "contact", 0.9))
    found = scores(graph, supports=(("pallet-1", "crate-1"),), contacts=(("crate-1", "pallet-1", 49.0),))
    assert (found["support"].found, found["support"].missed) == (0, 10)
    assert (found["contact"].found, found["contact"].missed, found["contact"].invented) == (10, 0, 0)


def test_an_edge_below_the_threshold_is_not_believed():
    graph = edges(("pallet-1", "crate-1", "support", 0.49))
    assert scores(graph, supports=(("pallet-1", "crate-1"),))["support"].missed == 10


def test_a_kind_without_edges_has_neither_precision_nor_recall():
    attach = scores(edges(), attachments=())["attach"]
    assert math.isnan(attach.precision)
    assert math.isnan(attach.recall)


def test_an_edge_to_a_thing_that_is_not_believed_anywhere_is_not_held_against_the_graph():
    unseen = scores(edges(), supports=(("floor-hatch", "crate-1"),))["support"]
    assert unseen.missed == 0


def test_every_body_is_named_once_and_a_belief_far_from_all_bodies_not_at_all():
    frame = LOG.frames[0]
    belief, truth = frame.belief, frame.truth
    assert names_of_objects(belief, truth) == {ID[name]: name for name in truth.names}
    strayed = dataclasses.replace(belief, position=belief.position + np.eye(len(belief.position), 3) * 3.0)
    assert set(names_of_objects(strayed, truth).values()) == set(truth.names[3:])


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_objects_makes_no_difference(seed):
    frame = LOG.frames[0]
    order = np.random.default_rng(seed).permutation(len(frame.belief.object_id))
    fields = {
        f.name: np.asarray(getattr(frame.belief, f.name))[order]
        for f in dataclasses.fields(BeliefSnapshot)
        if f.name != "model_id"
    }
    shuffled = BeliefSnapshot(model_id=tuple(np.array(frame.belief.model_id)[order]), **fields)
    truth: WorldTruth = frame.truth
    assert names_of_objects(shuffled, truth) == names_of_objects(frame.belief, truth)
