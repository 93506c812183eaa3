"""Right configurations: what they amount to, how they layer, that they round-trip and build."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import gin
import gin.config
import pytest

from smbrl import config
from smbrl.config import Config
from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec
from smbrl.registry import Registry

BASE = """\
Trial.task = @Line
Trial.agent = @Learner
Learner.planner = @Search
Search.samples = 32
"""

Load = Callable[..., Config]


@pytest.fixture
def reload(registry: Registry) -> Callable[[Config], Config]:
    def reload(loaded: Config) -> Config:
        return config.load_text(loaded.text, registry=registry, root=loaded._names.root.target)

    return reload


# -- text ------------------------------------------------------------------------------------------
TEXTS = {
    "plain": BASE,
    "block": BASE + "Pace:\n  steps = 3\n  rate = 1\n",
    "macros": BASE + "n = 3\npair = (%n, %n)\nPace.steps = %n\nPace.sizes = %pair\n",
    "macro of a part": BASE.replace("@Search", "%plan") + "plan = @Search\n",
    "scopes": BASE + "Learner.second = @wide/Dot\nwide/Dot.width = 3\nDot.scale = 2.0\nDot.width = 5\n",
    "nested scopes": BASE + "Learner.second = @a/b/Dot\na/b/Dot.width = 3\na/Dot.scale = 2.0\n",
    "values": BASE
    + "Pace.limit = 1e-5\nPace.sizes = (1,)\nPace.tags = ['it\\'s', \"a \\\"b\\\"\\n\"]\nPace.weights = {'a': -1.0}\n"
    + "Pace.anything = [None, True, {'k': (1, [2.5])}, @Search]\n",
    "empty containers": BASE + "Pace.sizes = ()\nPace.tags = []\nPace.weights = {}\n",
    "module in front": BASE + "smbrl_test.Pace.steps = 3\n",
    "None for a part": BASE.replace("@Search", "None").replace("Search.samples = 32\n", ""),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_round_trips(load: Load, reload: Callable[[Config], Config], name: str) -> None:
    loaded = load(TEXTS[name])
    again = reload(loaded)
    assert again.text == loaded.text
    assert [(p.owner, p.name, p.value) for p in again.parameters()] == [
        (p.owner, p.name, p.value) for p in loaded.parameters()
    ]


def test_text_is_complete(load: Load) -> None:
    """Defaults are in it, so that a stored run keeps its numbers when a default changes."""
    text = load(BASE + "steps = 3\nPace.steps = %steps\n").text
    assert "Pace.steps = 3\n" in text
    assert "Pace.rate = 0.5\n" in text
    assert "Learner.encoder = @Dot\n" in text
    assert "Dot.width = 8\n" in text
    assert "%" not in text


def test_text_does_not_depend_on_how_it_was_written(load: Load) -> None:
    lines = BASE.splitlines()
    shuffled = "\n".join(reversed(lines)) + "\nn = 3\nPace:\n  steps = %n\n"
    assert load(BASE + "Pace.steps = 3\n").text == load(shuffled).text


def test_text_needs_no_other_file(load: Load, reload: Callable[[Config], Config], tmp_path: Path) -> None:
    loaded = load({"a.gin": "include 'sub/b.gin'\n", "sub/b.gin": BASE}, "Pace.steps=4", files=["a.gin"])
    os.remove(tmp_path / "a.gin")
    os.remove(tmp_path / "sub" / "b.gin")
    assert reload(loaded).value("Pace.steps") == 4


def test_stored_text_takes_overrides(registry: Registry, load: Load) -> None:
    loaded = load(BASE)
    changed = config.load_text(
        loaded.text, ["Learner.planner=@Guess"], registry=registry, root=loaded._names.root.target
    )
    assert changed.value("Learner.planner") == "@Guess"
    assert [name for name, *_ in changed.not_used] == ["Search.samples", "Search.start"]


def test_an_error_in_stored_text_names_it(registry: Registry, load: Load) -> None:
    root = load(BASE)._names.root.target
    with pytest.raises(SmbrlError, match=r"^old/config.gin:5: unknown name 'Gone'"):
        config.load_text(BASE + "Gone.x = 1\n", label="old/config.gin", registry=registry, root=root)


# -- layers ----------------------------------------------------------------------------------------
def test_later_files_and_overrides_win(load: Load) -> None:
    files = {
        "a.gin": BASE + "Pace.steps = 1\nPace.rate = 0.1\nn = 1\nPace.limit = %n\n",
        "b.gin": "Pace.steps = 2\nn = 2\n",
    }
    loaded = load(files, "Pace.rate=0.3")
    assert (loaded.value("Pace.steps"), loaded.value("Pace.rate"), loaded.value("Pace.limit")) == (2, 0.3, 2)
    places = {f"{p.owner}.{p.name}": p.place for p in loaded.parameters()}
    assert places["Pace.steps"] == "b.gin:1"
    assert places["Pace.rate"] == "override 'Pace.rate=0.3'"
    assert places["Pace.limit"] == "a.gin:8"
    assert places["Pace.quiet"] is None


def test_an_including_file_wins_against_what_it_includes(load: Load) -> None:
    loaded = load({"a.gin": "include 'b.gin'\nSearch.samples = 1\n", "b.gin": BASE}, files=["a.gin"])
    assert loaded.value("Search.samples") == 1


def test_an_overlay_may_leave_a_part_without_use(load: Load) -> None:
    """An ablation is one line; what configured the part it removes stays, and is reported."""
    loaded = load({"a.gin": BASE, "off.gin": "Learner.planner = None\n"})
    ((name, value, place, reason),) = loaded.not_used
    assert (name, value, place) == ("Search.samples", "32", "a.gin:4")
    assert "Learner.planner is None at off.gin:1" in reason
    assert "Search" not in loaded.text


def test_an_override_may_leave_a_part_without_use(load: Load) -> None:
    assert [name for name, *_ in load(BASE, "Learner.planner=@Guess", "Guess.luck=0.1").not_used] == ["Search.samples"]


def test_an_including_file_may_leave_a_part_without_use(load: Load) -> None:
    files = {"a.gin": "include 'b.gin'\nLearner.planner = None\n", "b.gin": BASE}
    assert [name for name, *_ in load(files, files=["a.gin"]).not_used] == ["Search.samples"]


def test_an_included_file_may_come_before_what_uses_it(load: Load) -> None:
    """Method files bind parts that only the file including them puts together."""
    files = {
        "a.gin": "include 'm.gin'\n" + BASE,
        "m.gin": "Search.start = 'narrow'\n",
        "off.gin": "Learner.planner = None\n",
    }
    assert load(files, files=["a.gin"]).value("Search.start") == "narrow"
    assert len(load(files, files=["a.gin", "off.gin"]).not_used) == 2


def test_an_overlay_may_leave_a_macro_without_use(load: Load) -> None:
    loaded = load({"a.gin": BASE + "n = 3\nPace.steps = %n\n", "b.gin": "Pace.steps = 5\n"})
    assert [name for name, *_ in loaded.not_used] == ["n"]


def test_a_budget_between_base_and_ablation_is_fine(load: Load) -> None:
    files = {"a.gin": BASE, "small.gin": "Search.samples = 2\n", "off.gin": "Learner.planner = None\n"}
    assert len(load(files).not_used) == 1


# -- files -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["line_trial", "line_trial.gin", "gin/line_trial.gin", "./gin/line_trial"])
def test_packaged_files_are_found(load: Load, name: str) -> None:
    loaded = load({}, files=[name])
    assert (loaded.value("Line.size"), loaded.value("Search.samples")) == (5, 32)


def test_a_file_here_comes_before_a_packaged_one(load: Load) -> None:
    loaded = load({"line_trial.gin": BASE + "Search.start = 'narrow'\n"}, files=["line_trial"])
    assert loaded.value("Search.start") == "narrow"


def test_a_path_to_a_packaged_file_is_the_same_file(load: Load, registry: Registry) -> None:
    (folder,) = registry.gin_folders()
    assert load({}, files=[str(folder / "line_trial.gin")]).text == load({}, files=["line_trial"]).text


def test_includes_are_found_beside_the_file_and_among_the_packaged(load: Load) -> None:
    files = {
        "sub/a.gin": "include 'more/b.gin'\ninclude 'tasks/line'\n",
        "sub/more/b.gin": "include '../c.gin'\n",
        "sub/c.gin": "Trial.agent = @Learner\nLine.size = 9\n",
    }
    loaded = load(files, files=["sub/a.gin"])
    assert loaded.value("Trial.task") == "@Line"
    assert loaded.value("Line.size") == 5  # tasks/line comes later


def test_a_file_included_twice_counts_once(load: Load) -> None:
    files = {
        "a.gin": "include 'b.gin'\nSearch.samples = 7\n",
        "b.gin": BASE,
        "o.gin": "include 'b.gin'\nPace.steps = 1\n",
    }
    assert load(files, files=["a.gin", "o.gin"]).value("Search.samples") == 7


def test_a_byte_order_mark_and_windows_line_ends_are_fine(load: Load) -> None:
    loaded = load({"run.gin": b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode()})
    assert loaded.value("Search.samples") == 32


# -- building --------------------------------------------------------------------------------------
def test_build_gives_every_part_its_values(load: Load) -> None:
    text = BASE + "Learner.second = @wide/Dot\nwide/Dot.width = 3\nPace.steps = 7\nTrial.seed = 5\n"
    trial = load(text).build()
    assert (trial.seed, trial.pace.steps) == (5, 7)
    assert trial.agent.planner.samples == 32
    assert (trial.agent.encoder.width, trial.agent.second.width) == (8, 3)


def test_a_part_that_is_a_default_is_configured_too(load: Load) -> None:
    trial = load(BASE + "Dot.width = 3\n").build()
    assert trial.agent.encoder.width == 3


def test_settings_record_what_gin_injected(load: Load) -> None:
    trial = load(BASE + "Dot.width = 3\n").build()
    assert trial.agent.planner.settings == {"samples": 32, "start": "wide"}
    assert trial.agent.encoder.settings | {"spec": None} == {"spec": None, "latent": 4, "width": 3, "scale": 1.0}
    assert trial.agent.settings["latent"] == 4


def test_settings_of_an_inherited_constructor_are_recorded(load: Load) -> None:
    trial = load(BASE + "Learner.encoder = @Ring\nRing.width = 2\n").build()
    assert trial.agent.encoder.settings["width"] == 2
    assert type(trial.agent.encoder).__name__ == "Ring"


def test_built_objects_are_of_the_plain_class(load: Load, registry: Registry) -> None:
    """What gin wraps around a class is not in the objects: they can be copied and compared as if built by hand."""
    planner = load(BASE).build().agent.planner
    assert type(planner) is registry.get("planner", "Search").cls


def test_bindings_do_not_leak_into_the_next_configuration(load: Load) -> None:
    assert load(BASE + "Pace.steps = 99\n").build().pace.steps == 99
    for _ in range(3):
        assert load(BASE).build().pace.steps == 10


def test_loading_leaves_the_active_configuration_alone(load: Load) -> None:
    first = load(BASE + "Pace.steps = 99\n")
    first.activate()
    load(BASE)
    assert gin.query_parameter("smbrl_test.Pace.steps") == 99


def test_a_locked_configuration_is_no_obstacle(load: Load) -> None:
    load(BASE).activate()
    gin.finalize()
    assert load(BASE + "Pace.steps = 3\n").build().pace.steps == 3


def test_something_else_of_the_same_name_in_gin_is_no_obstacle(load: Load) -> None:
    class Search:
        def __init__(self, samples: int = 1) -> None: ...

    gin.external_configurable(Search, module="elsewhere")
    try:
        assert load(BASE).build().agent.planner.samples == 32
    finally:
        gin.config._REGISTRY.pop("elsewhere.Search")


def test_a_part_that_refuses_its_settings_is_named(load: Load) -> None:
    with pytest.raises(SmbrlError, match=r"^Search refuses its settings: samples is -1, it must be at least 1$"):
        load(BASE, "Search.samples=-1").build()


def test_a_value_its_builder_overrules_is_an_error(registry: Registry, load: Load) -> None:
    loaded = load(BASE + "Dot.width = 3\n")
    loaded.activate()
    registry.get("encoder", "Dot").configured(TaskSpec.plain(2, 1), 2, width=9)
    with pytest.raises(SmbrlError, match=r"run.gin:5: Dot.width has no effect, whoever builds Dot"):
        loaded.verify()


def test_operative_tells_what_was_handed_out(load: Load) -> None:
    loaded = load(BASE)
    loaded.build()
    assert "Search.samples = 32" in loaded.operative
    assert "Pace.rate = 0.5" in loaded.operative


def test_an_unknown_parameter_has_no_value(load: Load) -> None:
    with pytest.raises(KeyError):
        load(BASE).value("Guess.luck")


def test_two_loads_of_one_file_are_equal(load: Load) -> None:
    assert load(BASE).text == load(BASE).text
