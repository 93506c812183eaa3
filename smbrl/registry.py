"""Find plugins, register their parts, and say in one line what is wrong with those that cannot be used.

Every part comes in through the hooks of ``smbrl.hookspecs``, the built-in ones too. Plugins are loaded one
by one; whatever is wrong with one becomes a line in ``Registry.problems`` (and a warning in the log) that names
the plugin, its distribution and the part, and that plugin or part is left out. Built-in names win.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

import gin
import gin.config
import pluggy

from smbrl import __version__, hookspecs
from smbrl.discovery import SLOW, SLOW_WORDS, PluginState, Source, entry_points, misfit, named, timed
from smbrl.errors import SmbrlError, suggestion
from smbrl.faults import article, part_fault, spoken
from smbrl.interfaces import KINDS, Part

logger = logging.getLogger(__name__)

NO_PLUGINS = "SMBRL_NO_PLUGINS"
"""Environment variable: 1 leaves third-party plugins out."""
RESERVED = frozenset({"Experiment", "Pretraining", "Online", "Evaluation", "Checkpoints", "Tracking", "singleton"})
"""Names in gin files that are not parts; a part cannot take them."""


@dataclass(frozen=True)
class PartInfo:
    """A registered part.

    Attributes:
        name: its class name, by which gin files know it.
        kind: of its contract, a key of ``smbrl.interfaces.KINDS``.
        cls: the class itself, which gin does not touch.
        configured: what ``@Name`` in a gin file stands for: the class with its bindings filled in.
        source: who offers it.
    """

    name: str
    kind: str
    cls: type[Part]
    configured: type[Part]
    source: Source

    @property
    def plugin(self) -> str:
        """Name of the entry point."""
        return self.source.plugin

    @property
    def distribution(self) -> str:
        """Name of the installed distribution."""
        return self.source.distribution

    @property
    def version(self) -> str:
        """Version of the distribution."""
        return self.source.version

    @property
    def summary(self) -> str:
        """The docstring's first paragraph, on one line."""
        own = self.cls.__dict__.get("__doc__") or ""
        return " ".join(inspect.cleandoc(own).split("\n\n")[0].split())


@dataclass(frozen=True)
class GinFolder:
    """A folder of gin files that a plugin ships."""

    folder: Traversable
    source: Source


