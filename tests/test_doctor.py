"""smbrl doctor finds what is wrong and says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from smbrl import doctor


def findings(*topics: str) -> list[doctor.Finding]:
    return [finding for topic, check in doctor.CHECKS if topic in topics for finding in check()]


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SMBRL_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_package_that_is_too_old_or_absent_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor.metadata,
        "requires",
        lambda _: ["numpy<0.1", "no-such-package>=1", "never>=1; extra == 'dev'", "rich"],
    )
    found = findings("packages")
    assert [(f.status, f.advice) for f in found] == [
        ("fail", "pip install 'numpy<0.1'"),
        ("fail", "pip install 'no-such-package>=1'"),
    ]
    assert found[1].found == "no-such-package is absent, smbrl needs no-such-package>=1"


def test_places_that_cannot_be_written_fail_and_full_disks_warn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    store, runs = findings("store")
    assert (store.status, runs.status) == ("fail", "warn")
    assert "set SMBRL_HOME to another folder" in store.advice
    assert runs.advice.startswith("make room")


def test_a_damaged_data_set_is_reported(tmp_path: Path) -> None:
    broken = tmp_path / "home" / "datasets" / "smbrl" / "maze-0123456789-v1"
    (broken / "data").mkdir(parents=True)
    (broken / "data" / "metadata.json").write_text("{}")
    found = findings("data")
    assert found[0].status in ("ok", "warn")
    assert "Traceback" not in found[0].found


def test_kernels_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from smbrl.nn import kernels

    monkeypatch.setattr(kernels, "library", lambda: (None, "no C compiler found (cc, gcc or clang)"))
    (found,) = findings("kernels")
    assert found.status == "warn"
    assert "gcc" in str(found.advice)
    monkeypatch.setattr(kernels, "library", lambda: (None, "switched off by SMBRL_NO_KERNELS"))
    (found,) = findings("kernels")
    assert found.advice == "unset SMBRL_NO_KERNELS"


def test_no_compiler_is_a_warning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (found,) = findings("compiler")
    assert found.status == "warn"
    assert "apt install g++" in found.advice


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LITTLE_MEMORY", 1 << 60)
    (found,) = findings("memory")
    assert found.status == "warn"


def test_a_driver_without_a_cuda_build_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    (found,) = findings("cuda")
    assert found.status == "warn"
    assert "CUDA build of PyTorch" in found.advice


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("boom")

    monkeypatch.setattr(doctor, "CHECKS", (("first", broken), ("python", doctor._python)))
    first, second = doctor.examine()
    assert (first.status, first.found) == ("fail", "OSError: boom")
    assert second.status == "ok"


def test_mlflow_is_found_where_runs_will_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (found,) = findings("mlflow")
    assert found.status == "ok"
    assert f"sqlite:///{tmp_path}/runs/mlflow.db: made by the first run" in found.found
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///somewhere")
    assert findings("mlflow")[0].found.endswith("file:///somewhere (not tried)")
