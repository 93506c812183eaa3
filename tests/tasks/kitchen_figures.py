"""Figures of the kitchen's scripted skills that take minutes: ``python tests/tasks/kitchen_figures.py [SEEDS]``.

Success and length of each skill by itself, then of chains of four, over SEEDS (200) starts each, none of them seen
while the skills were written; at last how smooth the actions are.
"""

import sys

import numpy as np
from smbrl_plugins.tasks.kitchen_data import Demonstrations, Driver, draw_chain, draw_style
from smbrl_plugins.tasks.kitchen_skills import SKILLS

UNSEEN = 1_000_000


def skills(driver: Driver, seeds: int) -> None:
    """Each by itself, from the episode's start."""
    for name in SKILLS:
        lengths, done = [], 0
        for seed in range(UNSEEN, UNSEEN + seeds):
            rng = np.random.default_rng(seed)
            found = driver.drive((name,), draw_style(rng, driver.what), rng)
            done += found.completed[0]
            lengths.append(len(found.episode.actions))
        print(f"{name:14s} {done}/{seeds}, steps {np.mean(lengths):.0f} (most {max(lengths)})", flush=True)


def chains(driver: Driver, seeds: int) -> None:
    """Four in a row, as the data have them; a chain goes on after a skill that failed."""
    done = good = 0
    lengths, actions, changes = [], [], []
    for seed in range(UNSEEN, UNSEEN + seeds):
        rng = np.random.default_rng(seed)
        chain = draw_chain(rng, driver.what.chain)
        found = driver.drive(chain, draw_style(rng, driver.what), rng)
        done += sum(found.completed)
        good += all(found.completed)
        lengths.append(len(found.episode.actions))
        actions.append(found.episode.actions[:, :7])
        changes.append(np.abs(np.diff(actions[-1], axis=0)).mean())
    arm = np.concatenate(actions)
    print(f"in chains: {done}/{seeds * driver.what.chain} sub-tasks, {good}/{seeds} chains")
    print(f"steps {np.mean(lengths):.0f} ({min(lengths)} to {max(lengths)})")
    print(
        f"arm: {(np.abs(arm) >= 1.0).mean():.1%} of elements at their limit, variance {arm.var():.2f}, "
        f"mean change {np.mean(changes):.3f}"
    )


if __name__ == "__main__":
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    driver = Driver(Demonstrations())
    skills(driver, seeds)
    chains(driver, seeds)
