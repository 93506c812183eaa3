"""Pre-training in several processes comes to the numbers of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from run_helpers import numbers

from smbrl.errors import SmbrlError
from smbrl.interfaces import TanhNormal
from smbrl.nn import ranks
from smbrl.training import team

Start = Callable[..., tuple[subprocess.CompletedProcess[str], Path]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Do the tiny run in so many processes."""

    def run(agent: str, processes: int) -> tuple[subprocess.CompletedProcess[str], Path]:
        words = [str(Path(__file__).parent / "team_run.py"), str(tmp_path / f"run{processes}"), agent]
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        done = subprocess.run(
            [sys.executable, *(launcher if processes > 1 else []), *words],
            env={**os.environ, "SMBRL_HOME": str(tmp_path / f"home{processes}"), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done, tmp_path / f"run{processes}"

    return run


@pytest.mark.slow
def test_two_processes_come_to_the_losses_of_one(start: Start) -> None:
    found: list[list[Any]] = []
    for processes in (1, 2):
        done, path = start("skimo", processes)
        assert done.returncode == 0, done.stderr
        info = json.loads((path / "run.json").read_text())
        assert (info["state"], info.get("processes", 1)) == ("finished", processes)
        found.append(numbers(path))
    one, two = found
    assert [line[:2] for line in one] == [line[:2] for line in two]  # steps and phases: nothing is logged twice
    pretraining = [(a, b) for (_, phase, a), (_, _, b) in zip(one, two, strict=True) if phase == "pretrain"]
    assert len(pretraining) == 12 + 3
    for a, b in pretraining:
        assert a.keys() == b.keys()
        for name, value in a.items():
            assert b[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    losses = [a["pretrain/loss"] for a, _ in pretraining if "pretrain/loss" in a]
    assert losses[-1] < losses[0]
    clipped = [a["pretrain/grad_norm"] for a, _ in pretraining if "pretrain/grad_norm" in a]
    assert max(clipped) > 0.5  # gradients are averaged before they are clipped: otherwise the losses would differ


@pytest.mark.slow
def test_an_optimiser_of_its_own_is_noticed(start: Start) -> None:
    done, _ = start("own optimiser", 2)
    assert done.returncode != 0
    assert "LineAgent pre-trains with an optimiser of its own, so 2 processes come to different weights" in done.stderr


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    team.check(127)  # alone anything goes
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "3", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    assert (team.rank(), team.size()) == (1, 3)
    team.check(126)
    with pytest.raises(SmbrlError, match=r"Pretraining.batch is 128, which 3 processes cannot share equally"):
        team.check(128)


def test_a_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert team.own_device("auto") == "auto"
    for name, value in {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    assert [team.own_device(device) for device in ("auto", "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"]


def test_noise_is_that_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(rows: int) -> list[torch.Tensor]:
        stream = torch.Generator().manual_seed(4)
        policy = TanhNormal(torch.zeros(rows, 5, 3), torch.ones(rows, 5, 3))
        return [
            policy.rsample(stream),
            torch.rand(rows, 2, generator=stream),
            torch.rand((rows, 7), generator=stream),
            torch.randn(size=(rows,), generator=stream),
            torch.randn((), generator=stream).expand(rows),  # not of the windows: the same for all
        ]

    whole = drawn(6)
    for rank in range(2):
        with ranks._WholeNoise(ranks.Place(rank, 2, 3)):
            shares = drawn(3)
        for share, all_of_it in zip(shares, whole, strict=True):
            assert torch.equal(share, all_of_it[3 * rank : 3 * rank + 3])


def test_alone_nothing_happens() -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert torch.equal(ranks.real_count(mask), mask.sum())
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.full((3,), 2.0)
    ranks.average([parameter])
    assert parameter.grad.tolist() == [2.0, 2.0, 2.0]
    with team.joined(torch.device("cpu")) as nobody:
        assert nobody is None
