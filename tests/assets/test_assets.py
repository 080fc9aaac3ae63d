"""Every shipped asset loads, has the size that is said, its looks are measured, and its licence is listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pybullet
import pytest

import worldsim_assets
from worldsim.errors import UnknownNameError
from worldsim.simulation.appearance import APPEARANCE_NAMES, describe
from worldsim.simulation.scene import BodySpec
from worldsim.types.observation import APPEARANCE_DIM
from worldsim_assets import appearance, asset_names, urdf_path
from worldsim_assets.catalogue import catalogue
from worldsim_assets.describe import PLAIN, SIZES
from worldsim_assets.workshop import write_urdf

FOLDER = Path(worldsim_assets.__file__).parent
SIZED = sorted(set(asset_names()) & set(SIZES))


@pytest.fixture(scope="module")
def client():  # type: ignore[no-untyped-def]
    number = pybullet.connect(pybullet.DIRECT)
    yield number
    pybullet.disconnect(physicsClientId=number)


def test_the_shipped_files_are_what_the_workshop_writes(tmp_path: Path) -> None:
    assets = catalogue()
    assert sorted(asset.name for asset in assets) == list(asset_names())
    for asset in assets:
        assert write_urdf(asset, tmp_path).read_text() == Path(urdf_path(asset.name)).read_text(), asset.name


@pytest.mark.parametrize("name", SIZED)
def test_an_asset_collides_within_the_box_that_it_is_said_to_fill(name: str, client: int) -> None:
    uid = pybullet.loadURDF(urdf_path(name), physicsClientId=client)
    links = range(-1, pybullet.getNumJoints(uid, physicsClientId=client))
    boxes = np.array([pybullet.getAABB(uid, link, physicsClientId=client) for link in links])
    solid = boxes[np.abs(boxes).max(axis=(1, 2)) < 1e10]
    edges = solid[:, 1].max(axis=0) - solid[:, 0].min(axis=0)
    pybullet.removeBody(uid, physicsClientId=client)
    # PyBullet widens its bounds by a margin of up to 2 cm a side
    assert (edges < np.array(SIZES[name]) + 0.05).all(), edges
    assert (edges > 0.8 * np.array(SIZES[name])).all(), edges


@pytest.mark.parametrize("name", ["cat", "dog"])
def test_an_animal_has_head_tail_and_four_legs_on_joints_that_collide(name: str, client: int) -> None:
    uid = pybullet.loadURDF(urdf_path(name), physicsClientId=client)
    links = {}
    for joint in range(pybullet.getNumJoints(uid, physicsClientId=client)):
        info = pybullet.getJointInfo(uid, joint, physicsClientId=client)
        assert info[2] == pybullet.JOINT_REVOLUTE
        links[info[12].decode()] = joint
    assert set(links) == {"head", "tail", "front_left", "front_right", "hind_left", "hind_right"}
    for joint in links.values():
        assert pybullet.getCollisionShapeData(uid, joint, physicsClientId=client)
    pybullet.removeBody(uid, physicsClientId=client)


@pytest.mark.parametrize("name", ["cat", "drone"])
def test_the_shipped_descriptor_is_what_a_rendering_gives(name: str) -> None:
    spec = BodySpec(name, name, SIZES[name], (0.0, 0.0, 0.0), urdf=urdf_path(name))
    np.testing.assert_allclose(describe(spec), appearance(name), atol=2e-5)  # five digits are stored


def test_looks_are_complete_finite_and_told_apart() -> None:
    names = [*SIZED, *PLAIN]
    table = np.array([appearance(name) for name in names])
    assert table.shape == (len(names), APPEARANCE_DIM) == (len(names), len(APPEARANCE_NAMES))
    assert np.isfinite(table).all()
    assert np.abs(table).max() < 3.0
    distance = np.linalg.norm(table[:, None] - table[None], axis=2) + 9.0 * np.eye(len(names))
    assert distance.min() > 0.2  # five times the sensor's noise of 0.04 in a component


def test_every_asset_has_its_licence_listed() -> None:
    listed = (FOLDER / "LICENSES.md").read_text()
    for path in sorted(FOLDER.glob("urdf/*")):
        assert f"`urdf/{path.name}`" in listed, path.name


def test_an_unknown_asset_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'crate'"):
        urdf_path("crat")
    with pytest.raises(UnknownNameError, match="unknown look"):
        appearance("lion")
