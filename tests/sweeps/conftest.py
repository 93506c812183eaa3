"""Sweeps are tried with runs that are over in an instant: tests/training/fake_runs.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outside the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SMBRL_RUNS", str(tmp_path / "runs"))
