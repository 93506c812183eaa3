"""smbrl config, list, describe."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from smbrl_cli import main

from smbrl import config
from smbrl.config.files import open_file, overlay_base, packaged_names
from smbrl.hookspecs import hookimpl
from smbrl.interfaces import KINDS
from smbrl.registry import Source, load_plugins

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """``run("list", "planner")`` in an empty folder, without third parties -> exit code, stdout, stderr."""
    monkeypatch.setenv("SMBRL_NO_PLUGINS", "1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


# -- show ------------------------------------------------------------------------------------------
def test_show_tells_every_value_and_its_origin(run: Run) -> None:
    code, out, err = run("config", "show", "--gin", "skimo_maze", "-o", "Online.steps=77")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "Online.steps = 77 # override 'Online.steps=77'" in lines
    assert "Experiment.seed = 0 # default" in lines
    assert any(line.startswith("Experiment.task = @Maze # smbrl:tasks/maze.gin:") for line in lines)


def test_what_show_prints_is_a_gin_file_for_the_same_run(run: Run, tmp_path: Path) -> None:
    _, out, _ = run("config", "show", "--gin", "skimo_maze", "-o", "LatentMPC.planner=None")
    (tmp_path / "whole.gin").write_text(out)
    again = config.load(["whole.gin"])
    assert again.text == config.load(["skimo_maze"], ["LatentMPC.planner=None"]).text


def test_show_plain_is_the_stored_text(run: Run) -> None:
    assert run("config", "show", "--gin", "skimo_maze", "--plain")[1] == config.load(["skimo_maze"]).text


def test_show_tells_what_is_not_used(run: Run) -> None:
    _, out, _ = run("config", "show", "--gin", "skimo_maze", "-o", "LatentMPC.planner=None", "--bound")
    assert "default" not in out.replace("budgets/default", "")
    assert "# not used, because a later file or an override replaced what it is for:" in out
    assert "CEM is not part of this run: LatentMPC.planner is None at override" in out


def test_stored_text_is_enough_for_the_same_experiment() -> None:
    loaded = config.load(["skimo_maze"], ["Experiment.device='cpu'", "Maze.trajectories=7"])
    again = config.load_text(loaded.text)
    assert again.text == loaded.text
    first, second = loaded.build(), again.build()
    assert first.agent.settings.keys() == second.agent.settings.keys()
    states = zip(first.agent.state_dict().items(), second.agent.state_dict().items(), strict=True)
    assert all(a == b and x.equal(y) for (a, x), (b, y) in states)


# -- check -----------------------------------------------------------------------------------------
def test_all_shipped_files_are_right(run: Run) -> None:
    code, out, err = run("config", "check")
    assert (code, err) == (0, ""), out
    assert "skimo_maze" in out
    assert "budgets/smoke" in out


def test_every_shipped_file_is_checked_or_part_of_one_that_is(run: Run) -> None:
    """A file that is neither complete, nor an overlay, nor included by one would be checked by nothing."""
    registry = load_plugins(third_party=False)
    checked = {line.split()[0] for line in run("config", "check")[1].splitlines()}
    complete = [name for name in checked if overlay_base(open_file(name, registry).text) is None]
    places = [parameter.place or "" for name in complete for parameter in config.load([name]).parameters()]
    used = {place.removeprefix("smbrl:").split(".gin")[0] for place in places}
    assert set(packaged_names(registry)) <= checked | used


def test_check_says_what_is_wrong_and_goes_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.gin").write_text("# overlay on: skimo_maze\nOnline.steps = 5\n")
    (tmp_path / "bad.gin").write_text("include 'skimo_maze'\nOnline.stps = 5\n")
    code, out, err = run("config", "check", "bad.gin", "good.gin")
    assert code == 2
    assert out.splitlines() == [
        "bad.gin   wrong  bad.gin:2: Online has no parameter 'stps': did you mean 'steps'?",
        "good.gin  right  on top of skimo_maze",
    ]
    assert err == "error: 1 of 2 gin files are wrong\n"


def test_check_takes_overrides(run: Run) -> None:
    code, out, _ = run("config", "check", "skimo_maze", "-o", "Online.steps='x'")
    assert code == 2
    assert "expected an int, got 'x'" in out


# -- list ------------------------------------------------------------------------------------------
def test_list_shows_every_part_with_its_distribution(run: Run) -> None:
    for info in load_plugins().of_kind(None):
        _, out, _ = run("list", info.kind)
        (line,) = [line for line in out.splitlines() if f" {info.name}  " in line]  # columns are two spaces apart
        assert f"smbrl {info.version}" in line
        assert info.summary[:20] in line


@pytest.mark.parametrize("kind", KINDS)
def test_list_of_one_kind(run: Run, kind: str) -> None:
    _, out, _ = run("list", kind.replace("_", "-") + "s")
    for info in load_plugins().of_kind(None):
        row = re.search(
            rf"^ *({kind.replace('_', ' ')} +)?{info.name} {{2,}}", out, re.MULTILINE
        )  # the kind stands before the first
        assert (row is not None) == (info.kind == kind)


def test_list_shows_gin_files(run: Run) -> None:
    code, out, _ = run("list", "gin")
    assert code == 0
    for name in packaged_names(load_plugins()):
        assert name in out


def test_a_plugin_with_an_unreadable_gin_file_is_still_listed(run: Run, tmp_path: Path) -> None:
    class Plugin:
        @hookimpl
        def smbrl_gin(self) -> list[Path]:
            return [tmp_path]

    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "latin.gin").write_bytes(b"# caf\xe9\n")
    registry = load_plugins()
    registry.add(Plugin(), Source("acme", "acme", "1"))
    try:
        assert "sub/latin.gin:1: not UTF-8 text" in run("list", "gin")[1]
        code, out, _ = run("config", "check")
        assert code == 2
        assert "sub/latin (acme) wrong sub/latin.gin:1: not UTF-8" in " ".join(out.split())
    finally:
        registry.gin.pop()


# -- describe --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [info.name for info in load_plugins(third_party=False).of_kind(None)])
def test_describe_tells_parameters_types_and_defaults(run: Run, name: str) -> None:
    code, out, _ = run("describe", name)
    assert code == 0
    info = load_plugins().parts[name]
    assert info.summary[:30] in " ".join(out.split())
    names = config.known_names()
    for parameter in names.find(name, "").parameters.values():
        assert parameter.name in out


def test_what_describe_suggests_is_right(run: Run) -> None:
    _, out, _ = run("describe", "CEM")
    lines = [line.strip() for line in out.split("In a gin file:\n")[1].splitlines() if "=" in line]
    lines = [line for line in lines if not line.endswith("@CEM") or line.startswith("LatentMPC")]  # one of its owners
    assert lines[0] == "LatentMPC.planner = @CEM"
    config.load(["skimo_maze"], [line.replace(" = ", "=") for line in lines])


def test_describe_knows_settings_and_contracts(run: Run) -> None:
    assert "until_success" in run("describe", "Online")[1]
    assert "must define: forward" in run("describe", "encoder")[1]
    assert "There are: CEM" in run("describe", "Planner")[1]


def test_every_parameter_of_a_built_in_part_has_a_type() -> None:
    """Without one, a wrong value would only be found when the part is built, or never."""
    from typing import Any

    for known in config.known_names(load_plugins(third_party=False)).all():
        if known.part is None and not known.selector.startswith("smbrl."):
            continue
        for parameter in known.parameters.values():
            assert parameter.annotation is not Any, f"{known.name}.{parameter.name}"
