"""The wheel works as well as the checkout: built, installed in a clean environment, used there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git tracks (or would track), so that no stray file of a checkout gets in."""
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), str(source)], check=True
    )
    return next(out.glob("smbrl-*.whl"))


def test_the_wheel_holds_every_gin_file_asset_and_module(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    found = [*(ROOT / "gin").rglob("*.gin"), *(ROOT / "gin").rglob("*.toml")]
    gin = {f"smbrl_plugins/gin/{path.relative_to(ROOT / 'gin').as_posix()}" for path in found}
    assert gin
    assert gin <= inside
    for package, folder in {"smbrl": "smbrl", "smbrl_plugins": "plugins", "smbrl_cli": "cli"}.items():
        for suffix in ("*.py", "*.txt", "*.c", "*.js", "*.css", "*.xml", "*.tmpl"):
            modules = {f"{package}/{p.relative_to(ROOT / folder).as_posix()}" for p in (ROOT / folder).rglob(suffix)}
            assert modules <= inside, modules - inside
    assert "smbrl/py.typed" in inside


def test_the_installed_wheel_works_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """A clean environment that has the wheel itself and sees only the dependencies of this one."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True
    )
    # the dependencies, but not this environment's own (editable) smbrl: .pth files there are not read
    python = environment / "bin" / "python"
    main = "import sys; sys.argv[0] = 'smbrl'; from smbrl_cli import main; main()"
    dependencies = next(p for p in map(Path, sys.path) if (p / "torch").is_dir())
    (site / "dependencies.pth").write_text(f"import sys; sys.path.append({str(dependencies)!r})\n")

    def smbrl(*arguments: str) -> str:
        done = subprocess.run(
            [str(python), "-c", main, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [str(python), "-c", "import smbrl, smbrl_plugins; print(smbrl.__file__, smbrl_plugins.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(site) in where
    assert str(ROOT / "smbrl") not in where
    assert "LatentMPC" in smbrl("list")
    assert "CEM" in smbrl("config", "show", "--gin", "skimo_maze")
