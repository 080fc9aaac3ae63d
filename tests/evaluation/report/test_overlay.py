from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from worldsim.evaluation.report.overlay import draw_overlay, project
from worldsim.evaluation.report.palette import DARK, rgb
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.gym_env import WorldsimEnv

CAMERA = PinholeCamera((0.0, -10.0, 10.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 1.0, 640, 400, shadows=False)


def test_what_the_camera_looks_at_is_in_the_middle_and_what_is_higher_is_above():
    middle, right, higher = project(CAMERA, np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert middle == pytest.approx([320.0, 200.0])
    assert right[0] > 320.0
    assert right[1] == pytest.approx(200.0)
    assert higher[1] < 200.0


def test_a_point_at_the_edge_of_the_field_is_at_the_edge_of_the_picture():
    level = PinholeCamera((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), np.pi / 2, 300, 200)
    (point,) = project(level, np.array([[5.0, 0.0, 5.0]]))  # 45 degrees up, half of the vertical field
    assert point == pytest.approx([150.0, 0.0])


def test_it_agrees_with_the_engines_own_camera():
    """The robot's place, projected, is where the true picture changes when the robot drives off."""
    env = WorldsimEnv(scenario="Warehouse", intruder="none")
    try:
        env.reset(seed=4)
        camera = PinholeCamera(
            (0.0, 0.0, 24.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.66, 400, 280, 10.0, 30.0, shadows=False
        )
        before, truth = env.physics.picture(camera)[0].astype(int), env.physics.truth()
        for _ in range(8):
            env.step(np.array([1.0, 0.0, 0.0], dtype=np.float32))
        after = env.physics.picture(camera)[0].astype(int)
    finally:
        env.close()
    (x, y) = project(camera, truth.position[[truth.names.index("robot")]])[0]
    ys, xs = np.nonzero(np.abs(after - before).sum(axis=2) > 60)
    # A pixel is 6 cm wide and the robot drove less than 0.4 m, so some changed pixel is within 8 pixels.
    assert np.hypot(xs - x, ys - y).min() < 8.0


def test_the_object_under_test_is_ringed_and_named(hand_made):
    log = hand_made.make_log(90)
    empty = Image.new("RGB", (CAMERA.width, CAMERA.height), (90, 90, 90))
    drawn = np.asarray(draw_overlay(empty, CAMERA, log.frames[75], {})).astype(int)
    red = np.array(rgb(DARK["alarm"])[:3])
    assert (np.abs(drawn - red).max(axis=2) < 40).sum() > 60
    calm = np.asarray(draw_overlay(empty, CAMERA, log.frames[50], {})).astype(int)
    assert (np.abs(calm - red).max(axis=2) < 20).sum() == 0


def test_without_a_belief_the_picture_stays_as_it_is(hand_made):
    frame = dataclasses.replace(hand_made.make_log(3).frames[1], belief=None)
    picture = Image.new("RGB", (640, 400))
    assert draw_overlay(picture, CAMERA, frame, {}) is picture
