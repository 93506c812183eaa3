"""Checkpoints: whole or not at all."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from smbrl.errors import SmbrlError
from smbrl.training import checkpoint
from smbrl.training.checkpoint import MANIFEST, STATE, TENSORS, CheckpointStore, flatten, restore


def state(value: float = 1.0) -> dict[str, Any]:
    shared = torch.arange(6.0)
    net = torch.nn.Linear(2, 3)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    net(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return {
        "weights": {"a.b": torch.full((2, 2), value), "scalar": torch.tensor(3), "empty": torch.zeros(0, 4)},
        "optimiser": optimiser.state_dict(),  # has whole numbers as keys, and tuples
        "views": [shared[:4], shared[2:], shared.view(2, 3).T],
        "half": torch.tensor([0.1], dtype=torch.bfloat16),
        "bytes": torch.Generator().get_state(),
        "plain": {"none": None, "yes": True, "text": "ü", "number": 0.1, "$odd": [1, (2, 3)]},
        "a/b": torch.ones(1),
        "a": {"b": torch.zeros(1)},
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return type(other) is dict and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other and type(one) is type(other))


def test_every_kind_of_value_survives(tmp_path: Path) -> None:
    saved = state()
    checkpoint.write(tmp_path / "c", saved, step=3)
    loaded, body = checkpoint.read(tmp_path / "c")
    assert same(saved, loaded)
    assert body["step"] == 3


def test_what_is_saved_does_not_change_afterwards() -> None:
    tensor = torch.zeros(2)
    tree, tensors = flatten({"x": tensor})
    tensor += 1
    assert restore(tree, tensors)["x"].tolist() == [0, 0]


def test_an_unknown_kind_of_value_is_named() -> None:
    with pytest.raises(TypeError, match="outer/inner: set"):
        flatten({"outer": {"inner": {1}}})


def test_the_latest_few_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints", keep=2)
    assert store.latest() is None
    for step in (1, 2, 3):
        store.save(state(step), phase="online", step=step)
    (tmp_path / "checkpoints" / ".00000009.1.tmp").mkdir()  # left by a kill
    store = CheckpointStore(tmp_path / "checkpoints", keep=2)
    store.save(state(4), phase="online", step=4)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["00000003", "00000004"]
    latest = store.latest()
    assert latest is not None
    assert (latest.step, latest.phase, latest.serial) == (4, "online", 4)
    assert latest.state["weights"]["a.b"][0, 0] == 4


def truncate(path: Path) -> None:
    data = (path / TENSORS).read_bytes()
    (path / TENSORS).write_bytes(data[: len(data) // 2])


def flip(name: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = bytearray((path / name).read_bytes())
        data[len(data) // 2] ^= 1
        (path / name).write_bytes(bytes(data))

    return damage


def remove(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def other_step(path: Path) -> None:
    content = json.loads((path / MANIFEST).read_text())
    content["body"]["step"] = 77
    (path / MANIFEST).write_text(json.dumps(content))


def empty(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [truncate, other_step, *(harm(name) for harm in (flip, remove, empty) for name in (TENSORS, STATE, MANIFEST))],
)
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("smbrl"), "propagate", True)
    store = CheckpointStore(tmp_path, keep=3)
    store.save(state(1), phase="online", step=1)
    damage(store.save(state(2), phase="online", step=2))
    latest = store.latest()
    assert latest is not None
    assert latest.step == 1
    assert len(caplog.records) == 1
    assert "00000002 is damaged" in caplog.text
    assert store.save(state(3), phase="online", step=3).name == "00000003"


def test_no_whole_checkpoint_at_all_is_one_line(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    truncate(store.save(state(), phase="online", step=1))
    with pytest.raises(SmbrlError, match=r"none of the 1 checkpoints in .* is whole; delete that folder"):
        store.latest()


def test_a_newer_format_is_one_line_and_nothing_older_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CheckpointStore(tmp_path)
    store.save(state(), phase="online", step=1)
    with monkeypatch.context() as future:
        future.setattr(checkpoint, "FORMAT", 2)
        store.save(state(), phase="online", step=2)
    with pytest.raises(SmbrlError, match=r"checkpoint format 2.*reads up to format 1: update smbrl"):
        store.latest()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CheckpointStore(tmp_path)
    store.save(state(), phase="online", step=1)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(checkpoint.os, "fsync", full)
        with pytest.raises(SmbrlError, match="No space left on device"):
            store.save(state(), phase="online", step=2)
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]
    latest = store.latest()
    assert latest is not None
    assert latest.step == 1


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A pickle where the tensors should be is refused even where its hash is right."""
    checkpoint.write(tmp_path / "c", state())
    torch.save(state(), tmp_path / "c" / TENSORS)
    content = json.loads((tmp_path / "c" / MANIFEST).read_text())
    body = content["body"]
    body["files"][TENSORS] = checkpoint._sha256((tmp_path / "c" / TENSORS).read_bytes())
    content["sha256"] = checkpoint._sha256(checkpoint._canonical(body))
    (tmp_path / "c" / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(checkpoint.DamagedError, match="cannot be decoded"):
        checkpoint.read(tmp_path / "c")


def test_the_first_one_to_write_wins(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "c", state(1))
    checkpoint.write(tmp_path / "c", state(2))
    assert checkpoint.read(tmp_path / "c")[0]["weights"]["a.b"][0, 0] == 1
    assert not list(tmp_path.glob(".*"))
    shutil.rmtree(tmp_path / "c")
