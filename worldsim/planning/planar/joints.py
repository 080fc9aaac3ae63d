"""Hypotheses about a joint: what a front does that the own body holds by its middle, and what a pull tells of it.

The own body's clamp is a point a lever ahead of its middle. Speed v and yaw rate w move that point by v along the
heading and by w times the lever across it, so that any small motion of the point is one command; a joint leaves one
direction free, and of what is commanded the part along it comes about: the projection. The rest is lost on the joint,
as the wheels give way before it does.

Source: Sturm, Stachniss & Burgard 2011, "A probabilistic framework for learning kinematic models of articulated
objects" (candidate joints, Bayes' rule over them by where the part goes). Ours weighs what a pull would tell before it
is done (`JointFreeEnergy.gains`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.errors import ConfigurationError
from worldsim.planning.planar.free_energy import Drives, ExpectedFreeEnergy
from worldsim.planning.planar.hypotheses import Exclusive, told_apart
from worldsim.planning.planar.rollout import PlanarFuture
from worldsim.planning.planar.scene import PlanarScene
from worldsim.planning.situation import OwnBody
from worldsim.types.planning import Preferences, PreferredOutcome

_PIECES = 2  # to a step of a plan
_LOOKS_A_SECOND = 5.0  # of a place that count as independent
_OUTLIERS, _OUTLIER_WIDTH = 0.05, 5.0  # share of looks that are off by so many times the noise


@dataclass(frozen=True, slots=True)
class JointHypotheses(Exclusive):
    """K joints that a front may hang on, of which it hangs on one.

    Along each of them the front's middle has a way from where it is when shut, of which it may be anywhere from 0 on.

    Attributes:
        log_weight: [K] logarithms of their probabilities, up to a constant.
        names: [K] what each is.
        shut: [2] m, the front's middle when shut.
        axis: [K, 2] unit direction of the way at its beginning.
        centre: [K, 2] m, of the arc that it is; any place where `radius_m` is infinite.
        radius_m: [K] of the arc, infinite for a straight way.
    """

    log_weight: Float[Tensor, " K"]
    names: tuple[str, ...]
    shut: Float[Tensor, "2"]
    axis: Float[Tensor, "K 2"]
    centre: Float[Tensor, "K 2"]
    radius_m: Float[Tensor, " K"]

    @classmethod
    def of_a_front(
        cls, shut: tuple[float, float, float], width_m: float, viewer: tuple[float, float]
    ) -> JointHypotheses:
        """Return the ways in which a flat front can open, equally probable.

        It swings about either edge towards the side of the `viewer`, is pulled out that way, or slides along itself.

        Args:
            shut: x, y and yaw of the front when shut; its width lies along the yaw.
            width_m: of the front, m.
            viewer: (x, y) m, in front of it.

        Raises:
            ConfigurationError: a front without width.

        >>> JointHypotheses.of_a_front((0.0, 0.0, 0.0), 0.6, (0.0, -1.0)).names
        ('hinge', 'hinge', 'drawer', 'slider', 'slider')
        """
        if not width_m > 0.0:
            raise ConfigurationError(f"JointHypotheses: the front is {width_m} m wide, expected more than 0.")
        middle = torch.tensor(shut[:2])
        along = torch.tensor([math.cos(shut[2]), math.sin(shut[2])])
        out = torch.stack([-along[1], along[0]])
        out = out if float((torch.tensor(viewer) - middle) @ out) > 0.0 else -out
        half = 0.5 * width_m
        edges = torch.stack([middle - half * along, middle + half * along])
        far = torch.full((3,), math.inf)
        return cls(
            torch.zeros(5),
            ("hinge", "hinge", "drawer", "slider", "slider"),
            middle,
            torch.stack([out, out, out, -along, along]),
            torch.cat([edges, middle.expand(3, 2)]),
            torch.cat([torch.full((2,), half), far]),
        )

    @property
    def _lever(self) -> tuple[Float[Tensor, "K 2"], Float[Tensor, " K"]]:
        """From each arc's centre to the front's middle when shut, and the sense of turning (1 to the left)."""
        lever = self.shut - self.centre
        return lever, torch.sign(lever[:, 0] * self.axis[:, 1] - lever[:, 1] * self.axis[:, 0])

    def place(self, way_m: Float[Tensor, "*B K"]) -> tuple[Float[Tensor, "*B K 2"], Float[Tensor, "*B K 2"]]:
        """Return the front's middle so far along each way, and the unit direction of the way there."""
        lever, sense = self._lever
        turn = sense * way_m / self.radius_m  # 0 on a straight way
        c, s = torch.cos(turn)[..., None], torch.sin(turn)[..., None]

        def turned(vector: Tensor) -> Tensor:
            across = torch.stack([-vector[:, 1], vector[:, 0]], dim=-1)
            return c * vector + s * across

        straight = self.shut + way_m[..., None] * self.axis
        bent = self.centre + turned(lever)
        is_straight = torch.isinf(self.radius_m)[:, None]
        return torch.where(is_straight, straight, bent), turned(self.axis)

    def along(self, place: Float[Tensor, "2"]) -> Float[Tensor, " K"]:
        """Return how far along each way a front is whose middle is at `place`, m, at least 0."""
        straight = ((place - self.shut) * self.axis).sum(dim=-1)
        (lever, sense), arm = self._lever, place - self.centre
        turn = torch.atan2(lever[:, 0] * arm[:, 1] - lever[:, 1] * arm[:, 0], (lever * arm).sum(dim=-1))
        is_straight = torch.isinf(self.radius_m)
        bent = sense * turn * torch.where(is_straight, 0.0, self.radius_m)
        return torch.where(is_straight, straight, bent).clamp(min=0.0)

    def observe(
        self, moved_m: Float[Tensor, "2"], predicted_m: Float[Tensor, "K 2"], noise_m: float
    ) -> JointHypotheses:
        """Return what is believed after the front went by `moved_m`, where each hypothesis had `predicted_m`.

        Bayes' rule with a normal likelihood of width `noise_m`; a look in twenty may be off by five times as much.
        """
        misfit = (predicted_m - moved_m).square().sum(dim=-1) / noise_m**2
        usual, rare = math.log(1.0 - _OUTLIERS), math.log(_OUTLIERS / _OUTLIER_WIDTH**2)
        fits = torch.logaddexp(usual - 0.5 * misfit, rare - 0.5 * misfit / _OUTLIER_WIDTH**2)
        weight = self.log_weight + fits
        return replace(self, log_weight=weight - torch.logsumexp(weight, dim=0))


