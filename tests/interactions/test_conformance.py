"""Every kind of interaction keeps the contract, and the kit notices one that does not."""

from __future__ import annotations

import pytest
import torch

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.errors import PluginError
from worldsim.interactions.attach import Attach
from worldsim.interactions.avoid import Avoid
from worldsim.interactions.ball_joint import BallJoint
from worldsim.interactions.charge import Charge
from worldsim.interactions.contact import Contact
from worldsim.interactions.containment import Containment
from worldsim.interactions.drag import Drag
from worldsim.interactions.follow import Follow
from worldsim.interactions.hinge import Hinge
from worldsim.interactions.medium import Medium
from worldsim.interactions.push import Push
from worldsim.interactions.radial import LearnedRadial, Radial, RadialPower
from worldsim.interactions.slider import Slider
from worldsim.interactions.spring import Spring
from worldsim.interactions.support import Support
from worldsim.interactions.tether import Tether
from worldsim.interactions.weld import Weld
from worldsim.testing.interaction_conformance import check_interaction

KINDS: list[Interaction] = [
    Attach(), Charge(), Contact(), Drag(), LearnedRadial((0.1, 0.0, 0.0, 2.0)), Radial(), RadialPower(-1), Spring(),
    Support(), Weld(), Hinge(), Slider(), BallJoint(), Containment(), Tether(1.5), Follow(), Avoid(), Push(),
    Medium(1.5),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize("seed", range(3))
def test_every_kind_keeps_the_contract(kind: Interaction, seed: int) -> None:
    check_interaction(kind, seed=seed)


class _Broken(Interaction):
    """Says something of each pair that it should not."""

    kind = "broken"
    reach_m = 1.0
    prior = EdgePrior(log_odds=0.0, appear_per_s=0.1, vanish_per_s=0.1)
    directed = False

    def __init__(self, evidence) -> None:  # type: ignore[no-untyped-def]
        self.evidence = evidence

    def log_evidence(self, frame: PairFrame) -> torch.Tensor:
        return self.evidence(frame)


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (lambda f: f.source.position[:, 0], "which way the world faces"),
        (lambda f: f.source.position[:, 2], "where the world is"),
        (lambda f: f.source_std_m - f.target_std_m, "which end is the source"),
        (lambda f: f.source_std_m - f.source_std_m.mean(), "which other pairs"),
        (lambda f: torch.full_like(f.source_std_m, torch.nan), "not finite"),
        (lambda f: f.source.position, "shape"),
        (lambda f: torch.ones_like(f.source_std_m), "out of reach"),
    ],
)
def test_what_breaks_the_contract_is_named(evidence, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PluginError, match=words):
        check_interaction(_Broken(evidence))
