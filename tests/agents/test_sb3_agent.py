"""Learned policies: what they read, and that what is saved acts as what was trained."""

from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.sac import MultiInputPolicy

from worldsim.errors import ConfigurationError, DataError
from worldsim.evaluation.training import TrainOptions
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import APPEARANCE_DIM, Detections, EgoState, Observation, Viewpoints
from worldsim_agents.sb3_agent import PPOAgent, SACAgent
from worldsim_agents.set_policy import SetExtractor

M = 6
ROWS = {"position": 3, "orientation_xyzw": 4, "extent_m": 3, "appearance": APPEARANCE_DIM}
POSE = {"ego_position": 3, "ego_orientation_xyzw": 4, "ego_linear_velocity": 3, "ego_angular_velocity": 3}
TASK = {"task_holding": 1, "task_goal_position": 3, "task_pickup_position": 3, "task_dropoff_position": 3}
OWN = POSE | TASK
SPACE = spaces.Dict(
    {
        name: spaces.Box(-10.0, 10.0, (width,), np.float32)
        for name, width in ({"mask": M} | {k: M * w for k, w in ROWS.items()} | OWN).items()
    }
)
QUARTER_TURN = np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])


class Corridor(gym.Env):
    """A body on a line, paid for going forward; its observations have the keys of a worldsim environment."""

    observation_space = SPACE
    action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0.0
        return self.observe(), {}

    def step(self, action):
        self.at += 0.1 * float(action[0])
        return self.observe(), float(action[0]), False, abs(self.at) > 1.0, {}

    def observe(self):
        observation = {name: np.zeros(space.shape, np.float32) for name, space in SPACE.items()}
        observation["ego_position"][0] = self.at
        observation["ego_orientation_xyzw"][3] = 1.0
        return observation


def observation(rng: np.random.Generator, n: int = 4) -> Observation:
    quaternion = rng.normal(size=(n, 4))
    return Observation(
        0.0,
        Detections(
            rng.normal(size=(n, 3)),
            quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True),
            rng.uniform(0.1, 1.0, (n, 3)),
            rng.uniform(size=(n, 3)),
            rng.normal(size=(n, APPEARANCE_DIM)),
            np.tile(np.eye(6), (n, 1, 1)),
        ),
        Viewpoints.everywhere(),
        EgoState(rng.normal(size=3), QUARTER_TURN, rng.normal(size=3), rng.normal(size=3), np.ones(3), np.eye(6)),
        {name: rng.normal(size=width) for name, width in TASK.items()},
    )


def batch(rng: np.random.Generator, real: int) -> dict[str, torch.Tensor]:
    fields = {name: torch.tensor(rng.normal(size=(1, w)), dtype=torch.float32) for name, w in OWN.items()}
    fields["ego_orientation_xyzw"] /= fields["ego_orientation_xyzw"].norm()
    for name, width in ROWS.items():
        rows = rng.normal(size=(M, width))
        if name == "orientation_xyzw":
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows[real:] = 0.0
        fields[name] = torch.tensor(rows.reshape(1, -1), dtype=torch.float32)
    return fields | {"mask": (torch.arange(M) < real).float().unsqueeze(0)}


def test_the_order_of_detections_and_what_lies_in_the_padding_make_no_difference_to_the_features():
    rng = np.random.default_rng(0)
    fields = batch(rng, real=4)
    extractor = SetExtractor(SPACE)
    shuffled = dict(fields)
    for name, width in ROWS.items():
        rows = fields[name].reshape(M, width).clone()
        rows[:4] = rows[[2, 0, 3, 1]]
        rows[4:] = 7.0
        shuffled[name] = rows.reshape(1, -1)
    # the rows are the same numbers in another order of summation, hence no more than float32 rounding apart
    torch.testing.assert_close(extractor(shuffled), extractor(fields), rtol=1e-5, atol=1e-6)


def test_rows_that_are_padding_in_the_whole_batch_are_left_out_and_change_neither_features_nor_gradients():
    rng = np.random.default_rng(2)
    few, full, none = batch(rng, real=3), batch(rng, real=M), batch(rng, real=0)
    extractor = SetExtractor(SPACE)
    rows = []
    extractor.each.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[1]))
    together = extractor({name: torch.cat([few[name], full[name], none[name]]) for name in few})
    gradients = []
    for features in (extractor(few), together[:1]):
        extractor.zero_grad()
        features.square().sum().backward()
        gradients.append([weight.grad.clone() for weight in extractor.parameters()])
        torch.testing.assert_close(features, together[:1])
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(extractor(none), together[2:])
    assert rows == [M, 3, 1]


def test_turning_and_shifting_the_whole_world_changes_nothing_but_the_own_heading():
    rng = np.random.default_rng(1)
    fields = batch(rng, real=5)
    extractor = SetExtractor(SPACE)
    inputs = []
    extractor.each.register_forward_pre_hook(lambda _, given: inputs.append(given[0].detach()))
    extractor(fields)
    turned = dict(fields)
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    shift = torch.tensor([1.0, -2.0, 0.0])
    for name in ("position", "ego_position"):
        points = fields[name].reshape(-1, 3) @ quarter.T + shift
        turned[name] = points.reshape(1, -1)
    for name in ("orientation_xyzw", "ego_orientation_xyzw"):
        x, y, z, w = fields[name].reshape(-1, 4).unbind(-1)
        s = 0.5**0.5  # (0, 0, s, s) times (x, y, z, w)
        turned[name] = torch.stack([s * (x - y), s * (x + y), s * (z + w), s * (w - z)], dim=-1).reshape(1, -1)
    extractor(turned)
    torch.testing.assert_close(inputs[1][:, :5], inputs[0][:, :5], rtol=1e-4, atol=1e-4)  # float32, numbers of order 10


