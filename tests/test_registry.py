# ruff: noqa: E501  (expected lines are quoted whole)
"""Plugins: found, registered, and, where something is wrong with one, explained in a line and left out."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gin.config
import gymnasium
import pytest

from smbrl import __version__, config, discovery
from smbrl import registry as registry_module
from smbrl.config import known_names
from smbrl.errors import SmbrlError
from smbrl.hookspecs import hookimpl
from smbrl.registry import RESERVED, Registry, Source, load_plugins

HEAD = """
from smbrl.hookspecs import hookimpl
from smbrl.interfaces import Dynamics, Encoder, Planner

class {name}(Planner):
    '''A planner.'''
    def __init__(self, *, samples: int = 3) -> None: ...
    def initial_memory(self, envs, decision, device): ...
    def plan(self, model, state, memory, *, step, explore, generator): ...
"""
PART = HEAD.format(name="Extra")
PARTS = "\n@hookimpl\ndef smbrl_parts():\n    return "

Install = Callable[..., Registry]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install({"name": source, ...})``: distributions with one plugin each, loaded as if pip had installed them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = []

    def install(plugins: dict[str, str], third_party: bool | None = None) -> Registry:
        for name, source in plugins.items():
            module = f"plugin_{name.replace('-', '_')}"
            modules.append(module)
            (tmp_path / f"{module}.py").write_text(source)
            distribute(tmp_path, name, f"[smbrl]\nof-{name} = {module}\n")
        importlib.invalidate_caches()
        registry_module._load.cache_clear()
        return load_plugins(third_party)

    yield install
    registry_module._load.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


def distribute(folder: Path, name: str, entry_points: str, version: str = "1.2", requires: str = "") -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    (info / "entry_points.txt").write_text(entry_points)


# -- plugins that are right ------------------------------------------------------------------------
def test_a_third_party_part_is_registered(install: Install) -> None:
    registry = install({"acme": PART + PARTS + "[Extra]"})
    assert registry.problems == []
    info = registry.get("planner", "Extra")
    assert (info.plugin, info.distribution, info.version, info.summary) == ("of-acme", "acme", "1.2", "A planner.")


def test_built_ins_come_through_the_same_door() -> None:
    registry = load_plugins(third_party=False)
    assert registry.problems == []
    assert {info.distribution for info in registry.of_kind(None)} == {"smbrl"}
    assert registry.gin_folders()


def test_loading_twice_gives_the_same_registry(install: Install) -> None:
    first = install({"acme": PART + PARTS + "[Extra]"})
    assert load_plugins() is first


@pytest.mark.parametrize("off", ["1", "true", "yes"])
def test_an_environment_variable_leaves_third_parties_out(
    install: Install, monkeypatch: pytest.MonkeyPatch, off: str
) -> None:
    monkeypatch.setenv("SMBRL_NO_PLUGINS", off)
    registry = install({"acme": "raise RuntimeError('imported')"})
    assert registry.problems == []
    assert "plugin_acme" not in sys.modules
    with pytest.raises(SmbrlError, match="third-party plugins are off"):
        registry.get("planner", "Extra")


@pytest.mark.parametrize("on", ["", "0", "false"])
def test_the_variable_can_say_no(install: Install, monkeypatch: pytest.MonkeyPatch, on: str) -> None:
    monkeypatch.setenv("SMBRL_NO_PLUGINS", on)
    assert "Extra" in install({"acme": PART + PARTS + "[Extra]"}).parts


def test_a_plugin_may_be_an_object(install: Install, tmp_path: Path) -> None:
    source = PART + "\nclass Plugin:\n    @hookimpl\n    def smbrl_parts(self): return [Extra]\nplugin = Plugin()\n"
    (tmp_path / "plugin_object.py").write_text(source)
    distribute(tmp_path, "objects", "[smbrl]\nobj = plugin_object:plugin\n")
    assert "Extra" in install({}).parts


@pytest.mark.parametrize("name", ["smbrl", "gin", "3d", "my-idea 2"])
def test_a_plugin_may_have_any_name(name: str) -> None:
    class Plugin:
        @hookimpl
        def smbrl_parts(self) -> list[type]:
            return [type("Fresh", (load_plugins(third_party=False).of_kind("planner")[0].cls,), {"__doc__": "Fresh."})]

    registry = Registry()
    registry.add(Plugin(), Source(name, "acme", "1"))
    assert registry.problems == []
    names = known_names(registry)
    assert names.find("Fresh", "").part is registry.parts["Fresh"]
    assert "Fresh" not in [known.name for known in names.settings]


def test_environments_are_registered_once(install: Install) -> None:
    source = (
        "from smbrl.hookspecs import hookimpl\n@hookimpl\ndef smbrl_environments():\n    return {'acme/X-v0': 'a:B'}\n"
    )
    try:
        assert install({"acme": source}).environments["acme/X-v0"] == "a:B"
        assert gymnasium.registry["acme/X-v0"].entry_point == "a:B"
        registry_module._load.cache_clear()
        assert load_plugins().problems == []
    finally:
        gymnasium.registry.pop("acme/X-v0", None)


def test_gymnasium_finds_an_environment_by_module_and_id() -> None:
    code = "import gymnasium; gymnasium.make('smbrl.environments:smbrl/Maze-v0').reset(seed=0); print('made')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "made\n", done.stderr


def test_gin_folders_are_registered(install: Install, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    source = (
        "from pathlib import Path\nfrom smbrl.hookspecs import hookimpl\n"
        "@hookimpl\ndef smbrl_gin():\n    return [Path(__file__).parent / 'recipes']\n"
    )
    assert tmp_path / "recipes" in install({"acme": source}).gin_folders()


# -- plugins that are wrong ------------------------------------------------------------------------
HOOK = "from smbrl.hookspecs import hookimpl\n@hookimpl\n"
WRONG = {
    "import fails": (
        "import no_such_module_anywhere",
        "cannot be imported (plugin_acme): ModuleNotFoundError: No module named 'no_such_module_anywhere'; it is skipped",
    ),
    "syntax error": (
        "def f(:\n",
        "cannot be imported (plugin_acme): SyntaxError: invalid syntax (plugin_acme.py, line 1); it is skipped",
    ),
    "any exception": (
        "{}['key']",
        "cannot be imported (plugin_acme): KeyError: 'key'; it is skipped",
    ),
    "exit": (
        "import sys; sys.exit(3)",
        "cannot be imported (plugin_acme): SystemExit: 3; it is skipped",
    ),
    "no hooks": (
        "x = 1",
        "offers nothing: no function smbrl_environments, smbrl_gin, smbrl_parts marked with @smbrl.hookspecs.hookimpl",
    ),
    "hook not marked": (
        "def smbrl_parts(): return []",
        "smbrl_parts is not marked with @smbrl.hookspecs.hookimpl; it is not called",
    ),
    "unknown hook": (
        HOOK + "def smbrl_part(): return []",
        "unknown hook 'smbrl_part': did you mean 'smbrl_parts'?; the plugin is skipped",
    ),
    "hook arguments": (
        HOOK + "def smbrl_parts(registry): return []",
        "wrong hook arguments: Argument(s) {'registry'} are declared in the hookimpl but can not be found in the "
        "hookspec; hooks of smbrl take none; the plugin is skipped",
    ),
    "hook wrapper": (
        "from smbrl.hookspecs import hookimpl\n@hookimpl(wrapper=True)\ndef smbrl_parts():\n    return (yield)",
        "smbrl_parts is a hook wrapper, which smbrl does not support; the plugin is skipped",
    ),
    "hook raises": (
        HOOK + "def smbrl_parts(): return 1 / 0",
        "hook smbrl_parts raised ZeroDivisionError: division by zero; what it offers is skipped",
    ),
    "hook exits": (
        HOOK + "def smbrl_parts(): raise SystemExit(2)",
        "hook smbrl_parts raised SystemExit: 2; what it offers is skipped",
    ),
    "hook returns None": (
        HOOK + "def smbrl_parts(): pass",
        "hook smbrl_parts returned None, expected a list of part classes; it is skipped",
    ),
    "hook returns junk": (
        HOOK + "def smbrl_parts(): return 'CEM'",
        "hook smbrl_parts returned str 'CEM', expected a list of part classes; it is skipped",
    ),
    "environments are a list": (
        HOOK + "def smbrl_environments(): return ['x']",
        "hook smbrl_environments returned list ['x'], expected a mapping of ids to 'module:Class'; it is skipped",
    ),
    "environment without entry point": (
        HOOK + "def smbrl_environments(): return {'x/Y-v0': 'nothing'}",
        "environment 'x/Y-v0': 'nothing' is not an entry point 'module:Class'; it is skipped",
    ),
    "environment that exists": (
        HOOK + "def smbrl_environments(): return {'CartPole-v1': 'a:B'}",
        "environment 'CartPole-v1' is already registered as gymnasium.envs.classic_control.cartpole:CartPoleEnv; "
        "it is skipped",
    ),
    "environment with a bad id": (
        HOOK + "def smbrl_environments(): return {'a b': 'a:B'}",
        "environment 'a b': Error: Malformed environment ID: a b. (Currently all IDs must be of the form "
        "[namespace/](env-name)-v(version). (namespace is optional)); it is skipped",
    ),
    "gin folder that is none": (
        HOOK + "def smbrl_gin(): return ['gin']",
        "hook smbrl_gin names 'gin', which is not an existing folder; it is skipped",
    ),
    "part is an object": (
        PART + PARTS + "[Extra()]",
        "is Extra, expected a class; it is skipped",
    ),
    "part without a contract": (
        HOOK + "def smbrl_parts(): return [dict]",
        "part dict implements no contract (a subclass of one of Encoder, SkillModel, Dynamics, Heads, Planner, Agent, Task); "
        "it is skipped",
    ),
    "the contract itself": (
        PART + PARTS + "[Planner]",
        "part Planner is the contract itself, expected a subclass of it; it is skipped",
    ),
    "members missing": (
        PART + "\nclass Half(Planner):\n    def paln(self): ...\n" + PARTS + "[Half]",
        "part Half lacks initial_memory, plan (misspelt as 'paln'?) of the contract Planner; it is skipped",
    ),
    "written for a newer smbrl": (
        PART + "\n@hookimpl\ndef smbrl_contract(): return 2\n" + PARTS + "[Extra]",
        f"was written for version 2 of smbrl's contracts, smbrl {__version__} has 1: install a newer smbrl; "
        "the plugin is skipped",
    ),
    "written for an older smbrl": (
        PART + "\n@hookimpl\ndef smbrl_contract(): return 0\n" + PARTS + "[Extra]",
        f"was written for version 0 of smbrl's contracts, smbrl {__version__} has 1: install a newer acme; "
        "the plugin is skipped",
    ),
    "contract version is text": (
        PART + "\n@hookimpl\ndef smbrl_contract(): return '1'\n" + PARTS + "[Extra]",
        "hook smbrl_contract returned str '1', expected a number; it is skipped",
    ),
    "method of an older contract": (
        PART + "\nclass Old(Dynamics):\n    def __init__(self, latent, decision): ...\n"
        "    def step(self, state, decision): ...\n" + PARTS + "[Old]",
        "part Old has step(state, decision), the contract Dynamics calls it with (state, decision, generator): "
        "it was written for another version of smbrl, or is wrong; it is skipped",
    ),
    "constructor of another contract": (
        PART + "\nclass Odd(Encoder):\n    def __init__(self, spec, latent, width): ...\n"
        "    def forward(self, obs): ...\n" + PARTS + "[Odd]",
        "part Odd takes (spec, latent, width) in its constructor, the contract Encoder gives (spec, latent); "
        "what gin binds comes after a *, with a default; it is skipped",
    ),
    "two contracts": (
        PART + "\nclass Both(Extra, Dynamics):\n    def step(self, state, decision): ...\n" + PARTS + "[Both]",
        "part Both implements 2 contracts, expected one; it is skipped",
    ),
    "keyword arguments": (
        PART + "\nclass Open(Extra):\n    def __init__(self, **settings): ...\n" + PARTS + "[Open]",
        "part Open has **settings in its constructor; name every parameter, so that a misspelt binding is found; "
        "it is skipped",
    ),
    "no constructor": (
        PART + "\nclass Bare(Dynamics):\n    def step(self, state, decision, generator=None): ...\n" + PARTS + "[Bare]",
        "part Bare has *args in its constructor; name every parameter, so that a misspelt binding is found; it is skipped",
    ),
    "name of a setting": (
        HEAD.format(name="Online") + PARTS + "[Online]",
        "part Online has a name that smbrl uses in gin files: rename the class; it is skipped",
    ),
    "twice": (
        PART + PARTS + "[Extra, Extra]",
        "part Extra is already registered by plugin 'of-acme' of acme 1.2: rename the class; it is skipped",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_plugin_is_one_line_and_nothing_else(
    install: Install, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(logging.getLogger("smbrl"), "propagate", True)
    source, expected = WRONG[name]
    registry = install({"acme": source, "good": HEAD.format(name="Good") + PARTS + "[Good]"})
    lines = [line for line in registry.problems if "acme" in line]
    assert lines[0].startswith("plugin 'of-acme' of acme 1.2: ")
    assert lines[0].endswith(expected)
    assert "\n" not in lines[0]
    assert lines[0] in [record.getMessage() for record in caplog.records]
    assert "Good" in registry.parts  # the others go on
    assert {info.name for info in load_plugins(third_party=False).of_kind(None)} <= set(registry.parts)


def test_what_is_right_in_a_plugin_is_kept(install: Install) -> None:
    registry = install({"acme": PART + PARTS + "[Extra, int, 3]"})
    assert "Extra" in registry.parts
    assert len(registry.problems) == 2


def test_half_an_import_leaves_nothing_with_gin(install: Install) -> None:
    install({"acme": "import gin\n@gin.configurable\ndef left_over(x=1): ...\nraise ValueError('no')\n"})
    assert not gin.config._REGISTRY.matching_selectors("left_over")


def test_the_first_distribution_by_name_keeps_a_name(install: Install) -> None:
    registry = install({"bcme": PART + PARTS + "[Extra]", "acme": PART + PARTS + "[Extra]"})
    assert registry.parts["Extra"].distribution == "acme"
    assert registry.problems == [
        "plugin 'of-bcme' of bcme 1.2: part Extra is already registered by plugin 'of-acme' of acme 1.2: "
        "rename the class; it is skipped"
    ]


def test_built_in_names_win(install: Install) -> None:
    taken = load_plugins(third_party=False).of_kind("planner")[0].name
    registry = install({"aaa": HEAD.format(name=taken) + PARTS + f"[{taken}]"})
    assert registry.parts[taken].distribution == "smbrl"
    (line,) = registry.problems
    assert line.startswith(
        f"plugin 'of-aaa' of aaa 1.2: part {taken} is already registered by plugin 'builtin' of smbrl"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[smbrl]\nno equals sign\n", "its entry_points.txt cannot be read"),
        ("[smbrl]\nx = not a module\n", "entry point 'not a module' is neither 'module' nor 'module:object'"),
        ("[smbrl]\nx = sys:missing\n", "AttributeError: module 'sys' has no attribute 'missing'"),
        ("[smbrl]\nx = sys:maxsize\n", "offers nothing"),
    ],
)
def test_a_broken_distribution_is_one_line(install: Install, tmp_path: Path, text: str, expected: str) -> None:
    distribute(tmp_path, "acme", text)
    (line,) = install({}).problems
    assert "of acme 1.2: " in line
    assert expected in line


def test_a_distribution_without_metadata_is_no_obstacle(install: Install, tmp_path: Path) -> None:
    import importlib_metadata  # MLflow's dependency: once imported, its finder (which raises) answers before Python's

    assert importlib_metadata.distribution
    distribute(tmp_path, "acme", "[smbrl]\nx = no_such_module_anywhere\n")
    (tmp_path / "acme-1.2.dist-info" / "METADATA").unlink()
    (line,) = install({}).problems
    assert "No module named 'no_such_module_anywhere'" in line


@pytest.mark.parametrize(
    ("requires", "state"),
    [("smbrl>=99", "skipped"), ("smbrl<0.1", "skipped"), ("smbrl>=0.1,<1", "ok"), ('smbrl>=99; extra == "new"', "ok")],
)
def test_a_plugin_for_another_smbrl_is_not_imported(
    install: Install, tmp_path: Path, requires: str, state: str
) -> None:
    (tmp_path / "plugin_acme.py").write_text(PART + PARTS + "[Extra]")
    distribute(tmp_path, "acme", "[smbrl]\na = plugin_acme\n", requires=requires)
    registry = install({})
    sys.modules.pop("plugin_acme", None)
    assert {s.source.distribution: s.state for s in registry.states} == {"smbrl": "ok", "acme": state}
    if state == "skipped":
        assert registry.problems == [
            f"plugin 'a' of acme 1.2: needs {requires}, this is smbrl {__version__}: install versions that fit; "
            "it is skipped"
        ]


def test_a_slow_plugin_is_named_and_used(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "SLOW", 0.05)
    registry = install({"acme": "import time; time.sleep(0.1)\n" + PART + PARTS + "[Extra]"})
    (line,) = registry.problems
    assert "s to import: import heavy packages inside the functions that need them" in line
    assert registry.states[-1].state == "slow"
    assert "Extra" in registry.parts


def test_a_plugin_that_hangs_is_named_while_it_does(
    install: Install, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("smbrl"), "propagate", True)
    monkeypatch.setattr(discovery, "HANGS", 0.05)
    install({"acme": "import time; time.sleep(0.3)\n" + PART + PARTS + "[Extra]"})
    lines = [record.getMessage() for record in caplog.records]
    assert (
        "plugin 'of-acme' of acme 1.2: is still being imported after 0.05 s; SMBRL_NO_PLUGINS=1 leaves it out" in lines
    )


def test_what_became_of_each_plugin_is_known(install: Install, tmp_path: Path) -> None:
    (tmp_path / "gins").mkdir()
    gins = "\nfrom pathlib import Path\n@hookimpl\ndef smbrl_gin(): return [Path(__file__).parent / 'gins']\n"
    registry = install(
        {
            "good": PART + PARTS + "[Extra]" + gins,
            "half": HEAD.format(name="Half") + PARTS + "[Half, int]",
            "none": "raise RuntimeError",
        }
    )
    states = {state.source.distribution: state for state in registry.states}
    assert {name: state.state for name, state in states.items()} == {
        "smbrl": "ok",
        "good": "ok",
        "half": "partly",
        "none": "skipped",
    }
    assert (states["good"].parts, states["good"].gin_folders) == (["Extra"], 1)
    assert states["half"].parts == ["Half"]
    assert states["none"].problems == ["cannot be imported (plugin_none): RuntimeError; it is skipped"]
    off = install({}, third_party=False)
    assert [state.state for state in off.states] == ["ok", "off", "off", "off"]


# -- messages about configurations name the plugin -------------------------------------------------
FRAGILE = """
class Fragile(Extra):
    '''A planner that cannot be built with fewer than three samples.'''
    def __init__(self, *, samples: int = 3) -> None:
        if samples == 1: raise ValueError("one is not enough")
        if samples == 2: raise KeyError("two")
