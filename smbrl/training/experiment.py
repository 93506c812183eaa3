"""Experiment: the root of a configuration."""

from __future__ import annotations

import gin

from smbrl.interfaces import Agent, Task
from smbrl.tracking.mlflow import Tracking
from smbrl.training.device import Machine
from smbrl.training.seeding import seed_globals, untouched_globals
from smbrl.training.settings import Checkpoints, Evaluation, Online, Pretraining


@gin.configurable(module="smbrl")
class Experiment:
    """A task, an agent that learns it, and how.

    Making one makes the task and the agent, so that whatever is wrong with a configuration shows at once.

    Args:
        task: reference to a task, ``@Maze``.
        agent: reference to an agent, ``@LatentMPC``.
        seed: of the run; everything random in it follows from this one number (and ``Pretraining.seed``).
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        precision: of matrix products in networks: auto (bfloat16 where the device multiplies it natively),
            float32 or bfloat16.
        compile: whether networks are compiled: on or off; auto is off.
        threads: of torch on the CPU; 0 takes every core (or OMP_NUM_THREADS). One is the default because the small
            networks of these methods gain nothing from more, and runs side by side gain everything.

    Attributes:
        task: the task.
        agent: initialised with the run's seed, on the run's device; not trained.
        machine: device, precision, compilation, threads.
        pretraining, online, evaluation, checkpoints, tracking: the settings.
    """

    def __init__(
        self,
        task: type[Task],
        agent: type[Agent],
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        compile: str = "auto",
        threads: int = 1,
    ) -> None:
        self.machine = Machine.choose(device, precision, compile, threads)
        self.machine.apply()
        self.seed = seed
        self.pretraining = Pretraining()
        self.online = Online()
        self.evaluation = Evaluation()
        self.checkpoints = Checkpoints()
        self.tracking = Tracking()
        self.task: Task = task()
        self._agent_class = agent
        self.agent: Agent = self.new_agent(seed)

    @property
    def pretraining_seed(self) -> int:
        """The seed of pre-training."""
        return self.seed if self.pretraining.seed is None else self.pretraining.seed

    def new_agent(self, seed: int) -> Agent:
        """An untrained agent; the same for the same seed, whatever was drawn before."""
        with untouched_globals():
            seed_globals(seed, "initialisation")
            agent = self._agent_class(self.task.spec)
            agent.prepare(self.machine.compute)
        return agent

    def describe(self) -> dict[str, str]:
        """Names of task and agent, for lists of runs."""
        return {"task": self.task.title, "agent": type(self.agent).__name__}
