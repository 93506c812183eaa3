# ruff: noqa: E501  (expected lines are quoted whole)
"""Every wrong gin input gets one line that says where it is, what was found and what to do."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from smbrl.errors import SmbrlError

BASE = """\
# A complete file.
Trial.task = @Line
Trial.agent = @Learner
Learner.planner = @Search
Search.samples = 32
"""

ADDED = {
    "missing include": (
        "include 'tasks/lime.gin'\n",
        "run.gin:6: include 'tasks/lime.gin': no such file beside run.gin nor among the packaged ones: did you mean 'tasks/line'?",
    ),
    "no equals sign": ("Pace.steps 3\n", "run.gin:6: syntax error: expected NAME.PARAMETER = VALUE in 'Pace.steps 3'"),
    "value missing": (
        "Pace.steps =\n",
        "run.gin:6: syntax error: no value that gin can read (a Python literal, @Name or %macro) after the '=' in 'Pace.steps ='",
    ),
    "value missing at the end": (
        "Pace.steps =",
        "run.gin:6: syntax error: no value that gin can read (a Python literal, @Name or %macro) after the '=' in 'Pace.steps ='",
    ),
    "open bracket": (
        "Pace.sizes = (1, 2\nPace.steps = 3\n",
        "run.gin:7: syntax error: Expected ',' or ')' (or a bracket further up is not closed) in 'Pace.steps = 3'",
    ),
    "open bracket at the end": (
        "Pace.steps = 3\nPace.sizes = (1,\n  2\n",
        "run.gin:7: syntax error: a bracket that opens here is not closed in 'Pace.sizes = (1,'",
    ),
    "open string": ("Pace.label = 'abc\n", 'run.gin:6: syntax error: a string is not closed in "Pace.label = \'abc"'),
    "bad indentation": (
        "Pace:\n    steps = 3\n  rate = 0.5\n",
        "run.gin:8: syntax error: unindent does not match any outer indentation level in 'rate = 0.5'",
    ),
    "python expression": (
        "Pace.steps = 3 * 4\n",
        "run.gin:6: syntax error: something follows the value, which is one literal (gin does not calculate) in 'Pace.steps = 3 * 4'",
    ),
    "space in a name": (
        "Pace . steps = 3\n",
        "run.gin:6: syntax error: a name has no spaces in it in 'Pace . steps = 3'",
    ),
    "comparison": (
        "Pace.steps == 3\n",
        "run.gin:6: syntax error: expected NAME.PARAMETER = VALUE in 'Pace.steps == 3'",
    ),
    "string without quotes": (
        "Pace.device = cpu\n",
        "run.gin:6: value cpu is not a Python literal: a string needs quotes ('cpu'), a part an @ (@cpu)",
    ),
    "lower-case true": ("Pace.quiet = true\n", "run.gin:6: value true is not a Python literal: write True"),
    "unknown configurable": ("Pase.steps = 3\n", "run.gin:6: unknown name 'Pase': did you mean 'Pace'?"),
    "unknown configurable, nothing close": (
        "Foo.steps = 3\n",
        "run.gin:6: unknown name 'Foo': known: Dot, Guess, Learner, Line, Pace, Ring, Search, Trial",
    ),
    "case of a name": ("pace.steps = 3\n", "run.gin:6: unknown name 'pace': did you mean 'Pace'?"),
    "unknown parameter": ("Pace.step = 3\n", "run.gin:6: Pace has no parameter 'step': did you mean 'steps'?"),
    "unknown parameter, nothing close": (
        "Search.colour = 3\n",
        "run.gin:6: Search has no parameter 'colour': known: samples, start",
    ),
    "parameter of a parameter": (
        "Learner.planner.samples = 3\n",
        "run.gin:6: Learner.planner is a parameter of Learner: bind a part to it (Learner.planner = @Name), and the part's own parameters by its name (Name.parameter = value)",
    ),
    "what the builder passes": (
        "Dot.latent = 3\n",
        "run.gin:6: Dot.latent is not set in gin files, whoever builds Dot passes it: known: scale, width",
    ),
    "None where a part is needed": (
        "Learner.encoder = None\n",
        "run.gin:6: Learner.encoder: expected an encoder (@Name), got None; known: Dot, Ring",
    ),
    "reference where a number is needed": (
        "Pace.steps = @Search\n",
        "run.gin:6: Pace.steps: expected an int, got @Search (a planner)",
    ),
    "string for an int": ("Pace.steps = 'ten'\n", "run.gin:6: Pace.steps: expected an int, got 'ten'"),
    "quoted number": (
        "Pace.steps = '10'\n",
        "run.gin:6: Pace.steps: expected an int, got '10': write 10, without quotes",
    ),
    "float for an int": (
        "Pace.steps = 1e6\n",
        "run.gin:6: Pace.steps: expected an int, got 1000000.0 (float): write 1_000_000",
    ),
    "fraction for an int": ("Pace.steps = 1.5\n", "run.gin:6: Pace.steps: expected an int, got 1.5 (float)"),
    "bool for an int": ("Pace.steps = True\n", "run.gin:6: Pace.steps: expected an int, got True"),
    "int for a bool": ("Pace.quiet = 1\n", "run.gin:6: Pace.quiet: expected a bool, got 1 (int)"),
    "None for a number": ("Pace.rate = None\n", "run.gin:6: Pace.rate: expected a float, got None"),
    "string for a number or None": (
        "Pace.limit = 'off'\n",
        "run.gin:6: Pace.limit: expected a float or None, got 'off'",
    ),
    "not one of the options": (
        "Pace.device = 'cuba'\n",
        "run.gin:6: Pace.device: expected one of 'auto', 'cpu', 'cuda', got 'cuba': did you mean 'cuda'?",
    ),
    "not one of the options, nothing close": (
        "Pace.device = 'tpu'\n",
        "run.gin:6: Pace.device: expected one of 'auto', 'cpu', 'cuda', got 'tpu': did you mean 'cpu'?",
    ),
    "list for a tuple": (
        "Pace.sizes = [8, 8]\n",
        "run.gin:6: Pace.sizes: expected a tuple of int, got [8, 8] (list): write (8, 8)",
    ),
    "number for a tuple": (
        "Pace.sizes = 8\n",
        "run.gin:6: Pace.sizes: expected a tuple of int, got 8 (int): write (8,)",
    ),
    "wrong item": ("Pace.sizes = (8, 'x')\n", "run.gin:6: Pace.sizes: expected a tuple of int, got (8, 'x') (tuple)"),
    "wrong length": (
        "Pace.box = (0.0, 1.0, 2.0)\n",
        "run.gin:6: Pace.box: expected a tuple (float, float), got (0.0, 1.0, 2.0) (tuple)",
    ),
    "string for a sequence": ("Pace.tags = 'a'\n", "run.gin:6: Pace.tags: expected a sequence of string, got 'a'"),
    "wrong value in a dict": (
        "Pace.weights = {'a': 'b'}\n",
        "run.gin:6: Pace.weights: expected a dict of string to float or None, got {'a': 'b'} (dict)",
    ),
    "undefined macro": (
        "steps = 3\nPace.steps = %stesp\nPace.rate = %steps\n",
        "run.gin:7: undefined macro %stesp: did you mean 'steps'? (define it: stesp = value)",
    ),
    "undefined macro, none defined": (
        "Pace.steps = %steps\n",
        "run.gin:6: undefined macro %steps: none is known (define it: steps = value)",
    ),
    "unused macro": ("speed = 3\n", "run.gin:6: macro 'speed' is used by nothing: remove it, or use it as %speed"),
    "macro named like a parameter": (
        "steps = 3\n",
        "run.gin:6: macro 'steps' is used by nothing: a parameter is set as Pace.steps = ...",
    ),
    "macro named like a part": (
        "Search = 3\n",
        "run.gin:6: macro 'Search' is used by nothing: Search is a name, bind its parameters: Search.samples = ...",
    ),
    "macro of itself": ("a = %b\nb = %a\nPace.steps = %a\n", "run.gin:6: a macro is defined by itself: %b -> %a -> %b"),
    "macro of a wrong type": (
        "n = 'x'\nPace.steps = %n\n",
        "run.gin:7: Pace.steps: expected an int, got 'x' (%n is defined at run.gin:6)",
    ),
    "infinite number": (
        "Pace.rate = 1e999\n",
        "run.gin:6: value inf is float: gin files of smbrl have numbers (finite), strings, True, False, None, and tuples, lists and dicts of them",
    ),
    "bytes": (
        "Pace.anything = (1, b'x')\n",
        "run.gin:6: value b'x' is bytes: gin files of smbrl have numbers (finite), strings, True, False, None, and tuples, lists and dicts of them",
    ),
    "a list as a key": ("Pace.weights = {[1]: 2.0}\n", "run.gin: syntax error: unhashable type: 'list'"),
    "bound twice": (
        "Search.samples = 64\n",
        "run.gin:6: Search.samples is bound a second time (first at run.gin:5): keep one",
    ),
    "bound twice under two names": (
        "Pace.steps = 1\nsmbrl_test.Pace.steps = 2\n",
        "run.gin:7: smbrl_test.Pace.steps is bound a second time (first at run.gin:6): keep one",
    ),
    "bound twice in a block": (
        "Pace:\n  steps = 1\n  steps = 2\n",
        "run.gin:8: Pace.steps is bound a second time (first at run.gin:7): keep one",
    ),
    "macro defined twice": (
        "n = 1\nPace.steps = %n\nn = 2\n",
        "run.gin:8: n is bound a second time (first at run.gin:6): keep one",
    ),
    "unused binding": (
        "Guess.luck = 0.1\n",
        "run.gin:6: Guess.luck has no effect, Guess is not part of this run: Learner.planner is @Search at run.gin:4",
    ),
    "unused binding of a default": (
        "Ring.width = 3\n",
        "run.gin:6: Ring.width has no effect, Ring is not part of this run: Learner.encoder is @Dot by default",
    ),
    "scope typo": (
        "Learner.second = @wide/Dot\nwidee/Dot.width = 3\n",
        "run.gin:7: widee/Dot.width has no effect, no reference has the scope 'widee': did you mean 'wide'?",
    ),
    "scope nobody uses": (
        "wide/Dot.width = 3\n",
        "run.gin:6: wide/Dot.width has no effect, no reference has the scope 'wide': no reference here has a scope",
    ),
    "scope that takes the place": (
        "Learner.encoder = @wide/Dot\nwide/Dot.width = 3\nDot.width = 4\n",
        "run.gin:8: Dot.width has no effect, wide/Dot.width (run.gin:7) takes its place",
    ),
    "right scope, wrong part": (
        "Learner.second = @wide/Dot\nwide/Search.samples = 3\n",
        "run.gin:7: wide/Search.samples has no effect, Search is built as Search: bind it there",
    ),
    "required not given": ("Pace.steps = %gin.REQUIRED\n", "run.gin:6: Pace.steps is not bound, it needs an int"),
}
"""What is added to BASE, as lines 6 and on -> the error."""

FILES = {
    "an overlay alone": (
        {},
        ["no_planner"],
        "smbrl:no_planner.gin changes another file, which comes first: --gin line_trial --gin no_planner",
    ),
    "an overlay before its base": (
        {"run.gin": BASE},
        ["no_planner", "run.gin"],
        "smbrl:no_planner.gin changes another file, which comes first: --gin line_trial --gin no_planner",
    ),
    "unknown file": ({"run.gin": BASE}, ["line_trail"], "no gin file 'line_trail': did you mean 'line_trial'?"),
    "unknown file with a path": (
        {"run.gin": BASE},
        ["gin/nowhere.gin"],
        "no gin file 'gin/nowhere.gin': known: line_trial, no_planner, tasks/line",
    ),
    "a folder": ({"run.gin": BASE, "sub/x.gin": BASE}, ["sub"], "--gin sub is a folder, expected a gin file in it"),
    "no name": ({"run.gin": BASE}, [""], "--gin is empty: give a gin file (known: line_trial, no_planner, tasks/line)"),
    "empty file": ({"run.gin": ""}, None, "run.gin: no binding in it (empty, or comments only)"),
    "only comments": ({"run.gin": "# nothing\n"}, None, "run.gin: no binding in it (empty, or comments only)"),
    "not utf-8": (
        {"run.gin": BASE.encode() + b"Pace.label = '\xe9t\xe9'\n"},
        None,
        "run.gin:6: not UTF-8 text (byte 0xe9): save it as UTF-8",
    ),
    "binary": ({"run.gin": b"PK\x03\x04\x00\x00"}, None, "run.gin: not a gin file, it has binary content"),
    "file given twice": ({"run.gin": BASE}, ["run.gin", "./run.gin"], "--gin ./run.gin is given twice: leave one out"),
    "given and included": (
        {"run.gin": "include 'b.gin'\n", "b.gin": BASE},
        ["run.gin", "b.gin"],
        "b.gin is given, but run.gin includes it already: leave it out",
    ),
    "include loop": (
        {"a.gin": "include 'b.gin'\n" + BASE, "b.gin": "include 'a.gin'\n"},
        ["a.gin"],
        "b.gin:1: files include each other in a circle: a.gin -> b.gin -> a.gin",
    ),
    "include without quotes": (
        {"run.gin": "include tasks/line.gin\n"},
        None,
        "run.gin:1: include needs one file name in quotes, found 'include tasks/line.gin'",
    ),
    "python import": (
        {"run.gin": "import os\n" + BASE},
        None,
        "run.gin:1: import os: gin files of smbrl import nothing; parts come from plugins (an entry point in the group 'smbrl'): remove the line",
    ),
    "unknown reference": (
        {"run.gin": BASE.replace("@Search", "@Serach")},
        None,
        "run.gin:4: unknown reference 'Serach': did you mean 'Search'?",
    ),
    "reference of another kind": (
        {"run.gin": BASE.replace("@Search", "@Dot")},
        None,
        "run.gin:4: Learner.planner: expected a planner (@Name) or None, got @Dot (an encoder); known: Guess, Search",
    ),
    "called reference": (
        {"run.gin": BASE.replace("@Search", "@Search()")},
        None,
        "run.gin:4: Learner.planner: expected a planner (@Name) or None, got @Search() (a planner): write @Search, without (); known: Guess, Search",
    ),
    "name as a string": (
        {"run.gin": BASE.replace("@Search", "'Search'")},
        None,
        "run.gin:4: Learner.planner: expected a planner (@Name) or None, got 'Search': write @Search, without quotes; known: Guess, Search",
    ),
    "missing agent": (
        {"run.gin": "Trial.task = @Line\n"},
        None,
        "Trial.agent is not bound, it needs an agent (@Name); known: Learner",
    ),
    "overlay that tunes what it removes": (
        {"run.gin": BASE, "off.gin": "Learner.planner = None\nSearch.start = 'narrow'\n"},
        None,
        "off.gin:2: Search.start has no effect, Search is not part of this run: Learner.planner is None at off.gin:1",
    ),
    "overlay after the one that removed": (
        {"run.gin": BASE, "off.gin": "Learner.planner = None\n", "more.gin": "Search.start = 'narrow'\n"},
        None,
        "more.gin:1: Search.start has no effect, Search is not part of this run: Learner.planner is None at off.gin:1",
    ),
}
"""Files, those that are given (None: all, in order) -> the error."""

OVERRIDES = {
    "override: unknown parameter": (
        ["Pace.stps=3"],
        "override 'Pace.stps=3': Pace has no parameter 'stps': did you mean 'steps'?",
    ),
    "override: no value": (
        ["Pace.steps"],
        "override 'Pace.steps': no '=' in it, expected NAME.PARAM=VALUE, e.g. -o Online.steps=1000",
    ),
    "override: empty": (
        ["Pace.steps="],
        "override 'Pace.steps=': syntax error: no value that gin can read (a Python literal, @Name or %macro) after the '=' in 'Pace.steps='",
    ),
    "override: string without quotes": (
        ["Pace.device=cpu"],
        "override 'Pace.device=cpu': value cpu is not a Python literal: a string needs quotes ('cpu'), a part an @ (@cpu); in a shell: -o \"Pace.device='cpu'\"",
    ),
    "override: path without quotes": (
        ["Pace.label=runs/a-b"],
        "override 'Pace.label=runs/a-b': value runs/a-b is not a Python literal: a string needs quotes ('runs/a-b'); in a shell: -o \"Pace.label='runs/a-b'\"",
    ),
    "override: path": (
        ["Pace.label=/tmp/x"],
        "override 'Pace.label=/tmp/x': value /tmp/x is not a Python literal: a string needs quotes ('/tmp/x'); in a shell: -o \"Pace.label='/tmp/x'\"",
    ),
    "override: parameter alone": (
        ["steps=3"],
        "override 'steps=3': macro 'steps' is used by nothing: a parameter is set as Pace.steps = ...",
    ),
    "override: twice": (
        ["Pace.steps=3", "Pace.steps=4"],
        "override 'Pace.steps=4': Pace.steps is bound a second time (first at override 'Pace.steps=3'): keep one",
    ),
    "override: same twice": (
        ["Pace.steps=3", "Pace.steps=3"],
        "override 'Pace.steps=3': Pace.steps is bound a second time (first at override 'Pace.steps=3'): keep one",
    ),
    "override: include": (
        ["include 'x=y.gin'"],
        "override \"include 'x=y.gin'\": expected one NAME.PARAM=VALUE, e.g. -o Online.steps=1000",
    ),
    "override: two at once": (
        ["Pace.steps=3\nPace.rate=1"],
        "override: expected one NAME.PARAM=VALUE, e.g. -o Online.steps=1000",
    ),
    "override: part that is not in the run": (
        ["Guess.luck=0.3"],
        "override 'Guess.luck=0.3': Guess.luck has no effect, Guess is not part of this run: Learner.planner is @Search at run.gin:4",
    ),
    "override: wrong type": (
        ["Pace.steps=1e3"],
        "override 'Pace.steps=1e3': Pace.steps: expected an int, got 1000.0 (float): write 1_000",
    ),
    "override: dashes": (
        ["--Pace.steps=3"],
        "override '--Pace.steps=3': syntax error: Unexpected token in '--Pace.steps=3'",
    ),
}
"""Overrides of BASE -> the error."""

Load = Callable[..., object]


def line_of(load: Load, texts: object, *overrides: str, files: list[str] | None = None) -> str:
    with pytest.raises(SmbrlError) as caught:
        load(texts, *overrides, files=files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_base_of_all_cases_is_right(load: Load) -> None:
    load(BASE)


@pytest.mark.parametrize("name", ADDED)
def test_a_wrong_line_is_explained(load: Load, name: str) -> None:
    text, expected = ADDED[name]
    assert line_of(load, BASE + text) == expected


def test_no_text_whatever_ends_in_a_traceback(load: Load) -> None:
    """Random damage to a right file: it is still right, or it is explained."""
    generator = random.Random(0)
    whole = BASE + "n = 3\nPace:\n  steps = %n\n  sizes = (1, 2)\nPace.weights = {'a': -1.0}\nPace.label = 'x'\n"
    wrong = 0
    for _ in range(300):
        text = whole
        for _ in range(generator.randint(1, 3)):
            place = generator.randrange(len(text))
            text = (
                text[:place]
                + generator.choice("aZ9 .=@%/()[]{}'\"#:,\\\n\t-\0é$")
                + text[place + generator.randint(0, 3) :]
            )
        try:
            load(text)
        except SmbrlError:
            wrong += 1
    assert 100 < wrong < 300


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file_is_explained(load: Load, name: str) -> None:
    texts, files, expected = FILES[name]
    assert line_of(load, texts, files=files) == expected


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_wrong_override_is_explained(load: Load, name: str) -> None:
    overrides, expected = OVERRIDES[name]
    assert line_of(load, BASE, *overrides) == expected