class Registry:
    """What the loaded plugins offer.

    Attributes:
        parts: by name.
        problems: one line for everything that could not be used.
        gin: folders with gin files, built-in first.
        environments: Gymnasium id -> entry point, registered with Gymnasium.
        third_party: whether third-party plugins were asked for.
        states: what became of every plugin that was found, in order.
    """

    def __init__(self, *, third_party: bool = True) -> None:
        self.parts: dict[str, PartInfo] = {}
        self.problems: list[str] = []
        self.gin: list[GinFolder] = []
        self.environments: dict[str, str] = {}
        self.third_party = third_party
        self.states: list[PluginState] = []
        self._manager = pluggy.PluginManager("smbrl")
        self._manager.add_hookspecs(hookspecs)

    # -- asking ------------------------------------------------------------------------------------
    def get(self, kind: str | None, name: str) -> PartInfo:
        """The part of a kind by its name (any kind where ``kind`` is None).

        Raises:
            SmbrlError: the kind or the name is unknown, or the part is of another kind.
        """
        if kind is not None and kind not in KINDS:
            raise SmbrlError(f"unknown kind {kind!r}: {suggestion(kind, KINDS)}")
        info = self.parts.get(name)
        known = [part.name for part in self.of_kind(kind)]
        if info is None:
            raise SmbrlError(f"unknown {spoken(kind)} {name!r}: {suggestion(name, known)}{self.excuse(name)}")
        if kind is not None and info.kind != kind:
            raise SmbrlError(f"{name} is {article(info.kind)}, not {article(kind)}: {suggestion(name, known)}")
        return info

    def of_kind(self, kind: str | None) -> list[PartInfo]:
        """The parts of a kind (all where None), by kind and name."""
        order = list(KINDS)
        chosen = (info for info in self.parts.values() if kind is None or info.kind == kind)
        return sorted(chosen, key=lambda info: (order.index(info.kind), info.name))

    def gin_folders(self) -> list[Traversable]:
        """Folders with gin files, built-in first."""
        return [entry.folder for entry in self.gin]

    def excuse(self, name: str) -> str:
        """A clause for "unknown name" errors: why a name that should be there might not be."""
        about = [line for line in self.problems if re.search(rf"\b{re.escape(name)}\b", line)]
        if about:
            return f" ({about[0]})"
        if not self.third_party:
            return f" (third-party plugins are off: --no-plugins or {NO_PLUGINS})"
        if self.problems:
            return f" ({len(self.problems)} problem(s) with plugins, see the warnings or `smbrl doctor`)"
        return ""

    # -- filling -----------------------------------------------------------------------------------
    def add(self, plugin: object, source: Source) -> None:
        """Take in what a plugin (module or object with hook implementations) offers; never raises.

        Anything wrong with it goes to ``problems``.
        """
        try:
            self._add(plugin, source)
        except Exception as error:  # a plugin is foreign code: whatever it does, smbrl goes on without it
            self.problem(source, f"cannot be used: {named(error)}; what it offers from there on is skipped")

    def _add(self, plugin: object, source: Source) -> None:
        if not self._register(plugin, source) or not self._fits(plugin, source):
            return
        self.state(source).loaded = True
        for part in self._call("smbrl_parts", plugin, source, (list, tuple), "a list of part classes"):
            self.add_part(part, source)
        for folder in self._call("smbrl_gin", plugin, source, (list, tuple), "a list of folders"):
            self._add_folder(folder, source)
        environments = self._call("smbrl_environments", plugin, source, Mapping, "a mapping of ids to 'module:Class'")
        for name, entry in dict(environments).items():
            self._add_environment(name, entry, source)

    def problem(self, source: Source, what: str) -> None:
        """Note one line about a plugin."""
        what = " ".join(what.split())
        line = f"{source}: {what}"
        self.problems.append(line)
        self.state(source).problems.append(what)
        logger.warning("%s", line)

    def state(self, source: Source, value: str = "") -> PluginState:
        """What became of a plugin, so far."""
        for state in self.states:
            if state.source == source:
                return state
        self.states.append(PluginState(source, value))
        return self.states[-1]

    def _fits(self, plugin: object, source: Source) -> bool:
        """Whether the plugin was written for the contracts as they are."""
        version = self._call("smbrl_contract", plugin, source, int, "a number")
        if version in ((), hookspecs.CONTRACT_VERSION):
            return True
        older = "smbrl" if version > hookspecs.CONTRACT_VERSION else source.distribution
        self.problem(
            source,
            f"was written for version {version} of smbrl's contracts, smbrl {__version__} has "
            f"{hookspecs.CONTRACT_VERSION}: install a newer {older}; the plugin is skipped",
        )
        return False

    def _register(self, plugin: object, source: Source) -> bool:
        known = {name for name in vars(hookspecs) if name.startswith("smbrl_")}
        implemented = []
        for name in dir(plugin):
            options = self._manager.parse_hookimpl_opts(plugin, name)
            if options is None:
                if name in known and inspect.isroutine(getattr(plugin, name, None)):
                    self.problem(source, f"{name} is not marked with @smbrl.hookspecs.hookimpl; it is not called")
                continue
            if name not in known:
                self.problem(source, f"unknown hook {name!r}: {suggestion(name, known)}; the plugin is skipped")
                return False
            implemented.append(name)
            if options["wrapper"] or options["hookwrapper"]:
                self.problem(source, f"{name} is a hook wrapper, which smbrl does not support; the plugin is skipped")
                return False
        if not {*implemented} - {"smbrl_contract"}:
            hooks = ", ".join(sorted(known - {"smbrl_contract"}))
            self.problem(source, f"offers nothing: no function {hooks} marked with @smbrl.hookspecs.hookimpl")
            return False
        try:
            self._manager.register(plugin, name=f"{source.distribution}:{source.plugin}")
        except pluggy.PluginValidationError as error:
            if self._manager.is_registered(plugin):  # some versions of pluggy keep what they refused
                self._manager.unregister(plugin)
            detail = str(error).splitlines()[-1]
            self.problem(source, f"wrong hook arguments: {detail}; hooks of smbrl take none; the plugin is skipped")
            return False
        except ValueError:
            self.problem(source, "is the same object as a plugin already loaded, or has its name; it is skipped")
            return False
        return True

    def _call(self, hook: str, plugin: object, source: Source, wanted: Any, spoken_wanted: str) -> Any:
        """The result of one plugin's hook, or nothing where it has none or it is unusable."""
        callers = self._manager.get_hookcallers(plugin) or []
        if hook not in [caller.name for caller in callers]:
            return ()
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        try:
            results = self._manager.subset_hook_caller(hook, others)()
        except (Exception, SystemExit) as error:
            self.problem(source, f"hook {hook} raised {named(error)}; what it offers is skipped")
            return ()
        result = results[0] if results else None  # pluggy drops None
        if not isinstance(result, wanted):
            found = "None" if result is None else f"{type(result).__name__} {result!r:.60}"
            self.problem(source, f"hook {hook} returned {found}, expected {spoken_wanted}; it is skipped")
            return ()
        return result

    def add_part(self, part: object, source: Source) -> None:
        """Take in one part; never raises, as ``add``."""
        fault = part_fault(part)
        if fault is not None:
            self.problem(source, f"{fault}; it is skipped")
            return
        assert isinstance(part, type)
        name = part.__name__
        if name in RESERVED:
            self.problem(
                source, f"part {name} has a name that smbrl uses in gin files: rename the class; it is skipped"
            )
            return
        if name in self.parts:
            first = self.parts[name].source
            self.problem(source, f"part {name} is already registered by {first}: rename the class; it is skipped")
            return
        kind = next(kind for kind, contract in KINDS.items() if issubclass(part, contract))
        self.parts[name] = PartInfo(name, kind, part, _configured(part, source.plugin), source)
        self.state(source).parts.append(name)

    def _add_folder(self, folder: object, source: Source) -> None:
        try:
            usable = isinstance(folder, Traversable) and folder.is_dir()
        except OSError:
            usable = False
        if usable:
            assert isinstance(folder, Traversable)
            self.gin.append(GinFolder(folder, source))
            self.state(source).gin_folders += 1
        else:
            self.problem(source, f"hook smbrl_gin names {folder!r}, which is not an existing folder; it is skipped")

    def _add_environment(self, name: object, entry: object, source: Source) -> None:
        if not isinstance(name, str) or not isinstance(entry, str) or not re.fullmatch(r"[\w.]+:[\w.]+", entry):
            self.problem(source, f"environment {name!r}: {entry!r} is not an entry point 'module:Class'; it is skipped")
            return
        import gymnasium  # not at the top: an exported policy acts without environments

        known = gymnasium.registry.get(name)
        if known is None:
            try:
                gymnasium.register(id=name, entry_point=entry)
            except (gymnasium.error.Error, ValueError) as error:
                self.problem(source, f"environment {name!r}: {named(error)}; it is skipped")
                return
        elif known.entry_point != entry:
            self.problem(source, f"environment {name!r} is already registered as {known.entry_point}; it is skipped")
            return
        self.environments[name] = entry
        self.state(source).environments += 1


