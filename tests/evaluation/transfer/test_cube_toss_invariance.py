"""A toss seen from another side, or elsewhere on the board, has the errors it had."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from worldsim.evaluation.protocol_r import Tosses, protocol_start, score
from worldsim.inference.identification import CUBE_PRIORS, Identifier, ParameterCloud, box_parameters
from worldsim.inference.rigid_rollout import BoxStart, roll_out
from worldsim.inference.toss_prediction import predict

FRAMES, RATE_HZ = 45, 148.0


def recorded(identifier: Identifier) -> Tosses:
    g = torch.Generator().manual_seed(3)
    start = BoxStart(
        torch.cat([torch.zeros(5, 2), 0.1 * torch.ones(5, 1)], dim=1).double(),
        torch.nn.functional.normalize(torch.randn(5, 4, generator=g), dim=1).double(),
        (torch.randn(5, 3, generator=g) + torch.tensor([1.2, 0.0, 0.0])).double(),
        4.0 * torch.randn(5, 3, generator=g).double(),
    )
    natural = np.array([[prior.mean for prior in CUBE_PRIORS]])
    p, q = roll_out(start, box_parameters(natural, 5, start.position), FRAMES, 1 / RATE_HZ, identifier.settings)
    position, orientation = p.numpy(), q.numpy()
    velocity = np.concatenate([start.linear_velocity.numpy()[None], np.diff(position, axis=0) * RATE_HZ])
    body = Rotation.from_quat(orientation[0]).inv().apply(start.angular_velocity.numpy())
    return Tosses(position, orientation, velocity, np.tile(body, (FRAMES, 1, 1)), np.full(5, FRAMES), RATE_HZ)


def moved(tosses: Tosses, yaw_rad: float, shift_m: tuple[float, float]) -> Tosses:
    turn = Rotation.from_euler("z", yaw_rad)
    shape = tosses.position.shape
    orientation = (turn * Rotation.from_quat(tosses.orientation_xyzw.reshape(-1, 4))).as_quat()
    return replace(
        tosses,
        position=turn.apply(tosses.position.reshape(-1, 3)).reshape(shape) + np.array([*shift_m, 0.0]),
        orientation_xyzw=orientation.reshape(*shape[:2], 4),
        linear_velocity=turn.apply(tosses.linear_velocity.reshape(-1, 3)).reshape(shape),
    )


def test_yaw_and_shift_leave_the_errors_of_a_predicted_ensemble() -> None:
    identifier = Identifier(particles=16)
    cloud: ParameterCloud = identifier.begin(np.random.default_rng(0))
    tosses = recorded(identifier)
    found = []
    for each in (tosses, moved(tosses, 0.8, (0.0, 0.0)), moved(tosses, -2.5, (0.3, -0.2))):
        start = protocol_start(each, torch.float64)
        prediction = predict(identifier, cloud, start, FRAMES, 1 / RATE_HZ, 8, np.random.default_rng(1))
        found.append(score(each, prediction.position, prediction.orientation_xyzw))
    for other in found[1:]:
        np.testing.assert_allclose(other.position_m, found[0].position_m, rtol=1e-3)
        np.testing.assert_allclose(other.rotation_rad, found[0].rotation_rad, rtol=1e-3)