"""


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("Fragile.smaples=3", "Fragile (of acme 1.2) has no parameter 'smaples': did you mean 'samples'?"),
        ("Fragile.samples='x'", "Fragile.samples (of acme 1.2): "),
        ("Fragile.samples=1", "Fragile (of acme 1.2) refuses its settings: one is not enough"),
        ("Fragile.samples=2", "Fragile (of acme 1.2) cannot be built: KeyError: 'two' (plugin_acme.py:15); try: smbrl"),
    ],
)
def test_a_message_about_a_part_names_its_plugin(install: Install, override: str, expected: str) -> None:
    install({"acme": PART + FRAGILE + PARTS + "[Fragile]"})
    with pytest.raises(SmbrlError) as error:
        config.load(["skimo_maze"], ["LatentMPC.planner=@Fragile", override]).build()
    assert expected in str(error.value)
    with pytest.raises(SmbrlError, match=r"Fragile \(of acme 1.2\) is not part of this run"):
        config.load(["skimo_maze"], ["Fragile.samples=3"])


# -- asking ----------------------------------------------------------------------------------------
def test_unknown_names_get_the_closest_match(install: Install) -> None:
    registry = install({"acme": PART + PARTS + "[Extra]"})
    with pytest.raises(SmbrlError, match=r"^unknown planner 'Extre': did you mean 'Extra'\?$"):
        registry.get("planner", "Extre")
    with pytest.raises(SmbrlError, match=r"^unknown kind 'planer': did you mean 'planner'\?$"):
        registry.get("planer", "Extra")
    with pytest.raises(SmbrlError, match=r"^Extra is a planner, not an encoder: "):
        registry.get("encoder", "Extra")


def test_an_unknown_name_that_a_broken_plugin_would_have_offered_says_so(install: Install) -> None:
    registry = install({"acme": PART + "\nclass Half(Planner): ...\n" + PARTS + "[Half]"})
    with pytest.raises(SmbrlError, match=r"unknown planner 'Half': .*\(plugin 'of-acme' of acme 1.2: part Half lacks"):
        registry.get("planner", "Half")


def test_reserved_names_are_those_of_the_core() -> None:
    """A part may not hide a setting of the core; the list in the registry must know them all."""
    importlib.import_module("smbrl.training.experiment")
    core = {entry.name for selector, entry in gin.config._REGISTRY.items() if entry.module == "smbrl"}
    assert core <= RESERVED


def test_two_plugins_may_be_one_module(install: Install, tmp_path: Path) -> None:
    (tmp_path / "plugin_same.py").write_text(PART + PARTS + "[Extra]")
    distribute(tmp_path, "acme", "[smbrl]\na = plugin_same\nb = plugin_same\n")
    registry = install({})
    assert registry.problems == [
        "plugin 'b' of acme 1.2: is the same object as a plugin already loaded, or has its name; it is skipped"
    ]


def test_a_plugin_that_lies_about_its_attributes_is_no_obstacle() -> None:
    class Liar:
        def __dir__(self) -> list[str]:
            raise RuntimeError("no")

    registry = Registry()
    registry.add(Liar(), Source("liar", "acme", "1"))
    assert registry.problems == [
        "plugin 'liar' of acme 1: cannot be used: RuntimeError: no; what it offers from there on is skipped"
    ]


def test_a_part_can_be_shared_by_two_registries() -> None:
    built_in = load_plugins(third_party=False).of_kind("planner")[0]
    plugin: Any = types.ModuleType("shared")

    def smbrl_parts() -> list[type]:
        return [built_in.cls]

    plugin.smbrl_parts = hookimpl(smbrl_parts)
    registry = Registry()
    registry.add(plugin, Source("shared", "acme", "1"))
    assert registry.problems == []
    assert registry.parts[built_in.name].configured is built_in.configured


# -- from outside ----------------------------------------------------------------------------------
def test_the_command_line_warns_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "plugin_acme.py").write_text("import no_such_module_anywhere")
    distribute(tmp_path, "acme", "[smbrl]\nbroken = plugin_acme\n")
    code = "from smbrl_cli import main; main()"
    run = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*run, "list"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert done.stderr == (
        "warning: plugin 'broken' of acme 1.2: cannot be imported (plugin_acme): "
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'; it is skipped\n"
    )
    done = subprocess.run([*run, "--no-plugins", "list"], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
