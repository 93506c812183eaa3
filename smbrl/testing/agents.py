"""The check of the agent contract."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch

from smbrl.interfaces import Agent, Compute, SkillWindows, TaskSpec, Windows
from smbrl.testing.devices import check_device
from smbrl.testing.findings import Report

BATCH = 8


def windows_for(agent: Agent, spec: TaskSpec, generator: torch.Generator) -> Windows:
    """Random replayed windows of the shape that the agent asks for; some end, some are cut short."""
    n = agent.window
    mask = torch.ones(BATCH, n)
    terminated = torch.zeros(BATCH, n)
    if n > 1:
        mask[0, n // 2 :] = 0
        terminated[0, n // 2 - 1] = 1
    return Windows(
        obs=torch.randn(BATCH, n + 1, spec.observation, generator=generator),
        decision=torch.rand(BATCH, n, agent.decision, generator=generator) * 1.9 - 0.95,
        reward=torch.rand(BATCH, n, generator=generator),
        terminated=terminated,
        mask=mask,
        lower_bound=torch.full((BATCH, n), -torch.inf),
    )


def skill_windows_for(agent: Agent, spec: TaskSpec, generator: torch.Generator) -> SkillWindows:
    """Random offline windows."""
    n, h = agent.offline_window, agent.horizon
    mask = torch.ones(BATCH, n)
    mask[0, 1:] = 0
    return SkillWindows(
        obs=torch.randn(BATCH, n * h + 1, spec.observation, generator=generator),
        actions=torch.rand(BATCH, n * h, spec.action, generator=generator) * 2 - 1,
        mask=mask,
    )


def check_agent(build: Callable[..., Agent], spec: TaskSpec, report: Report, *, compiled: bool = False) -> None:
    """Acting, learning, checkpoints."""
    agent = build(spec)
    generator = torch.Generator().manual_seed(1)
    if agent.pretrains:
        with report.guarded("pretrain"):
            metrics = agent.pretrain(skill_windows_for(agent, spec, generator), generator)
            _check_metrics("pretrain", metrics, report)
            state = agent.pretrained_state()
            report.expect(bool(state), "tensors from pretrained_state", "none", "return what pre-training produced")
            agent.load_pretrained(state)
    agent.start_online()
    _check_acting(agent, spec, report)
    with report.guarded("acting without what is learning_only"):
        _check_left_out(build, spec, report)
    with report.guarded("update"):
        before = {name: p.detach().clone() for name, p in agent.named_parameters()}
        windows = windows_for(agent, spec, generator)
        with report.no_global_randomness("update"):
            metrics = agent.update(windows, generator)
        _check_metrics("update", metrics, report)
        moved = any(not torch.equal(before[name], p) for name, p in agent.named_parameters())
        report.expect(moved, "update to change parameters", "all are as before", "step the optimisers")
    with report.guarded("state_dict and training_state"):
        _check_resumes(agent, build, spec, report)
    windows = windows_for(agent, spec, generator)
    check_device(build, spec, skill_windows_for(agent, spec, generator), windows, report)
    cpu = torch.device("cpu")
    with report.guarded("learning and acting in bfloat16"):
        _learned(build, spec, Compute(cpu, torch.bfloat16), report)
    if compiled:
        with report.guarded("learning and acting compiled"):
            eager, fast = (_learned(build, spec, Compute(cpu, torch.float32, on), report) for on in (False, True))
            report.equal("the same decision compiled as eager", fast, eager, "see smbrl.nn.precision", 1e-3)
            torch._dynamo.reset()


def _learned(build: Callable[..., Agent], spec: TaskSpec, compute: Compute, report: Report) -> torch.Tensor:
    """A decision of an agent that learned once, computing like this."""
    torch.manual_seed(3)
    agent = build(spec)
    agent.prepare(compute)
    generator = torch.Generator().manual_seed(1)
    if agent.pretrains:
        _check_metrics("pretrain", agent.pretrain(skill_windows_for(agent, spec, generator), generator), report)
    agent.start_online()
    _check_metrics("update", agent.update(windows_for(agent, spec, generator), generator), report)
    obs = torch.randn(2, spec.observation, generator=generator)
    memory = agent.initial_memory(2)
    decision, _ = agent.act(obs, memory, mode="evaluate", step=10**6, generator=torch.Generator().manual_seed(2))
    report.shape("decisions", decision, (2, agent.decision))
    return decision


def _check_metrics(what: str, metrics: dict[str, torch.Tensor], report: Report) -> None:
    report.expect(bool(metrics), f"metrics from {what}", "none", "return what a researcher would plot")
    for name, value in metrics.items():
        right = isinstance(value, torch.Tensor) and value.numel() == 1 and not value.requires_grad
        report.expect(right, f"metric {name} as a detached scalar tensor", type(value).__name__, "use .detach()")
        if right:
            report.expect(bool(torch.isfinite(value)), f"a finite metric {name}", float(value), "check the loss")


def _check_acting(agent: Agent, spec: TaskSpec, report: Report) -> None:
    for envs in (1, 3):
        for mode in ("explore", "evaluate", "prior"):
            with report.guarded(f"act for {envs} environments in mode {mode}"):
                obs = torch.randn(envs, spec.observation)
                outputs = []
                with report.no_global_randomness("act"):
                    for _ in range(2):
                        outputs.append(
                            agent.act(
                                obs,
                                agent.initial_memory(envs),
                                mode=mode,
                                step=1000,
                                generator=torch.Generator().manual_seed(2),
                            )
                        )
                decision, memory = outputs[0]
                report.shape("decisions", decision, (envs, agent.decision))
                report.expect(bool((decision.abs() <= 1).all()), "decisions in [-1, 1]", "larger ones", "clip them")
                report.expect(not decision.requires_grad, "decisions without gradient", "with", "use torch.no_grad")
                report.equal("the same decision for the same seed", decision, outputs[1][0], "use the generator only")
                first = agent.initial_memory(envs)
                report.expect(
                    memory.shape == first.shape, f"memory of shape {tuple(first.shape)}", tuple(memory.shape), "keep it"
                )
                action = agent.low_level(obs.numpy(), decision.numpy())
                report.expect(
                    action.shape == (envs, spec.action) and action.dtype == np.float32,
                    f"float32 env actions of shape {(envs, spec.action)}",
                    f"{action.dtype} {action.shape}",
                    "return one row per environment",
                )


def _check_left_out(build: Callable[..., Agent], spec: TaskSpec, report: Report) -> None:
    """Exports leave out what only learning reads; acting must not miss it."""
    agent = build(spec)
    agent.start_online()
    obs, memory = torch.randn(2, spec.observation), agent.initial_memory(2)

    def decide() -> torch.Tensor:
        seed = torch.Generator().manual_seed(2)
        return agent.act(obs, memory, mode="evaluate", step=10**6, generator=seed)[0]

    whole = decide()
    for name, value in agent.state_dict().items():
        if name.startswith(agent.learning_only) and value.is_floating_point():
            value.fill_(torch.nan)
    what = "the same decision without the tensors that learning_only names"
    report.equal(what, decide(), whole, "name only what acting does not read", tolerance=0.0)


def _check_resumes(agent: Agent, build: Callable[..., Agent], spec: TaskSpec, report: Report) -> None:
    """A new agent with the old one's state makes the same next update."""
    weights = {name: value.clone() for name, value in agent.state_dict().items()}
    training = copy.deepcopy(agent.training_state())
    other = build(spec)
    other.start_online()
    other.load_state_dict(weights)
    other.load_training_state(training)
    windows = windows_for(agent, spec, torch.Generator().manual_seed(4))
    for learner in (agent, other):
        learner.update(windows, torch.Generator().manual_seed(5))
    for (name, mine), theirs in zip(agent.state_dict().items(), other.state_dict().values(), strict=True):
        if mine.is_floating_point():
            report.equal(
                f"the same {name} after resuming and one update",
                mine,
                theirs,
                "put optimisers and counters into training_state",
                tolerance=0.0,
            )
