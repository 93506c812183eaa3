"""What a gin file can say about a run: plain frozen settings, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

import gin

from smbrl.errors import SmbrlError


def _need(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise SmbrlError(f"{name} is {value}; it must be {expected}")


@gin.configurable(module="smbrl")
@dataclass(frozen=True)
class Pretraining:
    """Offline learning from the task's data.

    Attributes:
        updates: gradient updates.
        batch: windows per update.
        validation_share: share of the episodes that is only ever looked at.
        validate_every: updates between two looks at it; 0 never looks.
        validation_batch: windows per look.
        log_every: updates between two log lines.
        seed: of initialisation, split and batches. Its own, so that runs with several seeds share one pre-trained
            model; None takes the run's seed, and every run pre-trains its own.
        data_seed: of the generated offline data.
        reuse: take a stored pre-trained model that was made from the same inputs, and store the one made here.
    """

    updates: int = 10_000
    batch: int = 128
    validation_share: float = 0.01
    validate_every: int = 500
    validation_batch: int = 256
    log_every: int = 100
    seed: int | None = 0
    data_seed: int = 0
    reuse: bool = True

    def __post_init__(self) -> None:
        _need(self.updates >= 0, "Pretraining.updates", self.updates, "0 or more")
        _need(self.batch >= 1, "Pretraining.batch", self.batch, "at least 1")
        _need(0.0 <= self.validation_share < 1.0, "Pretraining.validation_share", self.validation_share, "in [0, 1)")
        _need(self.validate_every >= 0, "Pretraining.validate_every", self.validate_every, "0 (never) or more")
        _need(self.validation_batch >= 1, "Pretraining.validation_batch", self.validation_batch, "at least 1")
        _need(self.log_every >= 1, "Pretraining.log_every", self.log_every, "at least 1")


@gin.configurable(module="smbrl")
@dataclass(frozen=True)
class Online:
    """Learning while acting. Every count of steps is in env steps, summed over the parallel environments.

    Attributes:
        steps: env steps of the whole phase.
        envs: environments that act in lock-step.
        warmup_steps: at the start the agent acts with its prior (a flat agent: at random) and does not learn, for so
            many env steps at least ...
        warmup_successes: ... and until so many episodes were successful: a critic learns nothing of use before.
        warmup_patience: env steps after which one success is enough; None waits for all of them.
        first_updates: updates made at once after the warm-up.
        updates: gradient updates made each time that ``update_every`` more env steps have been taken.
        update_every: env steps; see ``updates``.
        batch: replay windows per update.
        capacity: decisions that the replay holds; the oldest episodes leave.
        rewarded_share: share of a batch's windows from episodes with a positive return; 0 is uniform replay.
        timeouts_terminate: remember an episode whose time ran out as one that ended, which no later value follows (the
            released SkiMo does; it teaches the critic that waiting ends the world).
        log_every: env steps between two log lines.
        until_success: end the phase as soon as a periodic evaluation reaches this success rate; None never does.
    """

    steps: int = 1_000_000
    envs: int = 1
    warmup_steps: int = 50_000
    warmup_successes: int = 0
    warmup_patience: int | None = None
    first_updates: int = 0
    updates: int = 10
    update_every: int = 500
    batch: int = 128
    capacity: int = 1_000_000
    rewarded_share: float = 0.0
    timeouts_terminate: bool = False
    log_every: int = 5_000
    until_success: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "warmup_steps", "warmup_successes", "first_updates", "updates"):
            _need(getattr(self, name) >= 0, f"Online.{name}", getattr(self, name), "0 or more")
        for name in ("envs", "update_every", "batch", "capacity", "log_every"):
            _need(getattr(self, name) >= 1, f"Online.{name}", getattr(self, name), "at least 1")
        _need(0.0 <= self.rewarded_share <= 1.0, "Online.rewarded_share", self.rewarded_share, "in [0, 1]")
        if self.warmup_patience is not None:
            _need(
                self.warmup_patience >= self.warmup_steps,
                "Online.warmup_patience",
                self.warmup_patience,
                f"at least Online.warmup_steps ({self.warmup_steps}), or None",
            )
        if self.until_success is not None:
            _need(0.0 < self.until_success <= 1.0, "Online.until_success", self.until_success, "in (0, 1], or None")


@gin.configurable(module="smbrl")
@dataclass(frozen=True)
class Evaluation:
    """Episodes with the deterministic policy. They have their own randomness and change no number of the training.

    Attributes:
        episodes: at the end of the run.
        every: env steps between two evaluations while learning online; 0 evaluates only at the end.
        every_episodes: episodes of each of those.
        envs: environments that act in lock-step.
    """

    episodes: int = 100
    every: int = 25_000
    every_episodes: int = 10
    envs: int = 10

    def __post_init__(self) -> None:
        _need(self.episodes >= 0, "Evaluation.episodes", self.episodes, "0 or more")
        _need(self.every >= 0, "Evaluation.every", self.every, "0 (never) or more")
        _need(self.every_episodes >= 1, "Evaluation.every_episodes", self.every_episodes, "at least 1")
        _need(self.envs >= 1, "Evaluation.envs", self.envs, "at least 1")


@gin.configurable(module="smbrl")
@dataclass(frozen=True)
class Checkpoints:
    """When a checkpoint is written. It never changes a number of the run.

    Attributes:
        every_seconds: wall-clock time between two.
        every_steps: also after so many steps of the phase (pre-training: updates; online: env steps); 0 does not.
        keep: how many of the latest stay.
    """

    every_seconds: float = 60.0
    every_steps: int = 0
    keep: int = 3

    def __post_init__(self) -> None:
        _need(self.every_seconds > 0, "Checkpoints.every_seconds", self.every_seconds, "more than 0")
        _need(self.every_steps >= 0, "Checkpoints.every_steps", self.every_steps, "0 (by time only) or more")
        _need(self.keep >= 1, "Checkpoints.keep", self.keep, "at least 1")
