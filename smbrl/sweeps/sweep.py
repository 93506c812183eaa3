"""What a sweep is: files, overlays, seeds and values. Said by options of ``smbrl sweep`` or by a small TOML file::

about = "which weight of the KL term"
metric = "eval/success"              # what is tabulated and searched for; default: the task's usual one
overlays = ["none", "ablations/no_cem"]   # gin files on top, one (or A+B) at a time
seeds = [0, 1, 2]
set = ["Online.steps=100_000"]       # overrides of every run

[methods.SkiMo]                      # as in a study; gin = [...] at the top instead where there is one
gin = ["skimo_maze", "budgets/smoke"]

[grid]                               # every combination; texts are gin source
"SkiMoPretraining.beta" = [1e-4, 1e-3]
"LatentMPC.planner" = ["@CEM", "None"]

[random]                             # drawn ``samples`` times, or searched
"LatentMPC.learning_rate" = "loguniform(1e-4, 1e-2)"

samples = 8                          # (above the tables)
trials = 20                          # instead of samples: Optuna chooses
direction = "maximize"
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from smbrl.errors import SmbrlError, suggestion
from smbrl.sweeps import space
from smbrl.sweeps.space import Axis, Draw
from smbrl.training import published, study
from smbrl.training.identity import SCALE
from smbrl.training.study import Method

NONE, PLUS = "none", "+"
"""An overlay that is none; between files that make one overlay."""
DIRECTIONS = ("maximize", "minimize")
ENTRIES = ("about", "metric", "direction", "gin", "set", "overlays", "seeds", "samples", "sample_seed", "trials")
TABLES = ("methods", "grid", "random")


@dataclass(frozen=True)
class Sweep:
    """What is wanted.

    Attributes:
        methods: gin files (and overrides) by name; their seeds are those of the runs.
        overlays: each ``none``, a gin file, or several with ``+`` between them.
        grid: bindings and the values they go through.
        random: bindings and where they are drawn from.
        samples: draws for each method, overlay and combination; the same for all of them.
        sample_seed: of the draws, or of the search.
        trials: where Optuna searches: configurations that it may try.
        metric: of tables and of the search; "" takes what ``smbrl compare`` would.
        direction: of the search.
        about: for readers.
    """

    methods: tuple[Method, ...]
    overlays: tuple[str, ...] = (NONE,)
    grid: tuple[Axis, ...] = ()
    random: tuple[Draw, ...] = ()
    samples: int = 0
    sample_seed: int = 0
    trials: int = 0
    metric: str = ""
    direction: str = DIRECTIONS[0]
    about: str = ""

    def __post_init__(self) -> None:
        twice = next((name for name in self.names if self.names.count(name) > 1), None)
        if twice is not None:
            raise SmbrlError(f"{twice} is swept twice: give its values once, in --grid or in --random")
        if self.direction not in DIRECTIONS:
            raise SmbrlError(f"direction is {self.direction!r}; {suggestion(self.direction, DIRECTIONS)}")
        if self.samples < 0 or self.trials < 0:
            raise SmbrlError("samples and trials are numbers of configurations: at least 1")
        for one in self.overlays:
            if self.overlays.count(one) > 1:
                raise SmbrlError(f"the overlay {one} is given twice: leave one out")
        if self.trials:
            self._search_is_possible()
        elif self.random and not self.samples:
            raise SmbrlError(
                f"{self.random[0].name} is drawn at random, but not how often: add --samples N or --optuna N"
            )
        elif self.samples and not self.random:
            raise SmbrlError(
                "--samples draws random values, but nothing is random: add --random 'NAME.PARAM=uniform(0, 1)'"
            )

    def _search_is_possible(self) -> None:
        if self.samples:
            raise SmbrlError("--samples draws at random, --optuna searches: give one of them")
        if not self.random:
            raise SmbrlError(
                "--optuna searches the ranges of --random, and there are none: add --random 'NAME=uniform(0, 1)'"
            )
        if not self.metric:
            raise SmbrlError(
                "--optuna needs to know what is good: add --metric eval/success, or another, and --direction"
            )
        if self.grid:
            raise SmbrlError(
                f"--optuna searches, --grid tries everything: give the values of {self.grid[0].name} as "
                f"--random '{self.grid[0].name}=choice({', '.join(self.grid[0].values)})'"
            )
        if len(self.methods) * len(self.overlays) > 1:
            raise SmbrlError("--optuna searches one method: give one choice of --gin and at most one --overlay")

    @property
    def names(self) -> list[str]:
        """The bindings that are swept."""
        return [*(one.name for one in self.grid), *(one.name for one in self.random)]

    def plain(self) -> dict[str, Any]:
        """As values of JSON; ``of_plain`` gives the same sweep back."""
        return {
            "about": self.about,
            "methods": {
                one.name: {"gin": [*one.gin], "set": [*one.overrides], "seeds": [*one.seeds]} for one in self.methods
            },
            "overlays": [*self.overlays],
            "grid": {one.name: [*one.values] for one in self.grid},
            "random": {one.name: str(one).partition("=")[2] for one in self.random},
            "samples": self.samples,
            "sample_seed": self.sample_seed,
            "trials": self.trials,
            "metric": self.metric,
            "direction": self.direction,
        }

    def runs_what(self) -> dict[str, Any]:
        """The part of ``plain`` that decides which runs there are; a search may go on for longer than it was to."""
        aside = ("about",) if self.trials else ("about", "metric", "direction")
        return {name: value for name, value in self.plain().items() if name not in aside} | {"trials": self.trials > 0}

    @property
    def name(self) -> str:
        """A name that is the same for the same sweep, and only for it."""
        text = json.dumps(self.runs_what(), sort_keys=True)
        return f"sweep-{PurePath(self.methods[0].gin[0]).stem}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def of_options(
    gin: Sequence[str],
    overrides: Sequence[str] = (),
    overlays: Sequence[str] = (),
    seeds: str = "0",
    grid: Sequence[str] = (),
    random: Sequence[str] = (),
    **more: Any,
) -> Sweep:
    """A sweep from the command line.

    Args:
        gin: files of every run, in order; where one is ``A,B``, there are runs with A and runs with B.
        overrides: of every run.
        overlays: one at a time.
        seeds: ``0,1,2`` or ``0-4``.
        grid: ``NAME.PARAM=[A, B]``.
        random: ``NAME.PARAM=uniform(LOW, HIGH)``.
        more: samples, sample_seed, trials, metric, direction.

    Raises:
        SmbrlError: the first thing that is wrong.
    """
    numbers = _seeds(seeds)
    layers = [[name.strip() for name in layer.split(",")] for layer in gin]
    if any(not name for layer in layers for name in layer):
        raise SmbrlError(f"--gin {','.join(gin)!r}: a file name is missing beside a comma")
    methods = tuple(
        Method(_label(files, layers), tuple(files), tuple(overrides), numbers) for files in itertools.product(*layers)
    )
    return Sweep(
        methods,
        tuple(overlays) or (NONE,),
        tuple(space.axis(text) for text in grid),
        tuple(space.draw(text) for text in random),
        **more,
    )


def _label(files: Sequence[str], layers: Sequence[Sequence[str]]) -> str:
    """What tells this choice of files from the others; the first file where there are none."""
    telling = [name for name, layer in zip(files, layers, strict=True) if len(layer) > 1]
    return " + ".join(PurePath(name).stem for name in telling or files[:1])


def _seeds(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for word in text.replace(" ", "").split(","):
        low, sign, high = word.partition("-")
        if not low.isdigit() or (sign and not high.isdigit()):
            raise SmbrlError(f"--seeds is {text!r}; expected whole numbers, as in 0,1,2 or 0-4")
        found += range(int(low), int(high) + 1) if sign else [int(low)]
    if not found or len(set(found)) < len(found):
        raise SmbrlError(f"--seeds is {text!r}: {'a seed is given twice' if found else 'no seed is in it'}")
    return tuple(found)


def load(path: Path) -> Sweep:
    """A sweep from a file.

    Raises:
        SmbrlError: it cannot be read, or is not written as it should be.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SmbrlError(f"cannot read the sweep {path} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SmbrlError(f"{path}: no TOML: {error}") from error
    return of_plain(raw, str(path))


def of_plain(raw: Mapping[str, Any], label: str) -> Sweep:
    """A sweep from a table, of a file or of a plan.

    Args:
        raw: see above.
        label: of the file, for messages.

    Raises:
        SmbrlError: the first thing that is wrong with it.
    """
    study.known(raw, (*ENTRIES, *TABLES), label)
    for name in TABLES:
        if not isinstance(raw.get(name, {}), dict):
            raise SmbrlError(f"{label}: {name} is {raw[name]!r}; expected a table, [{name}]")
    shared = published.texts(raw, "set", label) if "set" in raw else ()
    methods = dict(raw.get("methods", {}))
    if ("gin" in raw) == bool(methods):
        raise SmbrlError(f"{label}: expected either gin = [...] or tables [methods.NAME] with gin = [...]")
    if "gin" in raw:
        files = published.texts(raw, "gin", label)
        methods = {PurePath(next(iter(files), "")).stem: {"gin": [*files]}}
    default = {"seeds": raw["seeds"]} if "seeds" in raw else {}
    made = []
    for name, table in methods.items():
        table = {**default, **table} if isinstance(table, dict) else table
        one = study.method(name, table, f"{label}: [methods.{name}]" if "methods" in raw else label)
        made.append(Method(one.name, one.gin, (*one.overrides, *shared), one.seeds))
    random = []
    for name, text in raw.get("random", {}).items():
        if not isinstance(text, str):
            raise SmbrlError(f'{label}: [random] {name} is {text!r}; expected a text, as in "uniform(0, 1)"')
        random.append(space.draw(f"{name}={text}"))
    return Sweep(
        tuple(made),
        published.texts(raw, "overlays", label) if raw.get("overlays") else (NONE,),
        tuple(space.axis_of(name, values, f"{label}: [grid]") for name, values in raw.get("grid", {}).items()),
        tuple(random),
        samples=_whole(raw, "samples", label),
        sample_seed=_whole(raw, "sample_seed", label),
        trials=_whole(raw, "trials", label),
        metric=study.text_of(raw, "metric", label, ""),
        direction=study.text_of(raw, "direction", label, DIRECTIONS[0]),
        about=study.text_of(raw, "about", label, ""),
    )


def _whole(raw: Mapping[str, Any], name: str, label: str) -> int:
    value = raw.get(name, 0)
    if type(value) is not int or value < 0:
        raise SmbrlError(f"{label}: {name} is {value!r}; expected a whole number")
    return value


def overlay_files(overlay: str) -> tuple[str, ...]:
    """The gin files of an overlay."""
    return () if overlay == NONE else tuple(name.strip() for name in overlay.split(PLUS))


def short(files: Sequence[str]) -> str:
    """Files as part of a name: those of ``budgets`` say how much is computed, not what."""
    return PLUS.join(PurePath(name).stem for name in files if PurePath(name).parent.name != SCALE)