def load_plugins(third_party: bool | None = None) -> Registry:
    """Load every installed plugin, once per process.

    Args:
        third_party: whether to load other plugins than smbrl's own; None asks the environment
            variable ``SMBRL_NO_PLUGINS``.
    """
    if third_party is None:
        third_party = os.environ.get(NO_PLUGINS, "0").strip().lower() in ("", "0", "false", "no")
    return _load(third_party)


@functools.cache
def _load(third_party: bool) -> Registry:
    registry = Registry(third_party=third_party)
    for source, entry in entry_points(registry.problem):
        state = registry.state(source, entry.value)
        if not source.built_in and not third_party:
            state.asked = False
            continue
        fault = None if source.built_in else misfit(entry)
        if fault is not None:
            registry.problem(source, f"{fault}; it is skipped")
            continue
        known = set(_gin_names())
        try:
            with timed(state):
                plugin = entry.load()
        except (Exception, SystemExit) as error:
            for name in set(_gin_names()) - known:  # half an import must leave nothing behind
                gin.config._REGISTRY.pop(name)
            registry.problem(source, f"cannot be imported ({entry.value}): {named(error)}; it is skipped")
            continue
        if state.seconds > SLOW and not source.built_in:
            advice = "import heavy packages inside the functions that need them"
            registry.problem(source, f"took {state.seconds:.1f} {SLOW_WORDS}: {advice}")
        registry.add(plugin, source)
    return registry


def _gin_names() -> Iterable[str]:
    return [name for name, _ in gin.config._REGISTRY.items()]


_CONFIGURED: dict[type[Part], type[Part]] = {}


def _configured(cls: type[Part], plugin: str) -> type[Part]:
    """Register a class with gin, once: two registries in one process share it."""
    if cls not in _CONFIGURED:
        module = re.sub(r"\W", "_", plugin) or "_"
        if module[0].isdigit() or module in ("smbrl", "gin"):  # not a name, or one that means something else
            module = f"_{module}"
        taken = gin.config._REGISTRY.get(f"{module}.{cls.__name__}")
        if taken is not None:  # the same plugin name in another registry of this process
            gin.config._REGISTRY.pop(taken.selector)
        _CONFIGURED[cls] = gin.external_configurable(cls, name=cls.__name__, module=module)
    return _CONFIGURED[cls]


def is_configured_part(target: object, configured: object) -> bool:
    """Whether gin knows this class because some Registry of this process registered it as a part."""
    return isinstance(target, type) and issubclass(target, Part) and _CONFIGURED.get(target) is configured
