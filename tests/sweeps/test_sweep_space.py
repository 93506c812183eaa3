"""Values: read, drawn, combined, refused."""

import random

import pytest

from smbrl.errors import SmbrlError
from smbrl.sweeps import space


def test_a_grid_is_gin_source_again() -> None:
    axis = space.axis("A.b=[1e-4, @CEM, %X, 'relu', None, (1, 2), (@a/B(),)]")
    assert axis.values == ("0.0001", "@CEM", "%X", "'relu'", "None", "(1, 2)", "(@a/B(),)")
    assert space.axis(str(axis)) == axis


def test_a_grid_of_a_file_takes_texts_as_gin_source() -> None:
    assert space.axis_of("A.b", [1, "@CEM", "'relu'"], "x").values == ("1", "@CEM", "'relu'")


def test_every_combination_the_last_fastest() -> None:
    found = space.combinations([space.axis("A.b=[1, 2]"), space.axis("C.d=[3, 4]")])
    assert [tuple(value for _, value in values) for values in found] == [("1", "3"), ("1", "4"), ("2", "3"), ("2", "4")]
    assert space.combinations([]) == [()]


def test_draws_stay_in_their_range_and_reach_its_ends() -> None:
    generator = random.Random(0)
    for text, low, high in (("int(1, 3)", 1, 3), ("logint(1, 40)", 1, 40), ("loguniform(0.01, 10)", 0.01, 10)):
        drawn = [float(space.draw(f"A.b={text}").sample(generator)) for _ in range(3000)]
        assert low <= min(drawn) < low * 1.1
        assert high * 0.9 < max(drawn) <= high
    drawn = [float(space.draw("A.b=loguniform(0.01, 1)").sample(generator)) for _ in range(3000)]
    assert 0.45 < sum(value < 0.1 for value in drawn) / 3000 < 0.55  # half of them below the middle of the exponents
    assert {space.draw("A.b=choice(@X, None)").sample(generator) for _ in range(50)} == {"@X", "None"}


def test_more_samples_and_more_bindings_leave_the_first_draws_as_they_were() -> None:
    one, other = space.draw("A.b=uniform(0, 1)"), space.draw("C.d=uniform(0, 1)")
    few, many = space.samples([one], 2, 0), space.samples([one, other], 4, 0)
    assert [values[0] for values in many[:2]] == [values[0] for values in few]
    assert many[0][0][1] != many[0][1][1]
    assert space.samples([one], 2, 1) != few


def test_a_draw_is_written_as_it_is_read() -> None:
    for text in ("A.b=loguniform(0.0001, 0.01)", "A.b=int(1, 5)", "A.b=choice(@X, 'a')"):
        assert str(space.draw(text)) == text


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (space.axis, "A.b", "expected NAME.PARAM="),
        (space.axis, "A.b=3", r"expected a list, as in A.b=\[1, 2\]"),
        (space.axis, "A.b=[rel]", "not a Python literal"),
        (space.axis, "A.b=[1, 1]", "the value 1 twice"),
        (space.axis, "A.b=[]", "no values"),
        (space.axis, "Experiment.seed=[1, 2]", "--seeds"),
        (space.draw, "A.b=[1]", "expected NAME.PARAM=uniform"),
        (space.draw, "A.b=unifrm(1, 2)", "did you mean 'uniform'"),
        (space.draw, "A.b=uniform(2, 1)", "LOW below HIGH"),
        (space.draw, "A.b=loguniform(0, 1)", "begins above 0"),
        (space.draw, "A.b=int(0.5, 2)", "two whole numbers"),
        (space.draw, "A.b=uniform(1)", "two numbers"),
        (space.draw, "A.b=choice()", "no values"),
        (space.draw, "Experiment.seed=int(1, 9)", "--seeds"),
    ],
)
def test_what_is_wrong_is_one_line(read, text, words) -> None:
    with pytest.raises(SmbrlError, match=words) as caught:
        read(text)
    assert "\n" not in str(caught.value)
