"""Streams, settings, machine, meters: the small pieces of a run."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from smbrl.errors import SmbrlError
from smbrl.training.device import Machine, usable_cores, versions
from smbrl.training.meters import Meters
from smbrl.training.seeding import Streams, derive, globals_state, load_globals_state, seed_globals, untouched_globals
from smbrl.training.settings import Checkpoints, Evaluation, Online, Pretraining

CPU = torch.device("cpu")


def test_streams_of_one_seed_are_independent_and_repeatable() -> None:
    assert derive(0, "a", 1) == derive(0, "a", 1)
    assert len({derive(seed, *names) for seed in (0, 1) for names in (("a",), ("b",), ("a", 1), ("a", 11))}) == 8
    one, two = (Streams(CPU, 3, "online", ("act", "replay")) for _ in range(2))
    drawn = torch.rand(3, generator=one["act"])
    torch.rand(5, generator=two["replay"])  # drawing from one stream does not move another
    assert torch.equal(torch.rand(3, generator=two["act"]), drawn)
    state = one.state()
    after = torch.rand(2, generator=one["act"])
    two.load_state(state)
    assert torch.equal(torch.rand(2, generator=two["act"]), after)


def draw() -> tuple[float, float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random(), random.gauss(0, 1)  # noqa: NPY002


def test_the_global_generators_are_saved_whole() -> None:
    seed_globals(0, "x")
    first = draw()
    state = globals_state()
    second = draw()
    load_globals_state(state)
    assert draw() == second
    seed_globals(0, "x")
    assert draw() == first
    with untouched_globals():
        draw()
    assert draw() == second


def test_meters_average_what_was_seen_when_it_was_seen() -> None:
    meters = Meters()
    for value in (1.0, 2.0, 6.0):
        meters.add({"loss": torch.tensor(value), "steps": torch.tensor(int(value))})
    meters.add({"loss": torch.tensor([7.0]), "rare": torch.tensor(5.0)})
    other = Meters()
    other.load_state(meters.state(), CPU)
    for each in (meters, other):
        assert each.fetch() == {"loss": 4.0, "steps": 3.0, "rare": 5.0}
        assert each.fetch() == {}


def test_meters_do_not_change_the_tensors_they_are_given() -> None:
    loss = torch.tensor(1.0)
    meters = Meters()
    meters.add({"loss": loss})
    meters.add({"loss": loss})
    assert loss.item() == 1.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Pretraining(updates=-1), "Pretraining.updates is -1; it must be 0 or more"),
        (lambda: Pretraining(batch=0), "Pretraining.batch is 0; it must be at least 1"),
        (lambda: Pretraining(validation_share=1.0), r"validation_share is 1.0; it must be in \[0, 1\)"),
        (lambda: Pretraining(log_every=0), "Pretraining.log_every is 0"),
        (lambda: Online(steps=-5), "Online.steps is -5"),
        (lambda: Online(envs=0), "Online.envs is 0; it must be at least 1"),
        (lambda: Online(update_every=0), "Online.update_every is 0"),
        (lambda: Online(rewarded_share=2.0), "Online.rewarded_share is 2.0"),
        (lambda: Online(warmup_steps=10, warmup_patience=5), r"warmup_patience is 5; it must be at least .* \(10\)"),
        (lambda: Online(until_success=0.0), r"until_success is 0.0; it must be in \(0, 1\], or None"),
        (lambda: Evaluation(envs=0), "Evaluation.envs is 0"),
        (lambda: Checkpoints(keep=0), "Checkpoints.keep is 0"),
        (lambda: Checkpoints(every_seconds=0.0), "every_seconds is 0.0; it must be more than 0"),
        (lambda: Machine.choose("auto", "auto", "auto", -1), "Experiment.threads is -1"),
        (lambda: Machine.choose("tpu", "auto", "auto", 1), "'tpu'"),
        (lambda: Machine.choose("cpu", "float16", "auto", 1), "'float16'"),
        (lambda: Machine.choose("cpu", "auto", "maybe", 1), "'maybe'"),
    ],
)
def test_wrong_settings_are_one_line(make: object, words: str) -> None:
    with pytest.raises(SmbrlError, match=words):
        make()  # type: ignore[operator]


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_missing_gpu_is_one_line() -> None:
    with pytest.raises(SmbrlError, match=r"cuda.*no CUDA GPU.*--device cpu"):
        Machine.choose("cuda", "auto", "auto", 1)


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = Machine.choose("cpu", "float32", "off", 0).describe()
    assert found["threads"] == usable_cores()
    assert (found["device"], found["precision"], found["compiled"]) == ("cpu", "float32", False)
    assert found["device_name"]
    assert {"python", "torch", "smbrl"} <= versions().keys()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert Machine.choose("cpu", "float32", "off", 0).threads == 3
    assert Machine.choose("cpu", "float32", "off", 2).threads == 2
