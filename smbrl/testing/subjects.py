"""The networks of a part, each with something to compute: what the checks of all kinds of network share.

Weights follow from torch's seed, two objects share nothing, every device and precision will do, and compiled
equals eager.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from smbrl.interfaces import Compute, TaskSpec
from smbrl.nn.precision import autocast
from smbrl.testing.devices import without_autocast
from smbrl.testing.findings import Report

LATENT, DECISION, ROWS = 16, 3, 6


@dataclass(frozen=True)
class Subject:
    """A network of a part.

    Attributes:
        name: for messages.
        module: the network.
        run: computes something of it: ``(module, inputs) -> (rows, ...)``.
        inputs: for ``run``, on the CPU.
    """

    name: str
    module: nn.Module
    run: Callable[[Any, list[Tensor]], Tensor]
    inputs: list[Tensor]

    def output(self, device: str = "cpu") -> Tensor:
        """What it computes, without gradient."""
        with torch.no_grad():
            return self.run(self.module, [x.to(device) for x in self.inputs])


def subjects(kind: str, build: Callable[..., Any], spec: TaskSpec) -> list[Subject]:
    """The networks of a part of this kind, freshly built; none where it has none."""
    draw = torch.Generator("cpu").manual_seed(11)

    def some(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=draw, device="cpu") * 2 - 1

    if kind == "encoder":
        return [Subject("the encoder", build(spec, LATENT), lambda m, x: m(x[0]), [some(ROWS, spec.observation)])]
    if kind == "dynamics":

        def two_steps(module: Any, x: list[Tensor]) -> Tensor:
            state = module.initial(x[0])
            for _ in range(2):
                state = module.step(state, x[1])
            return module.latent(state)  # type: ignore[no-any-return]

        inputs = [some(ROWS, LATENT), some(ROWS, DECISION)]
        return [Subject("the dynamics", build(LATENT, DECISION), two_steps, inputs)]
    if kind == "skill_model":
        model = build(spec)
        obs, actions = some(ROWS, model.horizon, spec.observation), some(ROWS, model.horizon, spec.action)
        skill = some(ROWS, model.skill)
        return [
            Subject("the posterior", model, lambda m, x: m.posterior(x[0], x[1]).mean, [obs, actions]),
            Subject("the low-level policy", model, lambda m, x: m.act(x[0], x[1]), [obs[:, 0], skill]),
        ]
    if kind == "heads":
        recipe = build(LATENT, DECISION, 32, 2, 2)
        latent, decision = some(ROWS, LATENT), some(ROWS, DECISION)
        return [
            Subject("the policy", recipe.policy(), lambda m, x: m(x[0]).mean, [latent]),
            Subject("the scalars", recipe.scalars(), lambda m, x: m(x[0], x[1]).movedim(0, -1), [latent, decision]),
        ]
    return []


def check_networks(kind: str, build: Callable[..., Any], spec: TaskSpec, report: Report, *, compiled: bool) -> None:
    """Seeds, hidden state, devices, precision, compilation."""
    for subject, same in _pairs(kind, build, spec):
        _check_seed(subject, same, report)
        _check_hidden_state(subject, same, report)
        with report.guarded(f"{subject.name} in bfloat16"):
            with autocast(Compute(torch.device("cpu"), torch.bfloat16)):
                output = subject.output()
            finite = bool(torch.isfinite(output.float()).all())
            report.expect(finite, f"finite numbers from {subject.name} in bfloat16", "nan or inf", "use float32 there")
        if compiled:
            _check_compiled(subject, report)
    with report.guarded("building and computing on another device than the CPU"):
        with torch.device("meta"):
            elsewhere = subjects(kind, build, spec)
        for subject in elsewhere:
            with without_autocast():
                output = subject.output("meta")
            report.expect(
                output.device.type == "meta",
                f"{subject.name} to compute where its inputs are",
                f"an output on {output.device}",
                "make tensors with device=..., from what you were given",
            )


def _pairs(kind: str, build: Callable[..., Any], spec: TaskSpec) -> Iterator[tuple[Subject, Subject]]:
    """Each network twice, built from the same seed."""
    made = []
    for _ in range(2):
        torch.manual_seed(5)
        made.append(subjects(kind, build, spec))
    yield from zip(*made, strict=True)


def _check_seed(subject: Subject, same: Subject, report: Report) -> None:
    ours, theirs = subject.module.state_dict(), same.module.state_dict()
    differ = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    report.expect(
        not differ,
        f"the same weights in {subject.name} for the same seed",
        f"others in {', '.join(differ[:3])}",
        "draw initial weights with torch, from its default generator, and from nothing else",
    )


def _check_hidden_state(subject: Subject, same: Subject, report: Report) -> None:
    """Another object that is used and changed changes nothing here."""
    with report.guarded(f"{subject.name} beside another of its kind"):
        before = subject.output()
        other = copy.deepcopy(same.module)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1.0)
            same.run(other, [x + 1.0 for x in same.inputs])
        report.equal(
            f"{subject.name} to be left alone by another of its kind",
            before,
            subject.output(),
            "keep state in the object, not in its class or module",
            tolerance=0.0,
        )


def _check_compiled(subject: Subject, report: Report) -> None:
    with report.guarded(f"{subject.name} compiled"):
        eager = subject.output()
        try:
            with torch.no_grad():
                fast = torch.compile(subject.run, dynamic=False)(subject.module, subject.inputs)
        finally:
            torch._dynamo.reset()
        report.equal(f"{subject.name} compiled as eager", fast, eager, "no Python side effects in forward", 1e-4)
