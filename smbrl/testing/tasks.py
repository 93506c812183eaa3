"""The check of the task contract."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from gymnasium.utils.env_checker import check_env

from smbrl.interfaces import Task
from smbrl.testing.findings import Report

STEPS = 50


def check_task(build: Callable[..., Task], report: Report) -> None:
    """Spaces, Gymnasium's own check, determinism, time limit."""
    task = build()
    spec = task.spec
    for name, values in (("shift", spec.shift), ("scale", spec.scale)):
        report.expect(
            len(values) == spec.observation, f"{name} of length {spec.observation}", len(values), "one per element"
        )
    report.expect(
        all(0 <= i < spec.observation for i in spec.position), "positions inside the observation", spec.position, "mend"
    )
    env = task.make()
    with report.guarded("gymnasium's check_env"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env.unwrapped, skip_render_check=True)
    with report.guarded("an episode"):
        runs = []
        for _ in range(2):
            rng = np.random.default_rng(0)
            obs, _ = env.reset(seed=7)
            trajectory = [obs]
            for _ in range(STEPS):
                action = rng.uniform(-1, 1, spec.action).astype(np.float32)
                obs, reward, terminated, truncated, _ = env.step(action)
                trajectory.append(obs)
                report.expect(np.isfinite(float(reward)), "finite rewards", reward, "check the reward")
                if terminated or truncated:
                    break
            runs.append(np.array(trajectory))
        report.expect(
            runs[0].shape[1:] == (spec.observation,) and runs[0].dtype == np.float32,
            f"float32 observations of shape ({spec.observation},)",
            f"{runs[0].dtype} {runs[0].shape[1:]}",
            "make spec and environment agree",
        )
        report.expect(
            runs[0].shape == runs[1].shape and bool(np.array_equal(runs[0], runs[1])),
            "the same trajectory for the same seed and actions",
            "another one",
            "take all randomness from the reset seed: runs are resumed by replaying actions",
        )
    env.close()
