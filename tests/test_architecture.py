"""Who may import whom: the arrows of the architecture, walked."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"smbrl": ROOT / "smbrl", "smbrl_plugins": ROOT / "plugins", "smbrl_cli": ROOT / "cli"}
BELOW = {
    "interfaces": 0,
    "nn": 1,
    "data": 1,
    "tracking": 2,
    "policy": 2,
    "training": 3,
    "sweeps": 5,
    "analysis": 4,
    "testing": 4,
    "exporting": 5,
}
"""Rooms of the core by height: a room imports only rooms of lower height (or itself)."""
OPEN_TO_PLUGINS = {"smbrl.interfaces", "smbrl.nn", "smbrl.data", "smbrl.hookspecs", "smbrl.errors"}


def sources() -> list[tuple[str, Path]]:
    found = []
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found.append((".".join([package, *(p for p in parts if p != "__init__")]), path))
    return found


def imports(module: str, path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import: name the package"
            names.append(node.module or "")
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] in PACKAGES]


def wrong_arrows(module: str, imported: list[str]) -> list[str]:
    wrong = []
    package, _, rest = module.partition(".")
    room = rest.split(".")[0]
    for name in imported:
        target, _, target_rest = name.partition(".")
        target_room = target_rest.split(".")[0]
        if (
            (package == "smbrl" and target != "smbrl")
            or (package == "smbrl_plugins" and target == "smbrl_cli")
            or (
                package == target == "smbrl"
                and room in BELOW
                and target_room in BELOW
                and target_room != room
                and BELOW[target_room] >= BELOW[room]
            )
            or (
                package == "smbrl_plugins"
                and target == "smbrl"
                and target_room
                and ".".join(name.split(".")[:2]) not in OPEN_TO_PLUGINS
            )
            or (package == target == "smbrl_plugins" and any(p.startswith("_") for p in name.split(".")))
        ):
            wrong.append(f"{module} -> {name}")
    return wrong


def test_imports_follow_the_architecture() -> None:
    wrong = [arrow for module, path in sources() for arrow in wrong_arrows(module, imports(module, path))]
    assert not wrong, "\n".join(sorted(set(wrong)))


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("smbrl.nn.mlp", "smbrl.training.run"),
        ("smbrl.interfaces.agent", "smbrl.nn.mlp"),
        ("smbrl.training.run", "smbrl_plugins.agents"),
        ("smbrl_plugins.agents.latent_mpc", "smbrl_cli.train"),
        ("smbrl_plugins.agents.latent_mpc", "smbrl.training.run"),
        ("smbrl_plugins.agents.latent_mpc", "smbrl_plugins.planners.cem._elites"),
    ],
)
def test_a_wrong_arrow_is_seen(module: str, imported: str) -> None:
    assert wrong_arrows(module, [imported])


def test_the_gin_folder_never_shadows_the_gin_package() -> None:
    assert not list((ROOT / "gin").rglob("__init__.py"))


def test_no_core_or_plugin_file_names_a_method_in_a_branch() -> None:
    """`if method == ...` is the sign that a contract is wrong."""
    for module, path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name | ast.Attribute):
                name = node.left.id if isinstance(node.left, ast.Name) else node.left.attr
                assert name != "method", f"{module}:{node.lineno} branches on the method"