def pull(
    own: OwnBody,
    joints: JointHypotheses,
    front: tuple[float, float],
    wanted: Float[Tensor, "S T 2"],
    dt_s: float,
) -> tuple[Float[Tensor, "S T K 3"], Float[Tensor, "S T K 2"]]:
    """Return own pose (x, y, yaw) and the front's middle after each step, under each of K hypotheses.

    Args:
        own: the own body now; it holds the front.
        joints: what the front may hang on.
        front: (x, y) m, its middle now.
        wanted: speed (m/s) and yaw rate (rad/s) that are asked for.
        dt_s: length of a step, s.
    """
    samples, steps = wanted.shape[:2]
    count, piece_s = len(joints.names), dt_s / _PIECES
    at = wanted.new_tensor(front)
    lever_m = max(0.1, math.dist(own.position, front))
    way = joints.along(at).to(wanted.dtype).expand(samples, count)
    pose = wanted.new_tensor([*own.position, own.heading_rad]).expand(samples, count, 3)
    answer = wanted.new_tensor([own.speed_response_per_s, own.yaw_response_per_s])
    driven = wanted.new_tensor([own.speed_m_s, own.yaw_rate_rad_s]).expand(samples, 2)
    poses, places = [], []
    for t in range(steps):
        for _ in range(_PIECES):
            _, free = joints.place(way)
            c, s = torch.cos(pose[..., 2]), torch.sin(pose[..., 2])
            ahead, across = free[..., 0] * c + free[..., 1] * s, free[..., 1] * c - free[..., 0] * s
            driven = wanted[:, t] + (driven - wanted[:, t]) * torch.exp(-answer * piece_s)  # as the wheels follow
            rate = driven[:, :1] * ahead + driven[:, 1:] * lever_m * across
            rate = torch.maximum(rate, -way / piece_s)  # no farther in than shut
            way = way + rate * piece_s
            speed = rate * ahead * piece_s
            turn = rate * across / lever_m * piece_s
            pose = pose + torch.stack([speed * c, speed * s, turn], dim=-1)
        poses.append(pose)
        places.append(joints.place(way)[0])
    return torch.stack(poses, dim=1), torch.stack(places, dim=1)


class JointFreeEnergy(ExpectedFreeEnergy):
    """Expected free energy of pulling at a front whose joint is not known; `PlanarFuture.pushed` is its middle [K]."""

    def __init__(
        self,
        scene: PlanarScene,
        preferences: Preferences,
        dt_s: float,
        drives: Drives,
        joints: JointHypotheses,
        front: tuple[float, float],
        noise_m: float,
    ) -> None:
        """Build the model for one moment.

        Args:
            scene: what is believed.
            preferences: what is wanted.
            dt_s: length of a step, s.
            drives: what counts.
            joints: what the front may hang on.
            front: (x, y) m, its middle now.
            noise_m: of a look at where it is.
        """
        super().__init__(scene, preferences, dt_s, drives)
        self.joints, self.front, self.noise_m = joints, front, noise_m

    @property
    def asks(self) -> bool:
        """Whether information is a term of the price."""
        return self.drives.use_param_info_gain and int(self.joints.live.sum()) > 1

    def imagine(self, command: Float[Tensor, "S T U"]) -> PlanarFuture:
        """Return what is expected of S command sequences; the own body's future is that of the likeliest joint."""
        wanted = command[..., :2] * command.new_tensor(self.scene.limits)
        own, front = pull(self.scene.own, self.joints, self.front, wanted, self.dt_s)
        likeliest = int(self.joints.log_weight.argmax())
        faceless = torch.cat([front, torch.zeros_like(front[..., :1])], dim=-1)
        return PlanarFuture(own[:, :, likeliest], wanted[..., 0], faceless, torch.zeros_like(front[..., 0]))

    def surprisal(self, outcome: PreferredOutcome, future: PlanarFuture) -> Float[Tensor, "S T"]:
        """Return -log p of an outcome, in expectation over the joints."""
        shares = self.joints.posterior.tolist()
        under = [self.surprisal_under({"object": k}, outcome, future) for k in range(len(shares))]
        return sum((p * cost for p, cost in zip(shares, under, strict=True)), torch.zeros(()))

    def gains(self, future: PlanarFuture) -> dict[str, Float[Tensor, " S"]]:
        """Return what each future is expected to tell of the joint, nats."""
        live = self.joints.live
        if not self.asks:
            return {}
        p = self.joints.posterior[live]
        places = future.pushed[:, :, live, :2]
        apart = (places[:, :, :, None] - places[:, :, None]).square().sum(dim=(1, 4))
        share = _LOOKS_A_SECOND * self.dt_s / self.noise_m**2
        return {"param_info_gain": told_apart((p / p.sum()).to(apart.dtype), apart * share)}
