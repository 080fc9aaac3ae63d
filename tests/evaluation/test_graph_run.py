"""The graph of a whole episode, judged and drawn: worked out by hand on a hand-made episode."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest

from tests.evaluation.hand_made import make_log
from tests.evaluation.test_graph_scoring import ID, edges, log_with
from worldsim.evaluation.graph_run import accuracy_curve, calibration, judge, named_graph
from worldsim.evaluation.graph_run_figures import ACCURACY, FILM, PAGE, RELIABILITY, STILL, judge_and_write, write_page
from worldsim.evaluation.graph_run_pictures import _ASLANT_RAD, _Plan, draw_graph
from worldsim.evaluation.run_folder import RunFolder

SAID = edges(
    ("pallet-1", "crate-1", "support", 0.9),
    ("shelf-1", "shelf-2", "support", 0.6),
    ("crate-1", "pallet-1", "contact", 0.3),
)
LOG = log_with(
    SAID, supports=(("pallet-1", "crate-1"),), contacts=(("crate-1", "pallet-1", 49.0), ("robot", "worker-1", 1.0))
)


def test_every_frame_lists_what_was_said_and_what_was_there():
    judged = judge(LOG)
    assert len(judged) == 10
    assert judged[0].counts("support", 0.5) == (1, 1, 0)
    assert judged[0].counts("contact", 0.5) == (0, 0, 2)
    assert judged[0].counts("contact", 0.2) == (1, 0, 1)
    assert judged[0].said["contact"] == {("crate-1", "pallet-1"): pytest.approx(0.3)}


def test_the_accuracy_curve_is_the_f1_of_the_last_second():
    time_s, f1 = accuracy_curve(judge(LOG), "support", 0.5, window=4)
    assert time_s.tolist() == [frame.time_s for frame in LOG.frames]
    assert f1 == pytest.approx(np.full(10, 2 / 3))
    assert np.isnan(accuracy_curve(judge(LOG), "attach", 0.5)[1]).all()


def test_a_missed_edge_counts_as_one_that_was_said_to_be_impossible():
    found = calibration(judge(LOG), "contact")
    assert found.count == 20
    assert found.error == pytest.approx(0.5 * 0.7 + 0.5 * 1.0)  # 0.3 for what was there, 0 for what was there


def test_a_kind_that_nobody_spoke_of_has_no_calibration():
    assert np.isnan(calibration(judge(LOG), "attach").error)


def test_the_written_graph_is_read_back_by_networkx(tmp_path):
    with RunFolder(tmp_path, name="graph", config={}, seed=0) as folder:
        metrics = judge_and_write(LOG, folder, 0.5, film=False)
    graph = nx.read_graphml(tmp_path / "graph.graphml", node_type=int)
    assert graph.number_of_edges() == metrics["edges"] == 2
    assert graph.nodes[ID["crate-1"]]["kind"] == "crate"
    again = nx.node_link_graph(json.loads((tmp_path / "graph.json").read_text()), edges="edges")
    assert set(again.edges) == set(named_graph(LOG, 0.5).edges)
    assert metrics["kinds"]["support"]["f1"] == pytest.approx(2 / 3)
    assert (tmp_path / ACCURACY).stat().st_size > 1000
    assert (tmp_path / RELIABILITY).stat().st_size > 1000


def test_the_film_shows_every_other_frame(tmp_path):
    pictures = draw_graph(LOG, judge(LOG), 0.5)
    assert len(pictures.images) == 5
    assert pictures.per_s == pytest.approx(10.0)
    plain = draw_graph(make_log(10), judge(make_log(10)), 0.5)
    assert not np.array_equal(pictures.images[0], plain.images[0])
    with RunFolder(tmp_path, name="graph", config={}, seed=0) as folder:
        judge_and_write(LOG, folder, 0.5)
    assert (tmp_path / FILM).stat().st_size > 1000


def test_the_page_holds_the_pictures_and_names_the_files_beside_it(tmp_path):
    with RunFolder(tmp_path, name="graph", config={}, seed=0) as folder:
        judge_and_write(LOG, folder, 0.5, film=False)
        write_page(LOG, folder, "graph Warehouse")
    assert 1000 < (tmp_path / STILL).stat().st_size < 150_000
    page = (tmp_path / PAGE).read_text()
    assert page.count("data:image/png;base64,") == 3
    assert all(f"<code>{name}</code>" in page for name in (STILL, ACCURACY, RELIABILITY))


def test_things_that_stand_on_one_another_are_drawn_apart():
    low, high = np.array([4.0, -3.0, 0.072]), np.array([4.0, -3.0, 0.319])
    truths = [frame.truth for frame in LOG.frames]
    places = {rad: _Plan.around(truths, rad).pixels(np.stack([low, high])) for rad in (np.pi / 2, _ASLANT_RAD)}
    below, above = places[np.pi / 2]
    assert np.hypot(below[0] - above[0], below[1] - above[1]) < 1e-6  # from above they hide each other
    below, above = places[_ASLANT_RAD]
    assert above[1] < below[1] - 3.0  # pixels, downwards