@pytest.mark.parametrize("agent", [PPOAgent, SACAgent])
def test_a_saved_policy_acts_as_the_trained_one_does(agent, tmp_path):
    told = []
    trained = agent.train(Corridor(), 128, 3, told.append)
    trained.save(tmp_path)
    loaded = agent.load(tmp_path)
    rng = np.random.default_rng(5)
    for n in (0, 3, M + 2):
        frame = observation(rng, n)
        action = trained.act(frame, None, rng)
        assert action.dtype == np.float32
        assert np.abs(action).max() <= 1.0
        np.testing.assert_array_equal(loaded.act(frame, None, rng), action)
    assert told[-1] >= 128
    assert loaded.returns == pytest.approx(trained.returns)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


class Crowded(Corridor):
    """The corridor with as many things as the number of frames says, which now and then all vanish."""

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.rng, self.frame = np.random.default_rng(seed), 0
        return super().reset(seed=seed, options=options)

    def observe(self):
        self.frame += 1
        seen = {name: value[0].numpy() for name, value in batch(self.rng, real=self.frame % (M + 1)).items()}
        return super().observe() | {name: seen[name] for name in (*ROWS, "mask", *TASK)}


def test_what_sac_leaves_out_and_works_out_once_changes_no_bit_of_what_it_learns(monkeypatch):
    def trained():
        learner = SACAgent.learner(Crowded, 3, 300, 3)  # three side by side: batches are drawn from all
        learner.learn(300)
        learner.close()
        return learner.algorithm

    ours = trained()
    assert set(ours.replay_buffer.observations) == {"seen", "rows", "own"}
    monkeypatch.setattr("worldsim_agents.sac_policy.SACPolicy", MultiInputPolicy)
    monkeypatch.setattr("worldsim_agents.sac_policy.EgocentricReplayBuffer", DictReplayBuffer)
    plain = trained()
    assert type(plain.policy) is MultiInputPolicy
    assert "position" in plain.replay_buffer.observations
    assert plain._n_updates == ours._n_updates > 0
    mine = ours.policy.state_dict()
    assert plain.policy.state_dict().keys() == mine.keys()
    for name, weight in plain.policy.state_dict().items():
        assert torch.equal(weight, mine[name]), name


def test_the_actors_loss_gives_the_critics_weights_no_gradient():
    critic = SACAgent.train(Corridor(), 128, 3).policy.critic
    critic.zero_grad()
    fields, action = batch(np.random.default_rng(0), real=4), torch.zeros(1, 3, requires_grad=True)
    torch.cat(critic(fields, action)).sum().backward()
    assert bool((action.grad != 0.0).any())
    assert all(weight.grad is None for weight in critic.parameters())
    torch.cat(critic(fields, action.detach())).sum().backward()
    assert all(weight.grad is not None for weight in critic.parameters())


@pytest.mark.slow
def test_ppo_learns_to_go_where_it_is_paid():
    returns = PPOAgent.train(Corridor(), 2048, 0).returns
    # an episode ends 1 m to either side, at 0.1 m a unit of pay: +10 to +11 forward, -10 to -11 backward
    assert min(returns[:10]) < 0.0
    assert min(returns[-10:]) > 9.0


def test_a_policy_of_another_algorithm_or_a_truncated_one_is_refused(tmp_path):
    trained = PPOAgent.train(Corridor(), 64, 0)
    trained.save(tmp_path)
    with pytest.raises(DataError, match="use --agent ppo"):
        SACAgent.load(tmp_path)
    weights = tmp_path / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="holds no readable policy"):
        PPOAgent.load(tmp_path)
    (tmp_path / "policy.json").write_text(json.dumps({"algorithm": "ppo"}))
    with pytest.raises(DataError, match="worldsim train"):
        PPOAgent.load(tmp_path)


def test_an_environment_that_lacks_what_the_policy_reads_is_refused():
    with pytest.raises(ConfigurationError, match="lacks"):
        PPOAgent.train(gym.make("CartPole-v1"), 64, 0)


@pytest.mark.parametrize("name", ["Intercept", "PushT", "Sorting"])
def test_a_policy_reads_whatever_a_task_tells_and_refuses_another_task(name, tmp_path):
    env = WorldsimEnv(name, observation="state")
    raw, _ = env.reset(seed=0)
    policy = PPOAgent.make_policy(env.observation_space, env.action_space)
    PPOAgent(policy).save(tmp_path)
    env.close()
    frame = Observation.from_gym(raw)
    assert PPOAgent.load(tmp_path).act(frame, None, np.random.default_rng(0)).shape == (3,)
    with pytest.raises(ConfigurationError, match="Train it on the scenario"):
        PPOAgent.load(tmp_path).act(observation(np.random.default_rng(0)), None, np.random.default_rng(0))


def test_trainings_with_neighbouring_seeds_share_no_world():
    options = TrainOptions("Intercept")
    worlds = []
    for seed in range(3):
        learner = PPOAgent.learner(options.make_env, 4, 64, seed)
        worlds += learner.vector._seeds
        learner.close()
    assert len(set(worlds)) == 12
