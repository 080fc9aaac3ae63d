"""Logs of the double pendulum: known again whatever they are kept in, refused by name, and the lab's own model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.dynamics.double_pendulum import PendulumParameters, acceleration
from worldsim.errors import DataError
from worldsim.evaluation.transfer.double_pendulum import LAB
from worldsim.evaluation.transfer.pendulum_runs import load_runs


def logs(rows: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2 * rows, 9))
    data[:, 0] = np.tile(np.arange(rows) * 0.002, 2)
    names = np.array(["data/design_C.1/a/trajectory.csv", "data/design_C.1/b/trajectory.csv"])
    return {"data": data.astype(np.float32), "offsets": np.array([0, rows, 2 * rows]), "names": names}


def test_a_run_is_known_again_in_numbers_of_another_kind(tmp_path: Path) -> None:
    np.savez(tmp_path / "single.npz", **logs())
    np.savez(tmp_path / "double.npz", **(logs() | {"data": logs()["data"].astype(np.float64)}))
    digests = [[run.digest for run in load_runs(tmp_path / name)] for name in ("single.npz", "double.npz")]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 2


def test_logs_that_cannot_be_runs_are_refused_by_name(tmp_path: Path) -> None:
    back = logs()["data"].copy()
    back[20:40, 0] -= 0.03
    gap = logs()["data"].copy()
    gap[60:, 0] += 0.5
    for wrong, says in (
        ({"offsets": np.array([0, 40, 40])}, "3 whole numbers from 0 to 80"),
        ({"offsets": np.array([0, 0, 80])}, "item 0 has fewer than 2 rows"),
        ({"data": logs()["data"][:, :7]}, r"'data' has shape \(80, 7\)"),
        ({"data": back}, "design_C.1/a/trajectory.csv' has times that do not grow"),
        ({"data": gap}, r"design_C.1/b/trajectory.csv' has a gap of 0.502 s in its times .* at most 0.05 s; cut it"),
    ):
        np.savez(tmp_path / "wrong.npz", **(logs() | wrong))
        with pytest.raises(DataError, match=says):
            load_runs(tmp_path / "wrong.npz")


@pytest.mark.parametrize("fast", [(3.0, -2.0), (-5.0, 4.0)])
def test_the_labs_parameters_give_the_labs_equation_of_motion(fast: tuple[float, float]) -> None:
    """`model/plant.py` of its repository, with `design_C.1/model_1.0`, where both joints move fast."""
    m1, m2, r1, r2, i1, i2, l1, g, gear, rotor = 0.5235, 0.6256, 0.2, 0.2557, 0.03189, 0.05087, 0.2, 9.81, 6.0, 6.287e-5
    (q1, q2), (v1, v2), torque = (0.4, -1.1), fast, np.array([0.3, -0.2])
    both = i2 + m2 * l1 * r2 * np.cos(q2)
    upper = i1 + i2 + m2 * l1**2 + 2.0 * m2 * l1 * r2 * np.cos(q2) + gear**2 * rotor + rotor
    mass = np.array([[upper, both - gear * rotor], [both - gear * rotor, i2 + gear**2 * rotor]])
    swing = m2 * l1 * r2 * np.sin(q2)
    coriolis = np.array([[-2.0 * swing * v2, -swing * v2], [swing * v1, 0.0]])
    hang = np.array([-m1 * g * r1 * np.sin(q1) - m2 * g * (l1 * np.sin(q1) + r2 * np.sin(q1 + q2)),
                     -m2 * g * r2 * np.sin(q1 + q2)])  # fmt: skip
    rate = np.array(fast)
    friction = 0.001 * rate + np.array([0.16, 0.12]) * np.arctan(100.0 * rate)
    expected = np.linalg.solve(mass, torque - coriolis @ rate + hang - friction)
    natural = PendulumParameters.of(torch.tensor(LAB)[None])
    columns = (torch.tensor(each)[:, None, None] for each in ((q1, q2), fast, torque.tolist()))
    found = acceleration(*(c.double() for c in columns), natural)
    assert found.flatten().tolist() == pytest.approx(expected.tolist(), rel=2e-2)
