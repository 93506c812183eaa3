"""Figures of the tabletop that take minutes: ``python tests/tasks/tabletop_figures.py [SEEDS] [STEPS]``.

Success and length of each scripted skill over SEEDS (200) starts, each with other blocks, styles and noise, none
of them seen while the skills were written; and what STEPS (100,000) steps of random play do to the physics: new
actions every step, and hard ones held for half a second. Rates are per processor second.
"""

import sys
import time

import numpy as np
from smbrl_plugins.tasks.tabletop_env import ORDER, TabletopEnv
from smbrl_plugins.tasks.tabletop_play import SKILLS, Player, start
from smbrl_plugins.tasks.tabletop_scene import MOVABLES, RANGES

UNSEEN = 1_000_000
BEFORE = {
    "open drawer": {"drawer": 0.0},
    "close drawer": {"drawer": 0.17},
    "slider left": {"slider": 0.0},
    "slider right": {"slider": 0.21},
    "bulb on": {"switch": 0.0},
    "bulb off": {"switch": 0.08},
}


def skills(seeds: int) -> None:
    """Success of each skill by itself."""
    env = TabletopEnv(ORDER, blocks=True, time_limit=2**31)
    for skill in SKILLS:
        lengths, successes, tried, began, seed = [], 0, 0, time.process_time(), UNSEEN
        while tried < seeds:
            seed += 1
            rng = np.random.default_rng(seed)
            if skill in BEFORE:
                obs, _ = env.reset(seed=seed, options=BEFORE[skill])
            else:
                obs = start(env, rng)
            player = Player(env, rng, obs)
            if skill not in player.sensible():  # no block within reach
                continue
            tried += 1
            successes += player.play(skill)
            lengths.append(len(player.done))
        rate = sum(lengths) / (time.process_time() - began)
        print(
            f"{skill:13s} {successes}/{tried}, steps {np.mean(lengths):.0f} (most {max(lengths)}), {rate:.0f} steps/s",
            flush=True,
        )


def random_play(steps: int, held: int) -> None:
    """Bounds of what happens in random play; a new start every 3,000 steps."""
    env = TabletopEnv(blocks=True, time_limit=2**31)
    rng = np.random.default_rng(held)
    ranges = np.array([RANGES[name] for name in MOVABLES])
    places, data = env.places, env.data
    block, arm, energy, depth, beyond, lost = 0.0, 0.0, 0.0, 0.0, 0.0, 0
    began = time.process_time()
    for step in range(steps):
        if step % 3000 == 0:
            env.reset(seed=step)
        if step % held == 0:
            action = rng.uniform(-1, 1, 7)
            if held > 1:
                action = np.sign(action) * (0.5 + 0.5 * np.abs(action))
        obs, *_ = env.step(action.astype(np.float32))
        speeds = [np.linalg.norm(data.qvel[first : first + 3]) for first in places.block_speeds]
        block = max(block, *speeds)
        arm = max(arm, float(np.abs(data.qvel[places.arm_speed]).max()))
        energy = max(energy, *(0.5 * 0.06 * speed**2 for speed in speeds))
        if data.ncon:
            depth = max(depth, -float(data.contact.dist.min()))
        beyond = max(beyond, float((-obs[15:19]).max()), float((obs[15:19] - ranges).max()))
        for number in range(3):
            x, y, z = obs[21 + 6 * number : 24 + 6 * number].tolist()
            lost += abs(x) < 0.35 and -0.15 < y < 0.2 and 0.436 < z < 0.475
    rate = steps / (time.process_time() - began)
    print(
        f"{steps} steps of actions held for {held}: blocks {block:.2f} m/s ({energy:.3f} J), arm {arm:.1f} rad/s, "
        f"contacts {1000 * depth:.1f} mm deep, joints {1000 * beyond:.1f} mm beyond their range, "
        f"{lost} steps with a block in the desk's top, warnings {sum(int(w.number) for w in data.warning)}, "
        f"{rate:.0f} steps/s",
        flush=True,
    )


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]] + [200, 100_000][len(sys.argv) - 1 :]
    skills(arguments[0])
    for held in (1, 15):
        random_play(arguments[1], held)
