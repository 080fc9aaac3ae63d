"""The joint graph filter: positions and velocities in, a typed posterior over all candidate edges out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.errors import ConfigurationError, ObservationError
from worldsim.graph.joint.agreement import Agreement, Task, agree_by_messages, agree_by_scene, pooled
from worldsim.graph.joint.beliefs import FilterBelief, branched
from worldsim.graph.joint.charged_scenes import are_complete, with_charges, with_joint_charges
from worldsim.graph.joint.charges import LARGEST_EXACT
from worldsim.graph.joint.encounters import (
    BelievedForces,
    Surroundings,
    bound_nats,
    follow_beliefs,
    integrate_beliefs,
    process_noise,
    violence_nats,
)
from worldsim.graph.joint.evidence import (
    NodeEvidence,
    Transition,
    correct,
    covariance_of,
    fitted,
    predict,
    stable_cholesky,
)
from worldsim.graph.joint.paths import Frame
from worldsim.graph.joint.posterior import EdgePosterior
from worldsim.graph.joint.reading import likeliest_rows, noise_believed, noise_scale, scene_weights
from worldsim.graph.joint.settings import ForceLaw, JointSettings
from worldsim.graph.joint.slots import Pairs, Slots, all_pairs
from worldsim.graph.joint.states import SlotMarginals
from worldsim.graph.joint.strengths import ClassStrengths

BEAM_WORK = 8_000_000
"""Cap of (branches x slots^3) a scene, so that the beam narrows as the scene grows."""

LARGEST_VIOLENCE_NATS = 30.0
SHARPEST_FOLLOWED_M = 1e-6
"""Paths are followed under hypotheses of at least this noise: what a sharper one tells of a few directions outruns
float64, so that rounding would decide the others."""

SHOTS = 2
"""How often a frame of a small scene is followed: what it tells itself bends its own paths."""


class JointGraphFilter:
    """Infers which pairs of N bodies interact, how, and how strongly, from their motion alone, frame by frame.

    Each node holds one Gaussian likelihood over all its incoming coefficients (`NodeEvidence`), for a bank of noise
    scales and of times since the last change. Asked for its posterior, it enumerates the states of the incoming
    edges of each node and lets the two ends of each edge agree (`messages`), while the classes' strengths and rates
    are learned from all edges of a scene (`strengths`).
    """

    def __init__(
        self,
        laws: Sequence[ForceLaw],
        *,
        settings: JointSettings | None = None,
        slots: Slots | None = None,
        group: Int[Tensor, " N"] | None = None,
        inverse_mass: Float[Tensor, " N"] | None = None,
        strengths: ClassStrengths | None = None,
    ) -> None:
        """Build a filter that has seen nothing.

        Args:
            laws: kinds of force that an edge may carry, one coefficient each.
            settings: see `JointSettings`.
            slots: candidate pairs; by default all pairs within each group.
            group: [N] scene of each node, 0..G-1; by default one scene.
            inverse_mass: [N] 1/kg, by default 1.
            strengths: what earlier scenes taught about the laws, by default the laws' own scales.

        Raises:
            ConfigurationError: no law, two of one name, or one that is no force.
        """
        names = [law.kind for law in laws]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"JointGraphFilter: laws are {names}, expected one or more of distinct kinds.")
        if other := [law.kind for law in laws if not hasattr(law, "force_columns")]:
            raise ConfigurationError(
                f"JointGraphFilter: {other} are kinds without a law of force, which are not read from accelerations; "
                "docs/graph.md names what reads them."
            )
        self.laws = tuple(laws)
        self.settings = settings or JointSettings()
        self.frames = 0
        self._slots, self._group, self._inverse_mass = slots, group, inverse_mass
        self._strengths = self._prior_strengths = strengths
        self._belief: FilterBelief | None = None
        self._pairs: Pairs | None = None

    def observe(self, positions: Float[Tensor, "N D"], velocities: Float[Tensor, "N D"], dt_s: float) -> EdgePosterior:
        """Take in one frame and return the posterior after it."""
        self.assimilate(positions, velocities, dt_s)
        return self.posterior()

    @property
    def slots(self) -> Slots:
        """Return the candidate pairs.

        Raises:
            ObservationError: nothing was observed yet.
        """
        if self._slots is None:
            raise ObservationError("JointGraphFilter: no frame was observed yet, so there are no candidate pairs.")
        return self._slots

    @property
    def strengths(self) -> ClassStrengths:
        """Return the belief of the classes' strengths and rates.

        Raises:
            ObservationError: nothing was observed yet.
        """
        if self._strengths is None:
            raise ObservationError("JointGraphFilter: no frame was observed yet, so there are no strengths.")
        return self._strengths

    def assimilate(
        self,
        positions: Float[Tensor, "N D"],
        velocities: Float[Tensor, "N D"],
        dt_s: float,
        struck: Bool[Tensor, " N"] | None = None,
    ) -> None:
        """Take in one frame without working out the posterior.

        Args:
            positions: [N, D] m, D = 2 or 3.
            velocities: [N, D] m/s.
            dt_s: time since the frame before, s (of no meaning for the first).
            struck: [N] bodies that may have been hit in between: the frame tells nothing of the forces on them.

        Raises:
            ObservationError: shapes differ from the frames before, values are not finite, or time stood still.
        """
        self._check(positions, velocities, dt_s)
        position, velocity = positions.double(), velocities.double()
        noise = self.settings.observation_noise(position, velocity, struck)
        if self._belief is None:
            self._start(position, velocity, noise)
        else:
            self._step(position, velocity, noise, dt_s, struck)
        self.frames += 1

    def _check(self, positions: Tensor, velocities: Tensor, dt_s: float) -> None:
        for name, value in (("positions", positions), ("velocities", velocities)):
            if not isinstance(value, Tensor):
                raise ObservationError(
                    f"JointGraphFilter: {name} are of type {type(value).__name__}, expected a tensor: "
                    "torch.as_tensor(...) makes one."
                )
        expected = positions.shape if self._belief is None else self._belief.position.shape
        if positions.shape != expected or velocities.shape != expected or positions.ndim != 2 or not len(positions):
            raise ObservationError(
                f"JointGraphFilter: positions {tuple(positions.shape)} and velocities {tuple(velocities.shape)}, "
                f"expected both {tuple(expected)} = (nodes, dimensions), of one node or more."
            )
        if not dt_s > 0.0:
            raise ObservationError(f"JointGraphFilter: dt_s is {dt_s}, expected > 0.")
        if not bool(torch.isfinite(positions).all() & torch.isfinite(velocities).all()):
            raise ObservationError("JointGraphFilter: a position or velocity is not finite; leave such bodies out.")

    def _start(self, position: Tensor, velocity: Tensor, noise: Tensor) -> None:
        count = len(position)
        device = position.device
        if self._group is None:
            self._group = torch.zeros(count, dtype=torch.int64, device=device)
        if self._slots is None:
            self._slots = all_pairs(self._group)
        if self._inverse_mass is None:
            self._inverse_mass = position.new_ones(count)
        if self._strengths is None:
            self._strengths = ClassStrengths.for_laws(self.laws, int(self._group.max()) + 1, position)
            self._prior_strengths = self._strengths
        runs = self.settings.run_lengths
        evidence = NodeEvidence.start(
            torch.cat([position, velocity], -1),
            noise.repeat(runs, 1, 1, 1),
            self._slots.neighbour.shape[1] * len(self.laws),
        )
        log_weight = position.new_full((runs, len(noise), count), -torch.inf)
        log_weight[0] = 0.0
        calm = torch.zeros_like(evidence.information[0])
        self._belief = FilterBelief(position, velocity, evidence, log_weight.flatten(0, 1), calm)

    def _step(
        self, position: Tensor, velocity: Tensor, noise: Tensor, dt_s: float, struck: Tensor | None = None
    ) -> None:
        belief = self._belief
        assert belief is not None
        assert self._inverse_mass is not None
        assert self._group is not None
        frame = Frame(
            belief.position,
            belief.velocity,
            position,
            velocity,
            dt_s,
            self.settings.substep_s,
            self.settings.arena_half_m,
            struck,
        )
        prior_mean, prior_variance = self._coefficient_prior()
        mean, factor = belief.evidence.posterior(prior_mean, prior_variance)
        if self.settings.run_lengths > 1:
            belief, mean, factor = branched(belief, (mean, factor), (prior_mean, prior_variance), self.settings)
        covariance = covariance_of(factor)
        row = self._likeliest(belief.log_weight)
        node = torch.arange(len(row), device=row.device)
        around = Surroundings(self.laws, self.slots, self._inverse_mass)
        if self._small():
            read = self._unsharpened(row)
            forces = self._followed(around, frame, belief.evidence.rows(read, node), (read, node), noise)
        else:
            spread = covariance[row, node].diagonal(dim1=-2, dim2=-1)
            forces = integrate_beliefs(around, frame, mean[row, node], spread)
        transition = self._transition(around, frame, forces, noise)
        expected = predict(belief.evidence, transition)
        fit = fitted(expected, transition, mean, covariance, self.settings.outlier_nis)
        runs = fit.log_density.view(self.settings.run_lengths, -1, fit.log_density.shape[-1])
        floor = runs.amax(0, keepdim=True) + math.log(self.settings.outlier_share)
        log_weight = belief.log_weight + torch.maximum(runs, floor).flatten(0, 1)
        row = self._likeliest(log_weight)
        believed_noise = noise_believed(self._weights(log_weight)[1], noise, self._group)
        share = self.settings.outlier_share
        if self._small():  # an encounter that was followed is measured
            violence = bound_nats(around, frame, forces, believed_noise, share)
        else:
            violence = violence_nats(around, frame, forces, (expected.rows(row, node), believed_noise), share)
        scale = fit.worse[..., None, None]
        transition = replace(transition, noise=transition.noise * scale)
        expected = replace(expected, covariance=expected.covariance + transition.process * (scale - 1.0))
        evidence = correct(belief.evidence, transition, expected, fit)
        kept = belief.violence * (1.0 - self.settings.change_hazard)
        self._belief = FilterBelief(position, velocity, evidence, log_weight, kept + violence)

    def _transition(self, around: Surroundings, frame: Frame, forces: BelievedForces, noise: Tensor) -> Transition:
        hit = forces.untold(frame)
        return Transition(
            forces.integrals.design,
            torch.cat([frame.position_after, frame.velocity_after], -1),
            process_noise(around, frame, forces, noise, self.settings),
            noise.repeat(self.settings.run_lengths, 1, 1, 1),
            torch.cat([hit, hit], -1),
            frame.dt_s,
        )

    def _followed(
        self,
        around: Surroundings,
        frame: Frame,
        before: NodeEvidence,
        read: tuple[Tensor, Tensor],
        noise: Tensor,
    ) -> BelievedForces:
        """Follow the frame under what the scene as a whole tells of the forces, then again with this frame's own word.

        Args:
            around, frame: of the frame.
            before: what each node is read from, a bank of one; read: its row of the bank, and the node.
            noise: of the observations, by noise scale.
        """
        evidence = before
        for shot in range(SHOTS):
            mean, variance = self._scene_belief(evidence)
            forces = follow_beliefs(around, frame, mean, variance)
            if shot + 1 < SHOTS:
                transition = self._transition(around, frame, forces, noise).rows(*read)
                evidence = correct(before, transition, predict(before, transition))
        return forces

    def _scene_belief(self, evidence: NodeEvidence) -> tuple[Tensor, Tensor]:
        """Return [N, d] mean and variance of the coefficients, both ends of each pair and all nodes counted once."""
        assert self._group is not None
        pairs, kinds = self._numbered(), len(self.laws)
        precision, information = pooled((evidence.precision[0], evidence.information[0]), pairs, self._group, kinds)
        mean, variance = self._coefficient_prior()
        prior_mean, prior_variance = (
            pairs.spread(*told) for told in ((mean, self._group, 0.0), (variance, self._group, 1.0))
        )
        place = (self._group[:, None], pairs.columns(kinds))
        used = self.slots.used.repeat_interleave(kinds, dim=1)
        factor = stable_cholesky(precision + torch.diag_embed(1.0 / prior_variance))
        found = torch.cholesky_solve((information + prior_mean / prior_variance)[..., None], factor)[..., 0]
        spread = covariance_of(factor).diagonal(dim1=-2, dim2=-1)
        return found[place] * used, spread[place] * used

    def _unsharpened(self, row: Tensor) -> Tensor:
        """Return the rows of the bank with at least the noise under which paths are followed, as far as there are."""
        bank = self.settings.noise_bank_m
        allowed = [place for place, std in enumerate(bank) if std >= SHARPEST_FOLLOWED_M]
        least = allowed[0] if allowed else len(bank) - 1
        return row + (least - row % len(bank)).clamp_min(0)

    def _numbered(self) -> Pairs:
        assert self._group is not None
        if self._pairs is None:
            self._pairs = Pairs.of(self.slots, self._group, self.strengths.mean.shape[0])
        return self._pairs

    def _small(self) -> bool:
        """Return whether the scenes are small enough to be taken as a whole."""
        if self.settings.joint_slots == 0:
            return False
        return self._numbered().used.shape[1] * len(self.laws) <= self.settings.joint_slots

    def _coefficient_prior(self) -> tuple[Tensor, Tensor]:
        """Return the Gaussian with the moments of the library's mixture of states, [N, d] each.

        Strengths are the learned ones, rates those from before this graph was seen: a graph that is believed empty too
        early would otherwise be followed as an empty one, and never be measured better.
        """
        assert self._group is not None
        assert self._prior_strengths is not None
        strengths = replace(self.strengths, rates=self._prior_strengths.rates)
        signs = strengths.mean.new_tensor([0.0, 1.0, -1.0][: strengths.rates.shape[-1]])
        mean = (strengths.rates * signs).sum(-1) * strengths.mean
        second = (strengths.rates * signs.abs()).sum(-1) * (strengths.mean.square() + strengths.spread())
        null = (0.02 * strengths.mean).square()
        slots = self.slots.neighbour.shape[1]
        variance = 2.0 * (second - mean.square() + null)
        return mean[self._group].repeat(1, slots), variance[self._group].repeat(1, slots)

    def _weights(self, log_weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return log weights by run, noise scale and node, and those of the scenes' noise scales."""
        assert self._group is not None
        return scene_weights(log_weight, self.settings.run_lengths, self._group, self.strengths.mean.shape[0])

    def _likeliest(self, log_weight: Tensor) -> Tensor:
        """Return [N] the row of the bank that each node is read from."""
        assert self._group is not None
        return likeliest_rows(*self._weights(log_weight), self._group)

    def posterior(self) -> EdgePosterior:
        """Return the typed posterior over all candidate edges, and remember what it teaches about the classes.

        Raises:
            ObservationError: nothing was observed yet.
        """
        belief = self._belief
        if belief is None or self._group is None or self._prior_strengths is None:
            raise ObservationError("JointGraphFilter: no frame was observed yet, so there is no posterior.")
        row, evidence = self._read(belief)
        reverse, mutual = self.slots.ends(len(self.laws))
        other = torch.where(mutual, belief.violence.flatten()[reverse], torch.zeros_like(belief.violence))
        against = torch.zeros_like(self._prior_strengths.sites(self._group, self.slots.neighbour.shape[1]).mean)
        against[..., 0] = (belief.violence + other).clamp_min(-LARGEST_VIOLENCE_NATS)
        found = self._agree(evidence, against)
        marginals = found.with_tilt(against)
        if any(law.factored for law in self.laws) and self._complete():
            free = found.log_evidence
            marginals, tilt = self._charged(found, against, evidence, free)
            found = self._agree(evidence, tilt + against)
            marginals, _ = self._charged(found, against, evidence, free)
        self._strengths = found.strengths
        bank = row % len(self.settings.noise_bank_m)
        return EdgePosterior.of(self.laws, self.slots, marginals, bank, self.frames)

    def _charged(
        self, found: Agreement, against: Tensor, evidence: tuple[Tensor, Tensor], free_evidence: Tensor | None
    ) -> tuple[SlotMarginals, Tensor]:
        """Return the posterior if signs may come from charges, by the joint likelihood where that can be enumerated."""
        assert self._group is not None
        size = self.slots.neighbour.shape[1] + 1
        if free_evidence is None or len(self.laws) > 1 or size > LARGEST_EXACT:
            return with_charges(found, against, self.laws, self.slots)
        likelihood = pooled(evidence, self._numbered(), self._group, 1)
        return with_joint_charges(found, against, likelihood, self.slots, free_evidence)

    def _read(self, belief: FilterBelief) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return which row of the bank each node is read from, and its likelihood there, noise scale refined."""
        assert self._group is not None
        row = self._likeliest(belief.log_weight)
        node = torch.arange(len(row), device=row.device)
        scale = noise_scale(belief.evidence, row, self._group, self.strengths.mean.shape[0])
        precision = belief.evidence.precision[row, node] / scale[:, None, None]
        return row, (precision, belief.evidence.information[row, node] / scale[:, None])

    def scene_likelihood(self) -> tuple[Float[Tensor, "G d d"], Float[Tensor, "G d"]]:
        """Return precision and information of each scene's coefficients, pair-major: what laws are opened from.

        Raises:
            ObservationError: nothing was observed yet.
        """
        if self._belief is None or self._group is None:
            raise ObservationError("JointGraphFilter: no frame was observed yet, so there is no likelihood.")
        _, evidence = self._read(self._belief)
        return pooled(evidence, self._numbered(), self._group, len(self.laws))

    def _agree(self, evidence: tuple[Tensor, Tensor], tilt: Tensor) -> Agreement:
        assert self._group is not None
        assert self._prior_strengths is not None
        strengths, settings = self._prior_strengths, self.settings
        shape = (*evidence[1].shape, strengths.rates.shape[-1])
        task = Task(evidence, self._group, len(self.laws), settings.beam, tilt.to(evidence[1]).expand(shape))
        if self._small():
            pairs = self._numbered()
            size = pairs.used.shape[1] * len(self.laws)
            beam = max(min(settings.beam, BEAM_WORK // size**3), 16)
            task = replace(task, beam=beam)
            return agree_by_scene(task, pairs, strengths, settings.rounds)
        return agree_by_messages(task, self.slots, strengths)

    def _complete(self) -> bool:
        """Return whether the scenes are small, equal, in a row, and every pair of them is a candidate."""
        assert self._group is not None
        return are_complete(self.slots, self._group)
