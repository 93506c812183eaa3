"""Whether an agent computes on the device it was moved to, checked without having one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, TypeVar
from unittest import mock

import torch

from smbrl.interfaces import Agent, Compute, SkillWindows, TaskSpec, Windows
from smbrl.testing.findings import Report

W = TypeVar("W", Windows, SkillWindows)


@contextlib.contextmanager
def without_autocast() -> Iterator[None]:
    """PyTorch's meta device knows no autocast."""
    nothing: Callable[..., contextlib.AbstractContextManager[None]] = lambda *_, **__: contextlib.nullcontext()  # noqa: E731
    with (
        mock.patch("torch.autocast", nothing),
        mock.patch("torch.is_autocast_enabled", return_value=False),
    ):
        yield


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Acting may ask a tensor for a number, which the meta device does not have: the check ends there."""
    try:
        yield
    except RuntimeError as error:
        if "cannot be called on meta tensors" not in str(error):
            raise


def on_meta(windows: W) -> W:
    """The shapes of these windows, on PyTorch's meta device."""
    return type(windows)(**{item.name: getattr(windows, item.name).to("meta") for item in fields(windows)})


def check_device(
    build: Callable[[TaskSpec], Agent], spec: TaskSpec, offline: SkillWindows, online: Windows, report: Report
) -> None:
    """Learn and act on the meta device, which has shapes but no numbers: a tensor that an agent makes somewhere
    else than where it lives is an error there as on a GPU; so is a number that an update asks a tensor for, which
    is slow on a GPU.

    Args:
        build: makes the agent.
        spec: the task's shapes.
        offline, online: windows to learn from.
        report: what is found goes here.
    """
    # the meta device has no generators; without one, torch's own is used
    generator: Any = None
    with torch.device("meta"):  # its parameters cannot be moved there: they would be others, unknown to optimisers
        agent = build(spec)
    agent.prepare(Compute(torch.device("meta"), torch.float32))
    with without_autocast():
        if agent.pretrains:
            with report.guarded("pretrain on another device than the CPU"):
                _everywhere("pretrain", agent.pretrain(on_meta(offline), generator), report)
        agent.start_online()
        with report.guarded("act on another device than the CPU"), asking():
            obs = torch.zeros(3, spec.observation, device="meta")
            for mode in ("explore", "evaluate", "prior"):
                memory = agent.initial_memory(3)
                decision, memory = agent.act(obs, memory, mode=mode, step=0, generator=generator)
                _everywhere("act", {"decision": decision, "memory": memory}, report)
        with report.guarded("update on another device than the CPU"):
            _everywhere("update", agent.update(on_meta(online), generator), report)


def _everywhere(what: str, tensors: dict[str, torch.Tensor], report: Report) -> None:
    for name, value in tensors.items():
        report.expect(
            value.device.type == "meta",
            f"{name} of {what} on the agent's device",
            str(value.device),
            "make tensors with device=..., from what you were given",
        )
