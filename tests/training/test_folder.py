"""Run folders: made, found, locked; wrong ones are one line."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from smbrl.errors import SmbrlError
from smbrl.training.folder import RunFolder, all_runs, default_name, runs_root


def make(name: str, created: str = "2026-01-01T00:00:00+00:00") -> RunFolder:
    return RunFolder.create(runs_root() / name, "Experiment.seed = 0\n", {"created": created, "state": "new"})


def test_a_run_is_found_by_folder_name_and_as_the_last() -> None:
    first, second = make("first", "2026-01-01"), make("aaa", "2026-01-02")
    assert RunFolder.find("first").path == first.path
    assert RunFolder.find(str(second.path)).path == second.path
    assert RunFolder.find("last").path == second.path
    assert [run.name for run in all_runs()] == ["first", "aaa"]
    assert first.config == "Experiment.seed = 0\n"


def test_info_is_changed_without_losing_the_rest() -> None:
    folder = make("run")
    folder.update(state="running", step=3)
    assert RunFolder.open(folder.path).info() == {
        "format": 1, "name": "run", "created": "2026-01-01T00:00:00+00:00", "state": "running", "step": 3,
    }  # fmt: skip
    assert not list(folder.path.glob(".*.tmp"))


def test_names_say_what_and_when() -> None:
    assert default_name("skimo_maze", 3, datetime(2026, 1, 31, 9, 30)) == "skimo_maze-s3-20260131-093000"


def test_a_lock_is_seen_and_let_go() -> None:
    folder = make("run")
    with folder.locked():
        assert RunFolder(folder.path).busy
        with (
            pytest.raises(SmbrlError, match="run run is being worked on by another process"),
            RunFolder(folder.path).locked(),
        ):
            pass
    assert not folder.busy


def test_what_exists_is_never_overwritten(tmp_path: Path) -> None:
    make("run")
    with pytest.raises(SmbrlError, match="is a run already: go on with smbrl resume"):
        make("run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(SmbrlError, match="exists and is not empty"):
        RunFolder.create(tmp_path / "full", "", {})


def test_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match=r"there is no run in .*: start one with smbrl train"):
        RunFolder.find("last")
    make("skimo-s0")
    with pytest.raises(SmbrlError, match=r"there is no run 'skimo-so' in .*; did you mean 'skimo-s0'"):
        RunFolder.find("skimo-so")
    with pytest.raises(SmbrlError, match=r"there is no run .*/nowhere"):
        RunFolder.find(str(tmp_path / "nowhere"))
    with pytest.raises(SmbrlError, match=r"is not a run: it has no run.json"):
        RunFolder.find(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "holds no object"),
        (json.dumps({"format": 2}), "run format 2; this smbrl reads up to format 1: update smbrl"),
        (json.dumps({"format": "x"}), "run format x"),
        ("{}", "run format None"),
    ],
)
def test_a_damaged_or_newer_run_is_one_line_and_no_obstacle(text: str, words: str) -> None:
    damaged, well = make("damaged"), make("well")
    (damaged.path / "run.json").write_text(text)
    with pytest.raises(SmbrlError, match=words):
        RunFolder.open(damaged.path)
    assert [run.path for run in all_runs()] == [well.path]


def test_a_run_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SmbrlError, match=r"cannot make the run folder .* choose another --run-dir"):
        RunFolder.create(tmp_path / "file" / "run", "", {})
