"""How fast a configuration is on this machine, and how long its run will take.

Nothing is trained and no data is needed: batches are random, of the shapes the configuration asks for.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from smbrl.interfaces import Agent, SkillWindows, Windows
from smbrl.nn import networks
from smbrl.training.experiment import Experiment

RELEASE = {
    "pre-training update": 1647.0 / 512,
    "online update": 412.0 / 128,
    "decision": 289.0,
    "low-level action": 0.54,
}
"""Milliseconds of the released SkiMo on the Maze: per window of an update, per decision (CEM over ten skills), per env
step. One thread of a shared AMD EPYC (Zen 4), float32, PyTorch 2.13, medians."""
RELEASE_SHAPE = (4, 2, 10, 10, 10)
"""Observation, action, decision, horizon and window of that configuration."""
LATE = 10**9
"""An env step at which every schedule has ended."""


@dataclass(frozen=True)
class Row:
    """One thing that was timed.

    Attributes:
        name: what.
        size: how much of it one call does, in words.
        units: how many of the things that the release's figure counts (windows, decisions, env steps).
        seconds: median time of a call.
        best: shortest.
        flops: floating point operations of matrix products in a call, where counted.
        ratio: how many times faster than the release, for configurations of the same shape.
    """

    name: str
    size: str
    units: int
    seconds: float
    best: float
    flops: int | None = None
    ratio: float | None = None


@dataclass
class Benchmark:
    """What was measured.

    Attributes:
        rows: timings.
        peak_flops: matrix products per second that this machine reaches in the run's precision.
        memory: peak of the process (CUDA: of the device) in MiB.
        estimate: seconds by phase of the run.
        notes: what a reader should know.
    """

    rows: list[Row] = field(default_factory=list)
    peak_flops: float = 0.0
    memory: float = 0.0
    estimate: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def seconds(self, name: str) -> float:
        """Per unit, of the first row of that name; 0 where it was not measured."""
        return next((row.seconds / row.units for row in self.rows if row.name == name), 0.0)


def run(experiment: Experiment, seconds: float = 2.0, progress: Callable[[str], None] | None = None) -> Benchmark:
    """Measure.

    Args:
        experiment: built from a configuration.
        seconds: spent on each measurement, about.
        progress: told what is being measured.
    """
    tell = progress or (lambda what: None)
    agent, found = experiment.agent, Benchmark()
    device = agent.compute.device
    generator = torch.Generator(device).manual_seed(0)
    spec = experiment.task.spec
    comparable = (spec.observation, spec.action, agent.decision, agent.horizon, agent.window) == RELEASE_SHAPE

    waited: list[float] = []

    def add(name: str, size: str, units: int, call: Callable[[], object], count: bool = False) -> None:
        tell(f"{name}, {size}")
        times, lost = _time(call, seconds, device)
        waited.append(lost)
        flops = _flops(call) if count else None
        middle = statistics.median(times)
        ratio = RELEASE[name] * units / (1e3 * middle) if comparable and name in RELEASE else None
        found.rows.append(Row(name, size, units, middle, min(times), flops, ratio))

    tell("matrix products")
    found.peak_flops = _peak(agent)
    if agent.pretrains and experiment.pretraining.updates:
        batch = experiment.pretraining.batch
        offline = _skill_windows(agent, experiment, batch)
        add("pre-training update", f"{batch} windows", batch, lambda: agent.pretrain(offline, generator), True)
    agent.start_online()
    batch = experiment.online.batch
    online = _windows(agent, experiment, batch)
    add("online update", f"{batch} windows", batch, lambda: agent.update(online, generator), True)
    for envs in sorted({1, experiment.online.envs}):
        obs, memory = _observations(experiment, envs).to(device), agent.initial_memory(envs)
        act = _acting(agent, obs, memory, generator)
        add("decision", _environments(envs), envs, act, envs == 1)
        rows, decision = obs.cpu().numpy(), act()[0].cpu().numpy()
        low = lambda rows=rows, decision=decision: agent.low_level(rows, decision)  # noqa: E731
        if agent.horizon > 1:
            add("low-level action", _environments(envs), envs, low)
    _time_environment(experiment, add)
    found.memory = _memory(device)
    found.estimate = estimate(experiment, found)
    if _alone(device):
        found.notes.append("one thread")
        if statistics.median(waited) > 1.2:
            slower = f"{statistics.median(waited):.1f}"
            found.notes.append(
                f"the machine is busy: these are times of computing, the clock ran {slower} times as long"
            )
    if not comparable:
        found.notes.append("no ratios: the released figures are of the Maze's shapes")
    return found


def estimate(experiment: Experiment, found: Benchmark) -> dict[str, float]:
    """Seconds of each phase: data and periodic evaluations are not in it, the final evaluation is."""
    online, horizon = experiment.online, experiment.agent.horizon
    step = found.seconds("environment step") + _last(found, "low-level action") + _last(found, "decision") / horizon
    learning = max(0, online.steps - online.warmup_steps)
    updates = online.first_updates + learning // online.update_every * online.updates
    phases = {}
    if experiment.agent.pretrains:
        batch = experiment.pretraining.batch
        phases["pre-training"] = experiment.pretraining.updates * batch * found.seconds("pre-training update")
    phases["acting"] = online.steps * step
    phases["online updates"] = updates * online.batch * found.seconds("online update")
    limit = experiment.task.spec.time_limit
    # at most: an episode that reaches its goal is shorter
    phases["final evaluation, at most"] = experiment.evaluation.episodes * limit * step
    return phases


def _last(found: Benchmark, name: str) -> float:
    """Per unit with as many environments as the run has."""
    rows = [row for row in found.rows if row.name == name]
    return rows[-1].seconds / rows[-1].units if rows else 0.0


def _environments(envs: int) -> str:
    return "1 environment" if envs == 1 else f"{envs} environments"


def _acting(
    agent: Agent, obs: torch.Tensor, memory: torch.Tensor, generator: torch.Generator
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    return lambda: agent.act(obs, memory, mode="explore", step=LATE, generator=generator)


def _alone(device: torch.device) -> bool:
    """Whether the process computes in one thread, so that its processor time is what a call takes undisturbed."""
    return device.type == "cpu" and torch.get_num_threads() == 1


def _time(call: Callable[[], object], seconds: float, device: torch.device) -> tuple[list[float], float]:
    """Times of calls, after three that warm up, for about ``seconds`` and at least five times; and how many times
    as long the clock on the wall ran, where other processes had the processor in between."""
    for _ in range(3):
        call()
    clock = time.process_time if _alone(device) else time.perf_counter
    times: list[float] = []
    _wait(device)
    began = time.perf_counter()
    while len(times) < 5 or (sum(times) < seconds and len(times) < 10_000):
        start = clock()
        call()
        _wait(device)
        times.append(clock() - start)
    return times, (time.perf_counter() - began) / max(sum(times), 1e-9)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _flops(call: Callable[[], object]) -> int:
    with networks.disabled(), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def _peak(agent: Agent) -> float:
    """The best of products as large as a cache holds, at a width these networks have."""
    device, dtype = agent.compute.device, agent.compute.dtype
    rows = 5_120 if device.type == "cpu" else 65_536
    x = torch.randn(rows, 128, device=device).to(dtype)
    weight = torch.randn(128, 128, device=device).to(dtype)
    return 2.0 * rows * 128 * 128 / min(_time(lambda: x @ weight, 0.3, device)[0])


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _observations(experiment: Experiment, *lead: int) -> torch.Tensor:
    """Random observations of about the size that the task's normalisation expects."""
    spec = experiment.task.spec
    normal = torch.rand(*lead, spec.observation, generator=torch.Generator().manual_seed(0)) - 0.5
    return (normal - torch.tensor(spec.shift)) / torch.tensor(spec.scale)


