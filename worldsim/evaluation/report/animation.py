"""Writes the animated scene: camera picture and belief from above, side by side, with the story as a caption."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from PIL import Image, ImageDraw

from worldsim.errors import ConfigurationError
from worldsim.evaluation.episode import EpisodeLog, Frame
from worldsim.evaluation.model_names import adopted_kind
from worldsim.evaluation.report.overlay import draw_overlay
from worldsim.evaluation.report.palette import DARK, rgb
from worldsim.evaluation.report.scene import TopView, font
from worldsim.evaluation.report.story import Moment, subject, tell
from worldsim.simulation.engine import PinholeCamera
from worldsim.types.record import EventKind

__all__ = ["Pictures", "draw_pictures", "write_animation", "write_gif"]

_SIZE = (1344, 528)  # multiples of 16, which H.264 wants
_CAPTION_PX = 78
_CAMERA_PX = 720
_EVERY = 2  # frames
_CAPTION_FRESH_S = 4.0
_TONES = {
    "calm": DARK["muted"],
    "truth": DARK["ink"],
    "alarm": DARK["alarm"],
    "search": DARK["s2"],
    "settled": DARK["settled"],
}
_GIF_WIDTH = 720
_GIF_SECONDS = 14.0
_GIF_PER_S = 6.0
_GIF_COLOURS = 96


@dataclass(frozen=True, slots=True)
class Pictures:
    """The drawn frames.

    Attributes:
        images: [H, W, 3] uint8 each; time_s: when each was.
        per_s: pictures a simulated second.
    """

    images: tuple[np.ndarray, ...]
    time_s: tuple[float, ...]
    per_s: float


def draw_pictures(
    log: EpisodeLog, *, plan_step_s: float = 0.1, on_picture: Callable[[int, int], None] | None = None
) -> Pictures:
    """Draw every other frame; a camera picture holds until the next one.

    Args:
        log: an episode, best logged with ``images_every`` > 0.
        plan_step_s: time between the actions of the agent's plans.
        on_picture: told (done, of how many) after each.
    """
    frames = log.frames[::_EVERY]
    step_s = frames[1].time_s - frames[0].time_s if len(frames) > 1 else log.dt_s
    held = _held_over(log.frames)
    view = _top_view(log, plan_step_s, wide=log.frames[0].image is None)
    moments, adoptions = tell(log), _adoptions(log)
    images = []
    for number, frame in enumerate(held[::_EVERY], start=1):
        view.settled = {i: label for i, (since_s, label) in adoptions.items() if since_s <= frame.time_s}
        images.append(np.asarray(_compose(view, frame, log.camera, moments, log.frames[-1].time_s)))
        if on_picture is not None:
            on_picture(number, len(frames))
    return Pictures(tuple(images), tuple(frame.time_s for frame in frames), 1.0 / step_s)


def write_animation(pictures: Pictures, path: Path) -> Path:
    """Write the pictures as an MP4 (H.264, 4:2:0, which every browser plays) in real time; return `path`.

    Raises:
        ConfigurationError: there are no pictures, or the encoder failed.
    """
    _check(pictures, path)
    temporary = path.with_suffix(".part.mp4")
    try:
        with imageio.get_writer(
            temporary,
            format="FFMPEG",
            fps=pictures.per_s,
            codec="libx264",
            pixelformat="yuv420p",
            quality=None,
            output_params=["-crf", "24", "-preset", "veryfast", "-movflags", "+faststart"],
        ) as writer:
            for image in pictures.images:
                writer.append_data(image)  # type: ignore[attr-defined]  # the stub types a reader
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise ConfigurationError(f"cannot write {path}: {error}. imageio-ffmpeg must be installed.") from error
    return path


def write_gif(pictures: Pictures, path: Path, around_s: float | None = None) -> Path:
    """Write the most telling 14 s as a small GIF for READMEs; return `path`.

    Args:
        pictures: what to show.
        path: the file.
        around_s: the moment that must be in it; the beginning where None.
    """
    _check(pictures, path)
    start_s = max(pictures.time_s[0], (around_s if around_s is not None else 0.0) - 0.3 * _GIF_SECONDS)
    every = max(1, round(pictures.per_s / _GIF_PER_S))
    chosen = [i for i, t in enumerate(pictures.time_s) if start_s <= t <= start_s + _GIF_SECONDS][::every]
    small = [_small(pictures.images[i]) for i in chosen or [0]]
    # One palette for all pictures: it halves the file, and flat areas do not flicker.
    palette = _contact_sheet(small).quantize(_GIF_COLOURS)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in small]
    duration_ms = round(1000 * every / pictures.per_s)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration_ms, loop=0, optimize=True)
    return path


def _check(pictures: Pictures, path: Path) -> None:
    if not pictures.images:
        raise ConfigurationError(f"cannot write {path}: no pictures were drawn.")
    if shutil.disk_usage(path.parent).free < sum(image.nbytes for image in pictures.images) // 20:
        raise ConfigurationError(f"cannot write {path}: the disk is nearly full.")


def _held_over(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames with the latest forecast and picture in each: both are made on every n-th frame only."""
    held, forecast, image = [], None, None
    for frame in frames:
        forecast = frame.forecast if frame.forecast is not None else forecast
        image = frame.image if frame.image is not None else image
        held.append(dataclasses.replace(frame, forecast=forecast, image=image))
    return held


