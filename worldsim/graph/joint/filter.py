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
from worldsim.graph.joint.charged_scenes import are_complete, with_charges
from worldsim.graph.joint.encounters import (
    BelievedForces,
    Surroundings,
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
    log_predictive,
    predict,
    stable_cholesky,
)
from worldsim.graph.joint.paths import Frame
from worldsim.graph.joint.posterior import EdgePosterior
from worldsim.graph.joint.settings import ForceLaw, JointSettings
from worldsim.graph.joint.slots import Pairs, Slots, all_pairs
from worldsim.graph.joint.strengths import ClassStrengths

BEAM_WORK = 8_000_000
"""Cap of (branches x slots^3) a scene, so that the beam narrows as the scene grows."""

LARGEST_VIOLENCE_NATS = 30.0
SHOTS = 2
"""How often a frame of a small scene is followed: what it tells itself bends its own paths."""

SCALE_WEIGHT = 20.0
"""Degrees of freedom that the noise bank's own value counts for when the residuals refine the noise scale."""


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
            ConfigurationError: no law, or two of one name.
        """
        names = [law.kind for law in laws]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"JointGraphFilter: laws are {names}, expected one or more of distinct kinds.")
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
        noise = self.settings.observation_noise(position, velocity)
        if self._belief is None:
            self._start(position, velocity, noise)
        else:
            self._step(position, velocity, noise, dt_s, struck)
        self.frames += 1

    def _check(self, positions: Tensor, velocities: Tensor, dt_s: float) -> None:
        expected = positions.shape if self._belief is None else self._belief.position.shape
        if positions.shape != expected or velocities.shape != expected or positions.ndim != 2:
            raise ObservationError(
                f"JointGraphFilter: positions {tuple(positions.shape)} and velocities {tuple(velocities.shape)}, "
                f"expected both {tuple(expected)} = (nodes, dimensions)."
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
        row = self._likeliest(belief)
        node = torch.arange(len(row), device=row.device)
        around = Surroundings(self.laws, self.slots, self._inverse_mass)
        if self._small():
            forces = self._followed(around, frame, belief.evidence.rows(row, node), (row, node), noise)
        else:
            spread = covariance[row, node].diagonal(dim1=-2, dim2=-1)
            forces = integrate_beliefs(around, frame, mean[row, node], spread)
        transition = self._transition(around, frame, forces, noise)
        expected = predict(belief.evidence, transition)
        worse, log_density = log_predictive(expected, transition, mean, covariance, self.settings.outlier_nis)
        violence = torch.zeros_like(belief.violence)
        if not self._small():  # a followed encounter is measured; what a polynomial misses can only be noticed
            violence = violence_nats(around, frame, forces, expected.rows(row, node), self.settings.outlier_share)
        runs = log_density.view(self.settings.run_lengths, -1, log_density.shape[-1])
        floor = runs.amax(0, keepdim=True) + math.log(self.settings.outlier_share)
        log_density = torch.maximum(runs, floor).flatten(0, 1)
        scale = worse[..., None, None]
        transition = replace(transition, noise=transition.noise * scale)
        expected = replace(expected, covariance=expected.covariance + transition.process * (scale - 1.0))
        evidence = correct(belief.evidence, transition, expected)
        kept = belief.violence * (1.0 - self.settings.change_hazard)
        self._belief = FilterBelief(position, velocity, evidence, belief.log_weight + log_density, kept + violence)

    def _transition(self, around: Surroundings, frame: Frame, forces: BelievedForces, noise: Tensor) -> Transition:
        hit = frame.broken()
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
        prior_mean, prior_variance = torch.zeros_like(information), torch.ones_like(information)
        place = (self._group[:, None], pairs.columns(kinds))
        used = self.slots.used.repeat_interleave(kinds, dim=1)
        prior_mean[place] = torch.where(used, mean, prior_mean[place])
        prior_variance[place] = torch.where(used, variance, prior_variance[place])
        factor = stable_cholesky(precision + torch.diag_embed(1.0 / prior_variance))
        found = torch.cholesky_solve((information + prior_mean / prior_variance)[..., None], factor)[..., 0]
        spread = covariance_of(factor).diagonal(dim1=-2, dim2=-1)
        return found[place] * used, spread[place] * used

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
        """Return the Gaussian with the moments of the library's mixture of states, [N, d] each."""
        assert self._group is not None
        strengths = self.strengths
        signs = strengths.mean.new_tensor([0.0, 1.0, -1.0][: strengths.rates.shape[-1]])
        mean = (strengths.rates * signs).sum(-1) * strengths.mean
        second = (strengths.rates * signs.abs()).sum(-1) * (strengths.mean.square() + strengths.spread())
        null = (0.02 * strengths.mean).square()
        slots = self.slots.neighbour.shape[1]
        variance = 2.0 * (second - mean.square() + null)
        return mean[self._group].repeat(1, slots), variance[self._group].repeat(1, slots)

    def _likeliest(self, belief: FilterBelief) -> Tensor:
        """Return [N] the row of the bank that each node is read from: its scene's noise scale, its own run."""
        assert self._group is not None
        runs = self.settings.run_lengths
        weight = belief.log_weight.view(runs, -1, belief.position.shape[0])
        scene = weight.new_zeros(int(self.strengths.mean.shape[0]), weight.shape[1])
        scene.index_add_(0, self._group, torch.logsumexp(weight, 0).T)
        bank = scene.argmax(1)[self._group]
        run = weight.gather(1, bank.expand(runs, 1, -1))[:, 0].argmax(0)
        return run * weight.shape[1] + bank

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
            marginals, tilt = with_charges(found, against, self.laws, self.slots)
            found = self._agree(evidence, tilt + against)
            marginals, _ = with_charges(found, against, self.laws, self.slots)
        self._strengths = found.strengths
        bank = row % len(self.settings.noise_bank_m)
        return EdgePosterior.of(self.laws, self.slots, marginals, bank, self.frames)

    def _read(self, belief: FilterBelief) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return which row of the bank each node is read from, and its likelihood there, noise scale refined."""
        row = self._likeliest(belief)
        node = torch.arange(len(row), device=row.device)
        scale = self._noise_scale(belief, row, node)
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

    def _noise_scale(self, belief: FilterBelief, row: Tensor, node: Tensor) -> Tensor:
        """Return [N] the variance of each scene's residuals over what the bank assumes (normal-inverse-gamma mean)."""
        assert self._group is not None
        mean, variance = self._coefficient_prior()
        evidence = belief.evidence
        precision = evidence.precision[row, node]
        total = precision + torch.diag_embed(1.0 / variance)
        factor = stable_cholesky(total)
        information = evidence.information[row, node] + mean / variance
        solved = torch.cholesky_solve(torch.cat([information[..., None], precision], -1), factor)
        chi_square = (
            evidence.quadratic[row, node] + (mean.square() / variance).sum(-1) - (information * solved[..., 0]).sum(-1)
        )
        spent = solved[..., 1:].diagonal(dim1=-2, dim2=-1).sum(-1)
        sums = chi_square.new_zeros(self.strengths.mean.shape[0], 2)
        sums.index_add_(0, self._group, torch.stack([chi_square, evidence.degrees[row, node] - spent], -1))
        return ((SCALE_WEIGHT + sums[:, 0]) / (SCALE_WEIGHT + sums[:, 1].clamp_min(0.0)))[self._group]
