"""The card of a kind of interaction: its law as a belief, and where it was met, as data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from worldsim.types.card import Evidence


@dataclass(frozen=True, slots=True)
class ClassPair:
    """Between which kinds of things an interaction was met.

    Attributes:
        source, target: kinds of the two, as their model cards name them; in order of the alphabet where the
            interaction acts on both alike.
        count: of pairs.
    """

    source: str
    target: str
    count: int


@dataclass(frozen=True, slots=True)
class InteractionCard:
    """One kind of interaction as data. The class that runs it is looked up by `family` in the plug-in table.

    Attributes:
        model_id: ``family-path/name``, unique among a registry's interactions, for example ``opened/pull-r1.0-3fa2b1``.
        version: integer, counts up; nothing is overwritten.
        kind: name of the edge's kind, unique in a graph.
        family: name of the class in the plug-in table (entry-point group ``worldsim.laws``), for example ``radial``.
        terms: what the coefficients multiply, in the class's order; it guards against a class that changed its basis.
        mean: [Q] coefficients of the law, SI units, force on the source towards the target.
        covariance: [Q, Q] of them, what is not known of the law.
        strength_std: standard deviation of the strength of single pairs about the law, as a share of it.
        reach_m: beyond this distance nobody looked for it.
        seen_m: least and largest distance at which it was met: beyond them the law is an extrapolation.
        directed: it acts on the source alone; else on both, equal and opposite.
        pairs: classes of things that it was met between.
        licence: SPDX identifier.
        provenance: where it came from, in words.
        tags: free words.
        evidence: why it was accepted: frames seen, log evidence over the best that was known before.
        parents: ``model_id@version`` of what it was derived from.
        sha256: of the safetensors bytes, filled by the store.
    """

    model_id: str
    version: int
    kind: str
    family: str
    terms: tuple[str, ...]
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    strength_std: float
    reach_m: float
    seen_m: tuple[float, float]
    directed: bool = False
    pairs: tuple[ClassPair, ...] = ()
    licence: str = "MIT"
    provenance: str = ""
    tags: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    parents: tuple[str, ...] = ()
    sha256: str = ""

    def replace(self, **changes: Any) -> InteractionCard:
        """Return a copy with `changes` applied (see `dataclasses.replace`)."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True)
class InteractionQuery:
    """What was seen between things that no loaded kind explains. Parts may be missing.

    Attributes:
        terms: what the coefficients multiply; only cards with the same terms are compared.
        mean: [Q] of the law seen; covariance: [Q, Q] of it.
        between: kinds of the two things; kinds of interaction met between such come first.
        kind: only this kind, any where None.
        exclude: ids not wanted (already loaded).
    """

    terms: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    covariance: tuple[tuple[float, ...], ...] | None = None
    between: tuple[str, str] | None = None
    kind: str | None = None
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class InteractionCandidates:
    """At most k cards of interactions, nearest first, with their distances (squared, in standard deviations)."""

    cards: tuple[InteractionCard, ...]
    distances: tuple[float, ...]