def _top_view(log: EpisodeLog, plan_step_s: float, *, wide: bool) -> TopView:
    truth = log.frames[0].truth
    here = truth.position[[name not in truth.absent for name in truth.names], :2]
    low, high = here.min(axis=0) - 0.6, here.max(axis=0) + 0.6
    width, height = (_SIZE[0] if wide else _SIZE[0] - _CAMERA_PX), _SIZE[1] - _CAPTION_PX
    return TopView(width, height, (float(low[0]), float(low[1])), (float(high[0]), float(high[1])), plan_step_s)


def _compose(
    view: TopView, frame: Frame, camera: PinholeCamera | None, moments: Sequence[Moment], end_s: float
) -> Image.Image:
    canvas = Image.new("RGB", _SIZE, rgb(DARK["page"])[:3])
    left = 0
    if frame.image is not None:
        width, height = _SIZE[0] - view.width, view.height
        picture = Image.fromarray(frame.image)
        if camera is not None:
            picture = draw_overlay(picture, camera, frame, view.settled)
        canvas.paste(_fitted(picture, width, height), (0, 0))
        left = width
    canvas.paste(view.draw(frame), (left, 0))
    draw = ImageDraw.Draw(canvas)
    if left:
        draw.line((left, 0, left, view.height), fill=rgb(DARK["grid"])[:3], width=2)
    _caption(draw, frame.time_s, moments, end_s)
    return canvas


def _fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Return the picture scaled and cropped to fill width x height."""
    scale = max(width / picture.width, height / picture.height)
    size = round(picture.width * scale), round(picture.height * scale)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    x, y = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((x, y, x + width, y + height))


def _caption(draw: ImageDraw.ImageDraw, time_s: float, moments: Sequence[Moment], end_s: float) -> None:
    top = _SIZE[1] - _CAPTION_PX
    draw.rectangle((0, top, *_SIZE), fill=rgb(DARK["panel"])[:3])
    draw.rectangle((0, top, round(_SIZE[0] * time_s / max(end_s, 1e-9)), top + 2), fill=rgb(DARK["belief"])[:3])
    draw.text((20, top + 26), f"{time_s:5.1f} s", font=font(22), fill=rgb(DARK["muted"])[:3])
    past = [moment for moment in moments if moment.time_s <= time_s]
    if past:
        moment = past[-1]
        fresh = time_s - moment.time_s <= _CAPTION_FRESH_S
        draw.text(
            (130, top + 12), moment.title, font=font(20), fill=rgb(_TONES[moment.tone] if fresh else DARK["muted"])[:3]
        )
        written = font(15)
        widest = max(int((_SIZE[0] - 150) / written.getlength("e")), 1)  # characters of usual width in a line
        text = textwrap.fill(moment.text, widest, max_lines=2, placeholder=" ...")
        draw.text((130, top + 38), text, font=written, fill=rgb(DARK["ink" if fresh else "muted"])[:3], spacing=2)


def _adoptions(log: EpisodeLog) -> dict[int, tuple[float, str]]:
    """Return object id -> (since when, what it was found to be)."""
    return dict(_adopted(log))


def _adopted(log: EpisodeLog) -> Iterator[tuple[int, tuple[float, str]]]:
    for event in log.events():
        if event.kind is EventKind.ADOPTION and event.object_id >= 0:
            yield event.object_id, (event.time_s, adopted_kind(event))
        elif event.kind is EventKind.NOVEL and event.object_id == subject(log):
            yield event.object_id, (event.time_s, "new kind")


def _small(image: np.ndarray) -> Image.Image:
    height = round(image.shape[0] * _GIF_WIDTH / image.shape[1])
    return Image.fromarray(image).resize((_GIF_WIDTH, height), Image.Resampling.LANCZOS)


def _contact_sheet(images: Sequence[Image.Image]) -> Image.Image:
    """Return a few of the pictures below each other, to draw one palette from."""
    chosen = list(images[:: max(1, len(images) // 6)])
    sheet = Image.new("RGB", (chosen[0].width, chosen[0].height * len(chosen)))
    for i, image in enumerate(chosen):
        sheet.paste(image, (0, i * image.height))
    return sheet
