"""The contract of an interaction: one kind of force or joint between two things."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.types.states import ObjectStates


@dataclass(frozen=True, slots=True)
class EdgePrior:
    """Prior of one edge.

    Attributes:
        log_odds: of the edge existing when the pair first comes into reach.
        appear_per_s: hazard of an absent edge appearing, 1/s.
        vanish_per_s: hazard of a present edge vanishing, 1/s.
    """

    log_odds: float
    appear_per_s: float
    vanish_per_s: float


@dataclass(frozen=True, slots=True)
class PairFrame:
    """One frame of E candidate pairs, as the belief sees it.

    Attributes:
        source, target: corrected states at the end of the frame, E rows each.
        source_before, target_before: corrected states at the start of the frame.
        source_std_m, target_std_m: [E] position standard deviations of the beliefs.
        dt_s: length of the frame, s.
        attach_command: [E] in [-1, 1], how strongly the own body was told to hold (+) or release (-), 0 elsewhere.
        carried: [E] whether kinds that carry (support, containment) link the two, directly or by way of other things
            that move, by what was believed before the frame; None where nothing is known of it.
        touching: [E] the same of kinds that carry or touch.
        nested: [E] 1 where the target lies in the source by what was believed before the frame, -1 where the source
            lies in the target, 0 elsewhere; None where nothing is known of it.
        walled: [E] whether one of the two lies in something that the other neither lies in nor is.
    """

    source: ObjectStates
    target: ObjectStates
    source_before: ObjectStates
    target_before: ObjectStates
    source_std_m: Float[Tensor, " E"]
    target_std_m: Float[Tensor, " E"]
    dt_s: float
    attach_command: Float[Tensor, " E"]
    carried: Bool[Tensor, " E"] | None = None
    touching: Bool[Tensor, " E"] | None = None
    nested: Int[Tensor, " E"] | None = None
    walled: Bool[Tensor, " E"] | None = None


class Interaction(abc.ABC):
    """One kind of interaction, batched over E pairs.

    Class attributes:
        kind: its name, the key of the edge in exports.
        reach_m: pairs whose hulls are farther apart are not candidates.
        prior: prior odds and hazards.
        directed: False lists each pair once.
        reads_motion: False where the evidence reads only how things stand, not how they moved in the frame: then
            a few frames may be looked at as one.
        nests: the target lies in the source: only one that is smaller, edge for edge, is a candidate.
        carries: True where one of the two takes the other along when it moves, without a bond.
        touches: True where one may push or drag the other.
        reads_links: True where the evidence reads `PairFrame.carried` and `PairFrame.touching`.
        reads_rooms: True where the evidence reads `PairFrame.nested` and `PairFrame.walled`.
    """

    kind: ClassVar[str]
    reach_m: ClassVar[float]
    prior: ClassVar[EdgePrior]
    directed: ClassVar[bool] = True
    reads_motion: ClassVar[bool] = True
    nests: ClassVar[bool] = False
    carries: ClassVar[bool] = False
    touches: ClassVar[bool] = False
    reads_links: ClassVar[bool] = False
    reads_rooms: ClassVar[bool] = False

    @abc.abstractmethod
    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Return log p(frame | edge) - log p(frame | no edge) of each pair, nats, clipped to what a frame can tell."""

    def features(self, source: ObjectStates, target: ObjectStates) -> Float[Tensor, "E 6 Q"]:
        """Return the regressors of the wrench on the source: wrench = features @ coefficients.

        Force kinds override it; a kind that is a residual likelihood (a joint) has no columns (Q = 0).
        """
        del target
        return source.position.new_zeros(len(source), 6, 0)
