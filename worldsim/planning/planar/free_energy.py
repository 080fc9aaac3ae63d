"""Expected free energy: what a future is worth, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.planning.planar.belief_cost import WAY_ROUND, BeliefCost
from worldsim.planning.planar.hypotheses import Hypotheses, information_gain
from worldsim.planning.planar.rollout import PlanarFuture
from worldsim.planning.planar.scene import PlanarScene
from worldsim.planning.planar.search_map import SearchMap
from worldsim.planning.planar.search_tour import detour_m, tours
from worldsim.planning.planar.visibility import SENSOR_STD_M, Cone, Unseen, state_information_gain
from worldsim.planning.planar.whereabouts import Whereabouts, missed_by_step, search_information
from worldsim.planning.situation import OwnTrajectories
from worldsim.types.planning import OTHERS, Preferences, PreferredOutcome

SEARCH = "search_info_gain"
"""Name of what a future tells about where a hidden thing is."""
DETOUR = "search_detour"
"""Name of the detours that a future spares since it tells where a hidden thing is."""
_STD_FLOOR_M = 0.02
_LOOKS_A_SECOND = 5.0  # of a speed that count as independent: the odometry's errors last about 0.2 s


@dataclass(frozen=True, slots=True)
class Search:
    """What is believed of where a hidden thing is, the map of the places where it may be, and what the own eye sees.

    Attributes:
        cone: what it has in its picture; None where it looks all around.
    """

    whereabouts: Whereabouts
    map: SearchMap
    cone: Cone | None = None

    def looks(self, own: Float[Tensor, "S T 3"]) -> Float[Tensor, "S T K"]:
        """Return whether each place is seen from each pose (x, y, yaw) of the own body, 0 or 1."""
        seen = self.map.looks(own[..., :2])
        return seen if self.cone is None else seen * self.cone.holds(own, self.map.place[None])


@dataclass(frozen=True, slots=True)
class Drives:
    """What is part of the expected free energy, and how much a nat of information is worth in units of cost.

    Attributes:
        use_utility: what is preferred.
        use_states_info_gain: what a future tells about where things are.
        use_param_info_gain: what it tells about how things are.
        nat_worth: cost that one nat outweighs.
        place_worth: the same of a nat about where a hidden thing is: the way to the wrong place costs more than a push.
    """

    use_utility: bool = True
    use_states_info_gain: bool = True
    use_param_info_gain: bool = True
    nat_worth: float = 2.0
    place_worth: float = 12.0


class ExpectedFreeEnergy(BeliefCost):
    """Expected cost under hypotheses, less what is learned; lower is better, as for any `CandidateCost`.

    Source: Friston et al. 2015, "Active inference and epistemic value"; the three switches are those of pymdp (Heins et
    al. 2022). Ours differs in two ways. Information is gained about live hypotheses alone. And it is worth only as much
    as it is likely to be got unharmed: every future's gain is multiplied by the probability that nothing is touched
    that should not be, under its own forecast. What hurts is then not repeated for the sake of knowing it better.
    """

    def __init__(
        self,
        scene: PlanarScene,
        preferences: Preferences,
        dt_s: float,
        drives: Drives,
        hypotheses: Hypotheses | None = None,
        unseen: Unseen | None = None,
        search: Search | None = None,
        noise_m_s: float = 0.08,
    ) -> None:
        """Build the model for one moment.

        Args:
            scene: what is believed.
            preferences: what is wanted.
            dt_s: length of a step, s.
            drives: what counts.
            hypotheses: about the scene's pushables, None where nothing about them is in doubt.
            unseen: things that only the own eye can see, None where there are none.
            search: for a hidden thing, None where none is looked for.
            noise_m_s: of a look at the own speed while pushing.
        """
        super().__init__(scene, preferences, dt_s)
        self.drives, self.hypotheses, self.unseen, self.noise_m_s = drives, hypotheses, unseen, noise_m_s
        self.search = search

    def get_cost(
        self, info_dict: Mapping[str, Any], action_candidates: Float[Tensor, "1 S T U"]
    ) -> Float[Tensor, "1 S"]:
        """Return the expected free energy of each candidate (arguments and errors as `BeliefCost.get_cost`)."""
        del info_dict
        command = self.possible(action_candidates)
        return torch.stack(list(self.terms(self.imagine(command), command).values())).sum(dim=0)[None]

    def terms(self, future: PlanarFuture, command: Float[Tensor, "S T U"]) -> dict[str, Float[Tensor, " S"]]:
        """Return the cost of each future by named term; what is learned has a negative cost."""
        priced = super().terms(future, command)
        if not self.drives.use_utility:
            wanted = {outcome.name for outcome in self.preferences.outcomes}
            priced = {name: cost for name, cost in priced.items() if name.removesuffix(WAY_ROUND) not in wanted}
        unharmed = 1.0 - self.harm(future, command)
        for name, gain in self.gains(future).items():
            worth = self.drives.place_worth if name == SEARCH else self.drives.nat_worth
            priced[name] = -worth * gain * unharmed
        if self.drives.use_states_info_gain and self.search is not None:
            priced[DETOUR] = -self.detour_spared(self.search, future) * unharmed
        return priced

    @property
    def asks(self) -> bool:
        """Whether information is a term of the price; where it is not, its worth changes nothing, to the bit."""
        states = self.drives.use_states_info_gain and (self.unseen is not None or self.search is not None)
        return states or (self.drives.use_param_info_gain and self.hypotheses is not None)

    def gains(self, future: PlanarFuture) -> dict[str, Float[Tensor, " S"]]:
        """Return what each future is expected to tell, nats, by the switches that are on."""
        gains: dict[str, Float[Tensor, " S"]] = {}
        if self.drives.use_param_info_gain and self.hypotheses is not None:
            share = _LOOKS_A_SECOND * self.dt_s
            gains["param_info_gain"] = information_gain(future.pushing, self.hypotheses, self.noise_m_s, share)
        if self.drives.use_states_info_gain and self.unseen is not None:
            seen = self.unseen.seen_from(future.own)
            gains["states_info_gain"] = state_information_gain(seen, self.unseen.std_m, SENSOR_STD_M)
        if self.drives.use_states_info_gain and self.search is not None:
            found, looks = self.search.whereabouts, self.search.looks(future.own)
            gains[SEARCH] = search_information(looks, found.posterior, found.live)
        return gains

    def detour_spared(self, search: Search, future: PlanarFuture) -> Float[Tensor, " S"]:
        """Return what each future spares of the detours that not knowing costs, in units of the outcomes' cost.

        A search beyond the horizon is priced, too: who has seen all that is near has a reason to go on.
        """
        found = search.whereabouts
        live = torch.nonzero(found.live).reshape(-1)
        wanted = [outcome for outcome in self.preferences.outcomes if outcome.reference == found.role]
        if len(live) < 2 or not wanted:
            return torch.zeros_like(future.speed[:, 0])
        share, places = found.posterior[live] / found.posterior[live].sum(), live.tolist()
        tour_m = tours(torch.stack([search.map.distance(k, found.place[live]) for k in places], dim=-1), share)
        here = torch.tensor([self.scene.own.position])
        now_m = detour_m(torch.stack([search.map.distance(k, here) for k in places], dim=-1), share[None], tour_m)
        looks, at = search.looks(future.own)[..., live], future.own[..., :2]
        distance_m = torch.stack([search.map.distance(k, at) for k in places], dim=-1)
        spared_m = now_m - detour_m(distance_m, share * missed_by_step(looks), tour_m)  # [S, T]
        price = sum(o.weight * self.preferences.weight(o.name) / o.scale_m for o in wanted)
        return price * (spared_m.mean(dim=1) + spared_m[:, -1])

    def harm(self, future: PlanarFuture, command: Float[Tensor, "S T U"]) -> Float[Tensor, " S"]:
        """Return the probability that a future touches what moves, or drives into what stands."""
        own = OwnTrajectories(
            future.own[..., :2], future.own[..., 2], future.speed, torch.zeros_like(future.speed), command[..., :2]
        )
        around = self.around(future.own.dtype)
        safe = torch.ones_like(future.speed[:, 0])
        for boxes in (around.moving, around.standing):
            if len(boxes):
                gap = around.gaps(own, boxes)
                touching = torch.special.ndtr(-gap / boxes.std_m.clamp(min=_STD_FLOOR_M)).amax(dim=1)
                safe = safe * (1.0 - touching).prod(dim=1)
        return 1.0 - safe

    def surprisal(self, outcome: PreferredOutcome, future: PlanarFuture) -> Float[Tensor, "S T"]:
        """Return -log p of an outcome, in expectation over who plays its roles and where a hidden one is."""
        if self.search is not None and outcome.reference == self.search.whereabouts.role:
            return self._surprisal_of_a_search(self.search, outcome, future)
        return self._expected(self.surprisal_under, outcome, future)

    def _surprisal_of_a_search(
        self, search: Search, outcome: PreferredOutcome, future: PlanarFuture
    ) -> Float[Tensor, "S T"]:
        """Return the surprisal of being so far, by the way round what stands, from wherever the thing may be."""
        found = search.whereabouts
        live = found.live | (found.log_weight == found.log_weight.max())
        shares = (found.posterior * live / (found.posterior * live).sum()).tolist()
        total = torch.zeros_like(future.speed)
        for k in torch.nonzero(live).reshape(-1).tolist():
            away = search.map.distance(k, future.own[..., :2]) - outcome.distance_m
            total = total + shares[k] * ((1.0 + (away / outcome.scale_m).square()).sqrt() - 1.0)
        return total

    def way_round(self, outcome: PreferredOutcome, future: PlanarFuture) -> Float[Tensor, " S"]:
        """Return the way that is left round an outcome's thing, in expectation over which thing it is."""
        return self._expected(self.way_round_under, outcome, future)

    def _expected(
        self,
        under: Callable[[Mapping[str, int], PreferredOutcome, PlanarFuture], Tensor],
        outcome: PreferredOutcome,
        future: PlanarFuture,
    ) -> Float[Tensor, "S *T"]:
        hypotheses = self.hypotheses
        spoken_of = {outcome.subject, outcome.reference}
        unsure = () if hypotheses is None else set(hypotheses.roles) & spoken_of
        if hypotheses is not None and OTHERS in spoken_of:  # who they are hangs on who the ones with roles are
            unsure = set(hypotheses.roles)
        if hypotheses is None or not unsure:
            return under({}, outcome, future)
        players = [{role: hypotheses.roles[role][k] for role in unsure} for k in range(len(hypotheses.log_weight))]
        shares = hypotheses.posterior.tolist()
        return sum((p * under(who, outcome, future) for p, who in zip(shares, players, strict=True)), torch.zeros(()))
