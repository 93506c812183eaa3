"""The example plugins, installed as a third party's, are found, described, checked and built into SkiMo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PLUGINS = {
    "residual_dynamics": ("smbrl-residual", "residual", ["ResidualDynamics"]),
    "ensemble_dynamics": ("smbrl-ensemble", "ensemble", ["EnsembleDynamics", "Pessimistic"]),
}
"""Folder: distribution, gin file, parts."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("plugin")
    for name in PLUGINS:
        source = shutil.copytree(EXAMPLES / name, folder / name)  # building leaves files beside the sources
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder / "site"), str(source)],
            check=True,
        )
    return {**os.environ, "PYTHONPATH": str(folder / "site"), "SMBRL_HOME": str(folder / "home")}


def smbrl(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'smbrl'; from smbrl_cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )


def test_parts_are_listed_with_their_distribution(environment: dict[str, str]) -> None:
    done = smbrl(environment, "list")
    for distribution, gin, parts in PLUGINS.values():
        for name in [gin, *parts]:
            (line,) = [line for line in done.stdout.splitlines() if f" {name} " in f" {line} " and distribution in line]
            assert distribution in line


@pytest.mark.parametrize("folder", PLUGINS)
def test_its_gin_file_puts_it_into_skimo(environment: dict[str, str], folder: str) -> None:
    _, gin, parts = PLUGINS[folder]
    done = smbrl(environment, "config", "show", "--gin", "skimo_maze", "--gin", gin)
    assert done.returncode == 0, done.stderr
    for part in parts:
        assert part in done.stdout


def test_they_can_be_switched_off(environment: dict[str, str]) -> None:
    done = smbrl({**environment, "SMBRL_NO_PLUGINS": "1"}, "list", "dynamics")
    assert "ResidualDynamics" not in done.stdout


@pytest.mark.parametrize("folder", PLUGINS)
def test_its_own_tests_pass(environment: dict[str, str], folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / folder / "tests")],
        env=environment,
        capture_output=True,
        text=True,
        cwd=EXAMPLES / folder,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
