"""One learner per principle: a method is a choice of parts and bindings, and no learner knows which one it serves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from smbrl import config
from smbrl.registry import load_plugins

ROOT = Path(__file__).parent.parent
LEARNERS = {
    "skimo_maze": "LatentMPC",
    "skimo_no_joint_maze": "LatentMPC",
    "skimo_no_cem_maze": "LatentMPC",
    "skimo_single_step_maze": "LatentMPC",
    "spirl_tdmpc_maze": "LatentMPC",
    "tdmpc_maze": "LatentMPC",
    "skimo_sac_maze": "SAC",
    "spirl_maze": "SAC",
    "sac_maze": "SAC",
    "dreamer_maze": "Dreamer",
    "spirl_dreamer_maze": "Dreamer",
    "dads_maze": "DADS",
    "lsp_maze": "LSP",
}
"""Method -> learner: DADS stands on SAC, LSP on Dreamer's world model."""
METHODS = ("skimo", "spirl", "tdmpc", "td_mpc", "td-mpc", "dreamer", "dads", "lsp", "sac")


def modules(*folders: str) -> list[tuple[Path, ast.Module]]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def classes(*folders: str) -> list[str]:
    return [node.name for _, tree in modules(*folders) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("method", sorted(LEARNERS))
def test_every_method_is_a_gin_file_on_one_of_the_learners(method: str) -> None:
    loaded = config.load([method])
    assert str(loaded.value("Experiment.agent")).lstrip("@") == LEARNERS[method]


def test_there_are_no_other_learners() -> None:
    parts = load_plugins(third_party=False).parts.values()
    assert {part.name for part in parts if part.kind == "agent"} == set(LEARNERS.values())


def test_there_is_one_replay_and_one_loop() -> None:
    names = classes("smbrl", "plugins")
    assert [name for name in names if "Replay" in name or "Buffer" in name] == ["DecisionReplay"]
    assert [name for name in names if name.endswith("Loop")] == ["OnlineLoop", "PretrainLoop"]


@pytest.mark.parametrize("folder", ["plugins/agents", "plugins/planners", "smbrl"])
def test_no_condition_asks_for_a_method(folder: str) -> None:
    """No ``if`` compares with a method's name, wherever it might come from."""
    for path, tree in modules(folder):
        for node in ast.walk(tree):
            if isinstance(node, (ast.If, ast.IfExp, ast.Match)):
                asked = node.subject if isinstance(node, ast.Match) else node.test
                words = [x.value for x in ast.walk(asked) if isinstance(x, ast.Constant) and isinstance(x.value, str)]
                assert not [w for w in words if any(m in w.lower() for m in METHODS)], f"{path}:{node.lineno}"
