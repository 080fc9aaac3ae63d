"""Which joint holds a pair, if any: an online Bayesian comparison of kinds by how well each predicts the next pose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.errors import ConfigurationError, ObservationError, UnknownNameError
from worldsim.graph.kinematics.bingham import likeliest_axis
from worldsim.graph.kinematics.freedom import JointKind, KinematicSettings, Shift, Turn
from worldsim.graph.kinematics.pivot import Pivot
from worldsim.graph.kinematics.posterior import FREE, JointPosterior
from worldsim.graph.kinematics.relative import Body, PoseFrame, in_source_frame, turned_towards
from worldsim.graph.kinematics.tracks import Track

_MOVING_FRAME = 2.0
_UNIT_TOLERANCE = 1e-2
_LEAST_SINC2 = 0.02
"""Bound of the stretch near a whole turn, where a rotation vector no longer tells its axis."""
_KNOWN_AXIS_RAD2 = 0.02
"""Variance of an axis below which angles about it, and their limits, mean something."""


class KinematicFilter:
    """Infers the joint of each of E pairs from detected poses, one frame at a time; all pairs in one batch.

    A kind of joint is a prediction of the target's pose from the source's: of its turn (fixed, about one unknown axis,
    free) and of its place (fixed, along one unknown line, a point of it held at a point of the source). Free is the
    target's own motion in the world, whatever the source does. Each hypothesis is scored by the density that it gave
    to the next detection before seeing it (the prequential marginal likelihood), unknown axes and scales of
    acceleration integrated out. Only frames in which something moves count: while nothing does, every probability
    stays at its prior.

    Source: Sturm, Stachniss and Burgard (2011), "A probabilistic framework for learning kinematic models of
    articulated objects", section 4. Ours is online, integrates axes out where they fit and take BIC, and weighs joints
    against two bodies that move on their own.
    """

    moved: Bool[Tensor, " E"]
    reference: Float[Tensor, "E 4"]
    world_reference: Float[Tensor, "E 4"]

    def __init__(self, kinds: Sequence[JointKind], settings: KinematicSettings | None = None) -> None:
        """Take the kinds to compare.

        Raises:
            ConfigurationError: there are none, or two have one name.
            UnknownNameError: a kind's freedom is none of `Turn` and `Shift`.
        """
        names = [kind.kind for kind in kinds]
        if not names or len({*names, FREE}) <= len(names):
            raise ConfigurationError(
                f"KinematicFilter: kinds are {names}, expected distinct ones, none called {FREE!r}."
            )
        for kind in kinds:
            for value, valid in ((kind.turn, Turn), (kind.shift, Shift)):
                if value not in tuple(valid):
                    raise UnknownNameError(f"freedom of interaction {kind.kind!r}", value, tuple(valid))
        self.kinds = tuple(kinds)
        self.settings = settings or KinematicSettings()
        self._frames = 0
        self._last: tuple[Tensor, Tensor, Tensor, Tensor] | None = None  # poses, of what was seen

    def observe(
        self,
        source_position: Float[Tensor, "E 3"],
        source_orientation_xyzw: Float[Tensor, "E 4"],
        target_position: Float[Tensor, "E 3"],
        target_orientation_xyzw: Float[Tensor, "E 4"],
        source_covariance: Float[Tensor, "E 6 6"],
        target_covariance: Float[Tensor, "E 6 6"],
        dt_s: float,
        seen: Bool[Tensor, " E"] | None = None,
    ) -> None:
        """Take in one frame of E pairs; the rows are the same pairs in every frame.

        Args:
            source_position, target_position: m, world frame.
            source_orientation_xyzw, target_orientation_xyzw: body to world.
            source_covariance, target_covariance: of the detector, position (m) before rotation (rad), world frame;
                taken as equal in all directions (a third of each block's trace).
            dt_s: since the last frame.
            seen: where both were detected; elsewhere time passes and poses may be anything. All pairs where None, and
                all must be in the first ``reference_frames + 1`` frames, from which angles are counted.

        Raises:
            ConfigurationError: another number of pairs than before, or one that was not seen when it had to be.
            ObservationError: time stood still, or a pose is not finite or has no unit quaternion; nothing was taken in.
        """
        poses = (source_position, source_orientation_xyzw, target_position, target_orientation_xyzw)
        xs, qs, xt, qt = (pose.double() for pose in poses)
        there = torch.ones(len(xs), dtype=torch.bool, device=xs.device) if seen is None else seen
        if self._frames <= self.settings.reference_frames and not bool(there.all()):
            raise ConfigurationError(
                f"KinematicFilter: a pair was not seen in frame {self._frames}; the first "
                f"{self.settings.reference_frames + 1} frames must show all pairs. Begin once they do."
            )
        if seen is not None and self._last is not None and len(xs) == len(self._last[0]):
            now = (xs, qs, xt, qt)
            xs, qs, xt, qt = (torch.where(there[:, None], p, last) for p, last in zip(now, self._last, strict=True))
        _check((xs, qs, xt, qt), dt_s)
        self._last = (xs, qs, xt, qt)
        noise = [_variances(c) for c in (source_covariance, target_covariance)]
        if self._frames == 0:
            self._begin(xs, qs, xt, qt, noise)
        elif len(xs) != len(self.moved):
            raise ConfigurationError(f"KinematicFilter: got {len(xs)} pairs, expected {len(self.moved)} as before.")
        else:
            self.source.observe(xs, qs, *noise[0], dt_s, there)
        target = PoseFrame(xt, qt, *noise[1])
        relative = in_source_frame(self.source, target)
        if self._frames <= self.settings.reference_frames:
            # what is averaged here is the zero of all angles; motion meanwhile shifts it along the axis alone
            share = 1.0 / (self._frames + 1.0)
            self.reference = turned_towards(self.reference, relative.orientation_xyzw, share)
            self.world_reference = turned_towards(self.world_reference, qt, share)
            if self._frames == self.settings.reference_frames:
                self._begin_tracks(relative, target)
        else:
            self._score(relative, target, dt_s, there)
        self._frames += 1

    # ------------------------------------------------------------------ stages

    def _begin(self, xs: Tensor, qs: Tensor, xt: Tensor, qt: Tensor, noise: list[tuple[Tensor, Tensor]]) -> None:
        self.source = Body(xs, qs, *noise[0], self.settings)
        self.reference = in_source_frame(self.source, PoseFrame(xt, qt, *noise[1])).orientation_xyzw
        self.world_reference = qt
        no = torch.zeros(len(xs), dtype=torch.bool, device=xs.device)
        self.moved, self.stirred = no, no.clone()
        zero = torch.zeros_like(noise[0][0])
        self.carried_s, self.lower, self.upper = zero, zero.new_zeros(2, len(xs)), zero.new_zeros(2, len(xs))
        self.axes = zero.new_zeros(2, len(xs), 3)

    def _begin_tracks(self, relative: PoseFrame, target: PoseFrame) -> None:
        s = self.settings
        tensor = relative.position.new_tensor
        turns, shifts = tensor(s.turn_scales_rad_s2), tensor(s.shift_scales_m_s2)
        place, turn, noise, turn_noise = relative
        self.reference_variance = turn_noise / (s.reference_frames + 1.0)
        self.turns = Track(quaternion.difference(turn, self.reference), turn_noise, s.turn_rate_rad_s, turns, turn)
        self.shifts = Track(place, noise, s.shift_rate_m_s, shifts)
        self.pivot = Pivot(place, noise, s.reach_m)
        matrix = quaternion.to_matrix(quaternion.multiply(turn, quaternion.conjugate(self.reference)))
        self.pivot.observe(place, matrix, noise, turn_noise, torch.ones_like(self.moved))
        place, turn, noise, turn_noise = target
        angle = quaternion.difference(turn, self.world_reference)
        self.world_turns = Track(angle, turn_noise, s.turn_rate_rad_s, turns, turn)
        self.world_shifts = Track(place, noise, s.shift_rate_m_s, shifts)

    def _turned(
        self, track: Track, orientation_xyzw: Tensor, reference: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the turn since the reference, and the variance across its axis.

        A rotation vector stretches what is across it by (angle/2) / sin(angle/2), and turns the reference's own error
        by half the angle.
        """
        turn = quaternion.multiply(orientation_xyzw, quaternion.conjugate(reference))
        angle = _continued(quaternion.log(turn), track.smooth.value[-1])
        half = 0.5 * angle.norm(dim=-1)
        stretch = 1.0 / torch.sinc(half / math.pi).square().clamp_min(_LEAST_SINC2)
        return angle, noise * stretch * (1.0 + half.square() / (self.settings.reference_frames + 1))

    def _score(self, relative: PoseFrame, target: PoseFrame, dt_s: float, seen: Tensor) -> None:
        place, turn, place_noise, turn_noise = relative
        angle, across = self._turned(self.turns, turn, self.reference, turn_noise)
        turns = self.turns.observe(angle, turn_noise, dt_s, seen, turn, across)
        shifts = self.shifts.observe(place, place_noise, dt_s, seen)
        world = self._turned(self.world_turns, target.orientation_xyzw, self.world_reference, target.turn_noise)
        world_turns = self.world_turns.observe(
            world[0], target.turn_noise, dt_s, seen, target.orientation_xyzw, world[1]
        )
        world_shifts = self.world_shifts.observe(target.position, target.noise, dt_s, seen)
        matrix = quaternion.to_matrix(quaternion.multiply(turn, quaternion.conjugate(self.reference)))
        pivot = self.pivot.observe(place, matrix, place_noise, turn_noise, seen)
        limit = self.settings.moving_nis
        # a source in motion is a frame whose errors persist for some frames, and look like rates
        stir_limit = limit * (1.0 + _MOVING_FRAME * self.source.left)
        stirs = (self.turns.moves() > stir_limit) | (self.shifts.moves() > stir_limit)
        moves = (self.world_turns.moves() > limit) | (self.world_shifts.moves() > limit)
        carried = self.source.moves() > limit
        self.stirred, self.moved = self.stirred | (stirs & seen), self.moved | (moves & seen)
        counts = ((stirs | moves | carried) & seen).to(place.dtype)
        self.carried_s = self.carried_s + dt_s * counts * ~self.stirred
        form, log_variance, _ = shifts.stays
        staying = form.diagonal(dim1=-2, dim2=-1).sum(-1) + 3.0 * log_variance
        self.pivot.add(torch.where(self.stirred, pivot, staying), counts)
        for track, frame, free in (
            (self.turns, turns, self.stirred),
            (self.shifts, shifts, self.stirred),
            (self.world_turns, world_turns, self.moved),
            (self.world_shifts, world_shifts, self.moved),
        ):
            track.count(frame, counts, free)
        self._follow()

    def _follow(self) -> None:
        """Follow angle and offset, and how far each went; an axis keeps its sense."""
        for row, track in enumerate((self.turns, self.shifts)):
            form, value = track.axis_form()
            axis, covariance = likeliest_axis(form)
            sense = torch.where((axis * self.axes[row]).sum(-1) < 0.0, -1.0, 1.0)
            self.axes[row] = axis * sense[:, None]
            start = self.shifts_from if row else 0.0
            at = ((value - start) * self.axes[row]).sum(-1)
            known = self.stirred & (covariance.diagonal(dim1=-2, dim2=-1).sum(-1) < _KNOWN_AXIS_RAD2)
            self.lower[row] = torch.where(known, torch.minimum(self.lower[row], at), self.lower[row])
            self.upper[row] = torch.where(known, torch.maximum(self.upper[row], at), self.upper[row])

    @property
    def shifts_from(self) -> Float[Tensor, "E 3"]:
        """Where the target's centre was first, source's frame: the zero of offsets."""
        return self.pivot.origin

    # ------------------------------------------------------------------ posterior

    def log_evidence(self) -> Float[Tensor, "E T"]:
        """Return log p(detections | kind) of free and of each kind, up to a constant of the pair, nats."""
        s = self.settings
        free_turns, free_shifts = (self.carried_s.new_tensor(p)[:, None] for p in s.log_free())
        free = torch.logsumexp(self.world_turns.log_evidence() + free_turns, 0)
        free = free + torch.logsumexp(self.world_shifts.log_evidence() + free_shifts, 0)
        turns = dict(zip(Turn, self.turns.log_evidence(), strict=True))
        stays, along, _ = self.shifts.log_evidence()
        shifts = {Shift.FIXED: stays, Shift.LINE: along, Shift.PIVOT: self.pivot.log_evidence()}
        found = [free]
        for kind in self.kinds:
            held = kind.turn == Turn.FIXED and kind.shift == Shift.FIXED
            waited = 0.0 if held else -s.stirs_per_s * self.carried_s
            found.append(turns[Turn(kind.turn)] + shifts[Shift(kind.shift)] + waited)
        return torch.stack(found, dim=-1)

    def posterior(self) -> JointPosterior:
        """Return what is believed now.

        Raises:
            ConfigurationError: too few frames were seen for a reference.
        """
        if self._frames <= self.settings.reference_frames:
            raise ConfigurationError(
                f"KinematicFilter: {self._frames} frames were seen, more than {self.settings.reference_frames} needed."
            )
        prior = torch.log_softmax(self.carried_s.new_tensor([0.0, *(k.prior.log_odds for k in self.kinds)]), -1)
        log_probability = torch.log_softmax(self.log_evidence() + prior, dim=-1)
        point, point_covariance = self.pivot.point()
        axes, spreads, values = [], [], []
        for row, track in enumerate((self.turns, self.shifts)):
            form, value = track.axis_form()
            axes.append(self.axes[row].clone())
            tilt = self.source.rest_turn_variance
            if row == 0:  # log(exp(angle axis) exp(-error)) leans by half of the error, at every angle alike
                tilt = tilt + 0.25 * self.reference_variance
            spreads.append(likeliest_axis(form)[1] + tilt[:, None, None] * _across(self.axes[row]))
            values.append(((value - (self.shifts_from if row else 0.0)) * self.axes[row]).sum(-1))
        about_axis = tuple(Turn(k.turn) == Turn.AXIS for k in self.kinds)
        along_line = tuple(Shift(k.shift) == Shift.LINE for k in self.kinds)
        return JointPosterior(
            (FREE, *(k.kind for k in self.kinds)), log_probability, prior, about_axis, along_line,
            torch.stack(axes), torch.stack(spreads), point, point_covariance, torch.stack(values),
            self.lower.clone(), self.upper.clone(), self.stirred.clone(),
        )  # fmt: skip


def _check(poses: tuple[Tensor, Tensor, Tensor, Tensor], dt_s: float) -> None:
    """Refuse a frame that would spoil what is believed of all pairs from then on."""
    if not 0.0 < dt_s < math.inf:
        raise ObservationError(f"KinematicFilter: dt_s is {dt_s}, expected a finite number of seconds above 0.")
    for which, place, turn in zip(("source", "target"), poses[::2], poses[1::2], strict=True):
        usable = torch.isfinite(place).all(-1) & ((turn.norm(dim=-1) - 1.0).abs() < _UNIT_TOLERANCE)
        if not bool(usable.all()):
            raise ObservationError(
                f"KinematicFilter: the {which} pose of pair {int(usable.int().argmin())} is not finite or has no unit "
                "quaternion. Say with `seen` which pairs were detected."
            )


def _variances(covariance: Float[Tensor, "E 6 6"]) -> tuple[Float[Tensor, " E"], Float[Tensor, " E"]]:
    diagonal = covariance.double().diagonal(dim1=-2, dim2=-1)
    return diagonal[:, :3].mean(-1), diagonal[:, 3:].mean(-1)


def _across(axis: Float[Tensor, "E 3"]) -> Float[Tensor, "E 3 3"]:
    """Return the projection onto the plane across each axis."""
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return identity - axis[:, :, None] * axis[:, None, :]


def _continued(angle: Float[Tensor, "E 3"], before: Float[Tensor, "E 3"]) -> Float[Tensor, "E 3"]:
    """Return the rotation vector of the same turn that is nearest to the one before: a hinge may pass half a turn."""
    size = angle.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    along = (before * angle).sum(-1, keepdim=True) / size
    whole = torch.round((along - size) / (2.0 * math.pi))
    return angle * (1.0 + whole * 2.0 * math.pi / size)
