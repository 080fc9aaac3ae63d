from __future__ import annotations

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from worldsim.errors import ConfigurationError
from worldsim.evaluation.report.animation import Pictures, draw_pictures, write_animation, write_gif
from worldsim.evaluation.report.palette import DARK, rgb
from worldsim.evaluation.report.scene import TopView, ellipse_points


@pytest.fixture(scope="module")
def pictures(hand_made):
    return draw_pictures(hand_made.make_log(120, picture=True))


def test_the_film_runs_in_real_time(pictures, tmp_path):
    path = write_animation(pictures, tmp_path / "scene.mp4")
    with imageio.get_reader(path) as reader:
        about = reader.get_meta_data()
    assert about["codec"] == "h264"
    assert about["pix_fmt"].startswith("yuv420p")
    assert about["size"] == (1344, 528)
    assert about["duration"] == pytest.approx(6.0, abs=0.15)  # 120 frames of 0.05 s; containers round to a frame
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene.mp4"]


def test_the_gif_is_small_and_shows_the_encounter(pictures, tmp_path):
    path = write_gif(pictures, tmp_path / "scene.gif", around_s=3.2)
    with Image.open(path) as image:
        assert image.size == (720, 283)
        assert image.n_frames > 10
    assert path.stat().st_size < 3e6


def test_progress_is_told_picture_by_picture(hand_made):
    told = []
    draw_pictures(hand_made.make_log(8, picture=True), on_picture=lambda done, of: told.append((done, of)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_object_under_alarm_is_drawn_in_the_alarm_colour(hand_made):
    log = hand_made.make_log(90)
    view = TopView(640, 480, (-8.0, -7.0), (8.0, 7.0))
    before, after = (np.asarray(view.draw(log.frames[k])).astype(int) for k in (50, 75))
    red = np.array(rgb(DARK["alarm"])[:3])
    count = [(np.abs(image - red).max(axis=2) < 40).sum() for image in (before, after)]
    assert count[0] == 0
    assert count[1] > 40


def test_an_ellipse_holds_nine_tenths_of_its_gaussian():
    covariance = np.array([[0.09, 0.03], [0.03, 0.04]])
    outline = ellipse_points(np.zeros(2), covariance)
    distance = np.einsum("ni,ij,nj->n", outline, np.linalg.inv(covariance), outline)
    np.testing.assert_allclose(distance, 4.605, rtol=1e-3)  # the 90 % point of chi-square with 2 degrees of freedom


def test_a_film_without_pictures_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no pictures were drawn"):
        write_animation(Pictures((), (), 10.0), tmp_path / "scene.mp4")