def _skill_windows(agent: Agent, experiment: Experiment, batch: int) -> SkillWindows:
    device, steps = agent.compute.device, agent.offline_window * agent.horizon
    actions = torch.rand(batch, steps, experiment.task.spec.action) * 2 - 1
    obs = _observations(experiment, batch, steps + 1)
    return SkillWindows(obs.to(device), actions.to(device), torch.ones(batch, agent.offline_window, device=device))


def _windows(agent: Agent, experiment: Experiment, batch: int) -> Windows:
    shape, device = (batch, agent.window), agent.compute.device
    return Windows(
        obs=_observations(experiment, batch, agent.window + 1).to(device),
        decision=(torch.rand(*shape, agent.decision) * 1.9 - 0.95).to(device),
        reward=torch.rand(shape, device=device),
        terminated=torch.zeros(shape, device=device),
        mask=torch.ones(shape, device=device),
        lower_bound=torch.full(shape, -torch.inf, device=device),
    )


def _time_environment(experiment: Experiment, add: Callable[..., None]) -> None:
    env = experiment.task.make()
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (1000, experiment.task.spec.action)).astype(np.float32)
    taken = 0

    def step() -> None:
        nonlocal taken
        *_, terminated, truncated, _ = env.step(actions[taken % len(actions)])
        taken += 1
        if terminated or truncated:
            env.reset(seed=taken)

    add("environment step", "1 environment", 1, step)
    env.close()
