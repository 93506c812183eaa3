"""Write a new plugin: a complete project with one part that works."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from packaging.version import Version

from smbrl import __version__, hookspecs
from smbrl.config.files import packaged_names
from smbrl.errors import SmbrlError, suggestion
from smbrl.faults import article, spoken
from smbrl.interfaces import KINDS
from smbrl.registry import Registry

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
ENDINGS = {"skill_model": "Skills"}
"""Of class names, where it is not the kind itself."""
TESTS = {"agent": "test_alone.py", "task": "test_task.py"}
"""Templates of the kinds whose gin file is complete; those of the others are overlays."""


def write_plugin(name: str, kind: str, folder: Path, registry: Registry) -> list[Path]:
    """Write the project.

    Args:
        name: of the distribution, ``my-idea``; the package is ``my_idea``, the part ``MyIdeaDynamics``.
        kind: of the part.
        folder: that the project goes to; made here.
        registry: what there is already.

    Returns:
        The files, relative to the folder.

    Raises:
        SmbrlError: the kind is unknown, the name is no name or taken, the folder is not empty.
    """
    words = _words(name, kind, folder, registry)
    package, module = words["package"], words["module"]
    project = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        f"{package}/__init__.py": "init.py",
        f"{package}/{module}.py": f"{kind}.py",
        f"{package}/gin/{package}.gin": f"{kind}.gin",
        f"tests/test_{package}.py": TESTS.get(kind, "test_overlay.py"),
    }
    templates = files("smbrl") / "templates"
    for path, template in project.items():
        text = Template((templates / f"{template}.tmpl").read_text(encoding="utf-8")).substitute(words)
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SmbrlError(f"{target} cannot be written ({error.strerror}): choose another --folder") from error
    return [Path(path) for path in project]


def _words(name: str, kind: str, folder: Path, registry: Registry) -> dict[str, str]:
    """What the templates are filled with."""
    if kind not in KINDS:
        raise SmbrlError(f"unknown kind {kind!r}: {suggestion(kind, KINDS)}")
    package = name.replace("-", "_")
    if not NAME.fullmatch(name) or keyword.iskeyword(package):
        raise SmbrlError(f"{name!r} is no name for a package: use lower-case words with hyphens, such as my-idea")
    ending = ENDINGS.get(kind, kind.capitalize())
    stem = "".join(word.capitalize() for word in package.split("_"))
    part = stem if stem.endswith(ending) else stem + ending
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SmbrlError(f"{folder} exists and is not empty: choose another name or --folder")
    if part in registry.parts:
        raise SmbrlError(f"a part {part} exists ({registry.parts[part].source}): choose another name")
    if package in packaged_names(registry):
        raise SmbrlError(f"a gin file {package} exists, the plugin's would be hidden by it: choose another name")
    if importlib.util.find_spec(package) is not None:
        raise SmbrlError(f"a Python package {package} is installed: choose another name")
    gin = [package] if kind in TESTS else ["skimo_maze", package]
    now = Version(__version__)
    return {
        "distribution": name.replace("_", "-"),
        "package": package,
        "module": kind,
        "part": part,
        "kind": kind,
        "spoken": spoken(kind),
        "article": article(kind).split(" ")[0],
        "version": f"{now.major}.{now.minor}",
        "next_version": f"{now.major}.{now.minor + 1}",
        "contract": str(hookspecs.CONTRACT_VERSION),
        "train": " ".join(f"--gin {name}" for name in gin),
    }
