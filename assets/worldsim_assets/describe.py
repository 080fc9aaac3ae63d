"""Measures how the shipped looks look, from renderings: ``python -m worldsim_assets.describe``.

Writes ``appearance.json``. The renderer is deterministic, so the file changes only when an asset does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from worldsim.simulation.appearance import APPEARANCE_NAMES, describe
from worldsim.simulation.scene import BodySpec
from worldsim_assets import asset_names, urdf_path

SIZES: dict[str, tuple[float, float, float]] = {
    "agv": (1.2, 0.8, 0.5),
    "ball": (0.32, 0.32, 0.32),
    "barrel": (0.58, 0.58, 0.88),
    "bench": (1.1, 0.7, 0.5),
    "cat": (0.45, 0.16, 0.30),
    "crate": (0.5, 0.4, 0.35),
    "dog": (0.80, 0.26, 0.60),
    "door": (1.4, 0.06, 2.0),
    "drone": (0.50, 0.50, 0.18),
    "open_crate": (0.60, 0.45, 0.34),
    "pallet": (1.2, 0.8, 0.144),
    "parcel": (0.35, 0.35, 0.30),
    "pillar": (0.4, 0.4, 3.0),
    "robot": (0.70, 0.50, 0.30),
    "shelf": (2.4, 0.6, 2.2),
    "station": (0.9, 0.6, 0.5),
    "t_block": (1.2, 1.2, 0.25),
    "trolley": (0.90, 0.55, 1.00),
    "worker": (0.45, 0.55, 1.75),
}
"""Full edge lengths of the assets at scale 1, m."""

PLAIN: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "wall": ((6.0, 0.2, 3.0), (0.82, 0.82, 0.79)),
    "door_frame": ((0.12, 0.12, 2.1), (0.25, 0.27, 0.30)),
}
"""Looks that scenarios build as plain boxes: nominal edges (m) and colour."""


def main() -> None:
    """Describe every shipped look and write the table."""
    looks = {}
    for name in asset_names():
        if name in SIZES:
            part = "leaf" if name == "door" else None
            spec = BodySpec(name, name, SIZES[name], (0.0, 0.0, 0.0), urdf=urdf_path(name), part=part)
            looks[name] = describe(spec)
    for name, (edges, colour) in PLAIN.items():
        looks[name] = describe(BodySpec(name, name, edges, (0.0, 0.0, 0.0), colour=colour))
    path = Path(__file__).parent / "appearance.json"
    table = {"names": APPEARANCE_NAMES, "looks": dict(sorted(looks.items()))}
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
