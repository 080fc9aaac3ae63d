from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from worldsim.evaluation.report.animation import draw_pictures, write_animation
from worldsim.evaluation.report.page import render_report, write_report
from worldsim.evaluation.report.palette import DARK, LIGHT, ROLES
from worldsim.evaluation.report.plots import surprise_plot

RUN = {"name": "demo", "seed": 7, "commit": "0123abc", "config": {"scenario": "Warehouse"}}


@pytest.fixture(scope="module")
def report(hand_made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    log = hand_made.make_log(120, picture=True)
    video = write_animation(draw_pictures(log), folder / "scene.mp4")
    return write_report(log, folder / "report.html", title="demo, seed 7", run=RUN, video=video, beside=["scene.mp4"])


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in {"meta", "br", "img", "input", "link", "use", "path"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                self.wrong.append(tag)


def test_the_page_asks_the_network_for_nothing(report):
    page = report.read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', page)
    assert [link for link in links if not link.startswith(("data:", "#"))] == []
    assert "@import" not in page


def test_every_tag_is_closed(report):
    tags = Tags()
    tags.feed(report.read_text(encoding="utf-8"))
    assert (tags.open, tags.wrong) == ([], [])


def test_the_page_tells_story_numbers_and_origin(report):
    page = report.read_text(encoding="utf-8")
    for wanted in ("the robot met something in the warehouse", "How surprised it was", "cat/tabby-small", "0123abc"):
        assert wanted in page
    assert "video/mp4;base64," in page


def test_how_rare_a_false_alarm_is_comes_in_two_figures(report):
    hours = re.search(r"less than once in about ([0-9.,]+) hours", report.read_text(encoding="utf-8"))
    assert hours is not None
    assert len(hours[1].replace(",", "").replace(".", "").strip("0")) <= 2


def test_what_comes_from_a_run_is_escaped(log):
    sly = dataclasses.replace(log, scenario="<script>alert(1)</script>")
    page = render_report(sly, title="<b>x</b>", run={"config": "</pre><script>"})
    assert "<script>alert" not in page
    assert "<b>x</b>" not in page
    assert "</pre><script>" not in page


def test_plots_hold_page_colours_and_no_stand_ins(log):
    drawing = surprise_plot(log).svg
    assert "var(--alarm)" in drawing
    assert not any(stand_in in drawing for stand_in in ROLES.values())
    assert set(ROLES) <= set(LIGHT)
    assert set(LIGHT) == set(DARK)


def test_the_same_run_gives_the_same_page(log):
    assert render_report(log, title="a", run=RUN) == render_report(log, title="a", run=RUN)


def test_a_run_without_a_world_model_has_a_report_too(log):
    blind = [dataclasses.replace(f, record=None, belief=None, forecast=None, plan=None) for f in log.frames]
    page = render_report(dataclasses.replace(log, frames=tuple(blind), starter_models=()), title="blind", run=RUN)
    assert "no world model ran" in page


def browser():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("no Chromium: CI installs it (see .ci/run)")
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    return found


def screenshot(report, target, folder, *flags):
    quiet = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
    subprocess.run(
        [browser(), "--headless", "--no-sandbox", "--disable-gpu", *quiet, "--disable-sync", "--hide-scrollbars",
         f"--user-data-dir={folder / 'profile'}", "--window-size=1200,5200", "--virtual-time-budget=4000", *flags,
         f"--screenshot={target}", f"file://{report}"],
        check=True, capture_output=True, timeout=90,
    )  # fmt: skip
    return np.asarray(Image.open(target).convert("RGB")).astype(float)


@pytest.mark.slow
def test_a_real_browser_shows_film_plots_and_both_colour_schemes(report, tmp_path):
    light = screenshot(report, tmp_path / "light.png", tmp_path)
    dark = screenshot(report, tmp_path / "dark.png", tmp_path, "--force-dark-mode")
    assert light.mean() > 200 > 80 > dark.mean()
    film = light[420:1000, 90:1110]  # where the film is, below headline and facts
    assert film.std() > 20  # a picture, not an empty frame
    alarm = np.array([int(LIGHT["alarm"][i : i + 2], 16) for i in (1, 3, 5)])
    assert (np.abs(light - alarm).max(axis=2) < 12).sum() > 300  # red ink: the surprising trace and its marks


@pytest.mark.slow
def test_on_a_phone_plots_can_be_read_and_the_page_is_no_wider_than_the_screen(report, tmp_path):
    measure = "[innerWidth, document.documentElement.scrollWidth, ...plots.map(plot => plot.clientWidth)]"
    script = f"const plots = [...document.querySelectorAll('.plot')]; document.title = JSON.stringify({measure});"
    page = tmp_path / "measured.html"
    page.write_text(report.read_text(encoding="utf-8").replace("</body>", f"<script>{script}</script></body>"))
    done = subprocess.run(
        [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", "--window-size=500,900",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000", "--dump-dom", f"file://{page}"],
        check=True, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    screen, whole, *plots = json.loads(done.stdout.split("<title>")[1].split("</title>")[0])
    assert whole <= screen <= 560
    assert plots
    assert min(plots) >= 620  # 8.6 inches of 72 points: words are as large as they were drawn


@pytest.mark.slow
def test_the_script_runs_without_an_error_in_a_real_browser(report, tmp_path):
    done = subprocess.run(
        [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", "--enable-logging=stderr", "--v=0",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000", "--dump-dom", f"file://{report}"],
        check=True, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    assert 'class="cursor"' in done.stdout  # the script added the lines that follow the film
