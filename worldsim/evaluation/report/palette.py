"""The colours of page, plots and animation.

Plots are drawn once and shown on light and dark pages: each role is drawn in a stand-in colour that the SVG writer
exchanges for a CSS variable (see `plots`).
"""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["DARK", "KIND_COLOURS", "LIGHT", "ROLES", "colour_of_kind", "rgb"]

ROLES = MappingProxyType(
    {
        name: f"#0{i // 10}0{i % 10}f{i % 10}"
        for i, name in enumerate(
            (
                "ink",
                "muted",
                "grid",
                "panel",
                "alarm",
                "truth",
                "belief",
                "baseline",
                "settled",
                "s1",
                "s2",
                "s3",
                "s4",
                "s5",
            ),
            start=1,
        )
    }
)
"""Role -> the colour that stands for it in a drawing."""

LIGHT = MappingProxyType(
    {
        "ink": "#1b2430",
        "muted": "#5d6b7c",
        "grid": "#dde3ea",
        "panel": "#ffffff",
        "page": "#f4f6f9",
        "alarm": "#d1342f",
        "truth": "#1b2430",
        "belief": "#0f7a8a",
        "baseline": "#b7791f",
        "settled": "#1f8a4c",
        "s1": "#0f7a8a",
        "s2": "#b7791f",
        "s3": "#7a4fc4",
        "s4": "#c2497f",
        "s5": "#5d6b7c",
    }
)
DARK = MappingProxyType(
    {
        "ink": "#e8edf3",
        "muted": "#93a1b2",
        "grid": "#2b3643",
        "panel": "#161d26",
        "page": "#0e131a",
        "alarm": "#ff6b62",
        "truth": "#e8edf3",
        "belief": "#3cc4d8",
        "baseline": "#e3b04b",
        "settled": "#4fcf83",
        "s1": "#3cc4d8",
        "s2": "#e3b04b",
        "s3": "#a98bef",
        "s4": "#f07fb0",
        "s5": "#93a1b2",
    }
)

KIND_COLOURS = MappingProxyType(
    {
        "generic": "#64748b",
        "robot": "#2f6fed",
        "agv": "#5b8def",
        "worker": "#e08a2c",
        "shelf": "#8a97a8",
        "wall": "#5a6675",
        "pillar": "#6b7786",
        "station": "#5aa37a",
        "door_frame": "#5a6675",
        "door": "#a8794f",
        "pallet": "#b89a6a",
        "crate": "#c9a227",
        "parcel": "#d9b86a",
        "barrel": "#4f8f9d",
    }
)
"""Kinds of the starter set, and what is not recognised yet; any other kind came later and is drawn in `UNKNOWN`."""

UNKNOWN = "#d63aa8"


def colour_of_kind(kind: str) -> str:
    """Return the colour in which things of that kind are drawn."""
    return KIND_COLOURS.get(kind, UNKNOWN)


def rgb(colour: str, alpha: int = 255) -> tuple[int, int, int, int]:
    """Return ``#rrggbb`` as numbers.

    >>> rgb("#ff8000")
    (255, 128, 0, 255)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), alpha
