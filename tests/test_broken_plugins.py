"""docs/broken-plugins.md tells the truth: each kind of broken plugin is installed, and gets the line on the page.

``SMBRL_UPDATE_DOCS=1 pytest tests/test_broken_plugins.py`` writes the present lines into the page.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from test_registry import FRAGILE, HEAD, PART, PARTS, WRONG, Install, distribute, install

from smbrl import config
from smbrl import registry as registry_module
from smbrl.errors import SmbrlError
from smbrl.registry import load_plugins

__all__ = ["install"]
PAGE = Path(__file__).parent.parent / "docs" / "broken-plugins.md"
OTHER = PART + PARTS + "[Extra]"
"""A plugin that is right."""

DISTRIBUTIONS = {
    "needs another smbrl": {"entry": "[smbrl]\nof-acme = plugin_right\n", "requires": "smbrl>=99"},
    "entry point without a value": {"entry": "[smbrl]\nof-acme\n"},
    "entry point that is no module": {"entry": "[smbrl]\nof-acme = not a module\n"},
    "entry point without its object": {"entry": "[smbrl]\nof-acme = sys:missing\n"},
    "entry point that is a number": {"entry": "[smbrl]\nof-acme = sys:maxsize\n"},
    "two plugins in one module": {"entry": "[smbrl]\nof-acme = plugin_right\nof-acme-too = plugin_right\n"},
}
"""Wrong outside of the code."""
SETTINGS = {"a part refuses its settings": "Fragile.samples=1", "a part raises while it is built": "Fragile.samples=2"}
"""Wrong only when it is built."""


def line_of(name: str, install: Install, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """What smbrl says about a kind of broken plugin, and the plugin's state."""
    if name in WRONG:
        registry = install({"acme": WRONG[name][0]})
    elif name in DISTRIBUTIONS:
        (folder / "plugin_right.py").write_text(OTHER)
        wrong = DISTRIBUTIONS[name]
        distribute(folder, "acme", wrong["entry"], requires=wrong.get("requires", ""))
        registry = install({})
        sys.modules.pop("plugin_right", None)
    elif name in SETTINGS:
        install({"acme": PART + FRAGILE + PARTS + "[Fragile]"})
        with pytest.raises(SmbrlError) as error:
            config.load(["skimo_maze"], ["LatentMPC.planner=@Fragile", SETTINGS[name]]).build()
        return str(error.value), "ok"
    elif name == "slow":
        monkeypatch.setattr(registry_module, "SLOW", 0.05)
        registry = install({"acme": "import time; time.sleep(0.1)\n" + OTHER})
    elif name == "a name of smbrl's own":
        taken = load_plugins(third_party=False).of_kind("planner")[0].name
        registry = install({"acme": HEAD.format(name=taken) + PARTS + f"[{taken}]"})
    elif name == "a name of another plugin's":
        registry = install({"aaa": OTHER, "acme": OTHER})
    else:
        raise AssertionError(name)
    state = next(state for state in registry.states if state.problems and "acme" in state.source.distribution)
    return next(line for line in registry.problems if "acme" in line), state.state


NAMES = [*WRONG, *DISTRIBUTIONS, "slow", "a name of smbrl's own", "a name of another plugin's", *SETTINGS]


def rows() -> dict[str, tuple[str, str]]:
    """Kind: line and state, as the page has them."""
    cells = [line.strip("|").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if "`" in line]
    return {row[0].strip(): (row[2].strip().strip("`"), row[1].strip()) for row in cells if len(row) == 3}


def stable(line: str) -> str:
    """Without what differs between machines and releases."""
    return re.sub(r"\d+\.\d+ s to import|smbrl \d[\w.]*", "...", line).replace("|", "/")


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_line(name: str, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line, state = line_of(name, install, tmp_path, monkeypatch)
    assert "\n" not in line
    if os.environ.get("SMBRL_UPDATE_DOCS") == "1":
        text = PAGE.read_text(encoding="utf-8")
        row = f"| {name} | {state} | `{line.replace('|', '/')}` |"
        old = re.search(rf"^\| {re.escape(name)} \|.*$", text, re.MULTILINE)
        text = text.replace(old[0], row) if old else text.rstrip("\n") + "\n" + row + "\n"
        PAGE.write_text(text, encoding="utf-8")
    assert (stable(line), state) == (stable(rows()[name][0]), rows()[name][1])


def test_the_page_has_nothing_else_and_enough() -> None:
    assert sorted(rows()) == sorted(NAMES)
    assert len(NAMES) >= 20
