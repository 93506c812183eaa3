"""The example plugin, installed as a third party's, is found, described, checked and built into SkiMo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "residual_dynamics"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(EXAMPLE, folder / "source")  # building leaves files beside the sources
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder / "site"), str(source)],
        check=True,
    )
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


def smbrl(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'smbrl'; from smbrl_cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )


def test_it_is_listed_with_its_distribution(environment: dict[str, str]) -> None:
    done = smbrl(environment, "list", "dynamics")
    assert "ResidualDynamics" in done.stdout, done.stderr
    assert "smbrl-residual" in done.stdout


def test_its_gin_file_puts_it_into_skimo(environment: dict[str, str]) -> None:
    done = smbrl(environment, "config", "show", "--gin", "skimo_maze", "--gin", "residual")
    assert done.returncode == 0, done.stderr
    assert "ResidualDynamics" in done.stdout


def test_it_can_be_switched_off(environment: dict[str, str]) -> None:
    done = smbrl({**environment, "SMBRL_NO_PLUGINS": "1"}, "list", "dynamics")
    assert "ResidualDynamics" not in done.stdout


def test_its_own_tests_pass(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")],
        env=environment,
        capture_output=True,
        text=True,
        cwd=EXAMPLE,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
