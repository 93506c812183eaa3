from pathlib import Path

import numpy as np
import pytest
from smbrl_plugins.tasks import maze_layout
from smbrl_plugins.tasks.maze_layout import cell_of, load, middle_of, parse

from smbrl.errors import SmbrlError

REFERENCE = (Path(__file__).parent / "maze40_seed0.txt").read_text().strip()


def test_seed_0_at_size_40_is_the_papers_maze() -> None:
    assert load("random", 0, 40).text() == REFERENCE.replace("G", "O")


def test_start_and_goal_of_the_paper_are_34_cells_apart() -> None:
    assert load("random").distances((18, 8))[10, 24] == 34


@pytest.mark.parametrize(("seed", "size"), [(1, 40), (2, 10), (3, 25), (4, 80)])
def test_random_layouts_are_closed_and_a_quarter_wall(seed: int, size: int) -> None:
    walls = load("random", seed, size).walls
    assert walls.shape == (size + 2, size + 2)
    assert walls[[0, -1]].all()
    assert walls[:, [0, -1]].all()
    assert 0.25 <= walls[1:-1, 1:-1].mean() < 0.35 + 10 / size**2
    assert (load("random", seed, size).walls == walls).all()
    assert not np.array_equal(load("random", seed + 1, size).walls, walls)


@pytest.mark.parametrize("name", ["random", *maze_layout.NAMED])
def test_rectangles_cover_the_walls_once(name: str) -> None:
    layout = load(name)
    covered = np.zeros_like(layout.walls, int)
    for block in layout.rectangles():
        covered[block.top : block.bottom + 1, block.left : block.right + 1] += 1
    assert (covered == layout.walls).all()


def test_the_papers_walls_are_111_rectangles() -> None:
    assert len(load("random").rectangles()) == 111


def test_distances_count_steps_around_walls() -> None:
    layout = parse("#####\n#GOO#\n###O#\n#SOO#\n#####")
    assert layout.start == (3, 1)
    assert layout.goal == (1, 1)
    distance = layout.distances((1, 1))
    assert distance[3, 1] == 6
    assert distance[2, 1] == -1  # a wall
    assert layout.farthest() in (((3, 1), (1, 1)), ((1, 1), (3, 1)))


def test_farthest_cells_are_of_the_largest_region() -> None:
    a, b = parse("########\n#O#OOOO#\n########").farthest()
    assert {a, b} == {(1, 3), (1, 6)}


def test_a_drawing_survives_its_text() -> None:
    layout = load("medium")
    again = parse(layout.text())
    assert (again.walls == layout.walls).all()
    assert (again.start, again.goal) == (layout.start, layout.goal)
    assert (parse(layout.text().replace("\n", "\\")).walls == layout.walls).all()


def test_positions_and_cells_fit() -> None:
    for cell in [(1, 1), (10, 24), (40, 7)]:
        assert cell_of(*middle_of(cell)) == cell
    assert cell_of(0.31, 1.29) == (1, 1)
    assert cell_of(0.29, 1.31) == (0, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("####\n#O#\n####", "line 2 has 3 cells, line 1 has 4"),
        ("####\n#X##\n####", "column 2 is 'X'"),
        ("####\n#OO#\n#O##\n", "open at line 3 column 2"),
        ("####\n####\n####", "no free cell"),
        ("##\n##", "at least 3 x 3"),
        ("#####\n#SOS#\n#####", "more than one S"),
        ("mediun", "unknown: give random, umaze, medium, large"),
    ],
)
def test_wrong_drawings_are_one_line(text: str, says: str) -> None:
    with pytest.raises(SmbrlError, match=says) as caught:
        load(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("seed", "size", "says"), [(-1, 40, "seed is -1"), (0, 5, "size is 5"), (0, 1000, "size is 1000")]
)
def test_seeds_and_sizes_out_of_range(seed: int, size: int, says: str) -> None:
    with pytest.raises(SmbrlError, match=says):
        load("random", seed, size)
