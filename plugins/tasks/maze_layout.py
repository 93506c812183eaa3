"""Layouts of mazes: drawn at random from a seed, by hand as text, or by name.

A layout is a grid of cells. Cell (i, j), row i and column j of the text, spans the positions
``i - 0.7 .. i + 0.3`` in x and ``j - 0.7 .. j + 0.3`` in y (metres; `WALL_OFFSET` says why), so that
``(i - 0.2, j - 0.2)`` is its middle. Pictures show x to the right and y upwards.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smbrl.errors import SmbrlError

Cell = tuple[int, int]

WALL_SHARE = 0.25
"""A random layout is finished when this share of its cells is wall."""
LENGTH_RANGE = (0.3, 0.5)
"""Shortest and longest wall of a random layout, as a share of the layout's side."""
DENSITY_WEIGHT = 20.0
"""How strongly a new wall avoids places that already have walls."""
WALL_OFFSET = -0.2
"""Middle of cell 0 in positions: walls stand at index + 1, the agent's position 0 is at 1.2."""
MIN_SIZE = 10
MAX_SIZE = 400

NAMED: dict[str, tuple[str, ...]] = {
    # The three maps of the maze2d benchmark, so that its data files fit; S is where an episode starts here.
    "umaze": ("#####", "#GOO#", "###O#", "#SOO#", "#####"),
    "medium": ("########", "#SO##OO#", "#OO#OOO#", "##OOO###", "#OO#OOO#", "#O#OO#O#", "#OOO#OG#", "########"),
    "large": (
        "############",
        "#SOOO#OOOOO#",
        "#O##O#O#O#O#",
        "#OOOOOO#OOO#",
        "#O####O###O#",
        "#OO#O#OOOOO#",
        "##O#O#O#O###",
        "#OO#OOO#OGO#",
        "############",
    ),
}


class Rectangle(NamedTuple):
    """A block of wall cells, bounds inclusive."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, eq=False)
class Layout:
    """Walls, and where the text marked them, start and goal.

    Attributes:
        walls: ``(rows, columns)`` bool, closed all around.
        start, goal: cells marked S and G, or None.
    """

    walls: NDArray[np.bool_]
    start: Cell | None = None
    goal: Cell | None = None

    @property
    def rows(self) -> int:
        """Extent in x, cells."""
        return int(self.walls.shape[0])

    @property
    def columns(self) -> int:
        """Extent in y, cells."""
        return int(self.walls.shape[1])

    @cached_property
    def free(self) -> list[Cell]:
        """The free cells, row by row."""
        return [(int(i), int(j)) for i, j in np.argwhere(~self.walls)]

    def text(self) -> str:
        """The layout as text that `parse` reads back."""
        lines = [["#" if wall else "O" for wall in row] for row in self.walls]
        for cell, mark in ((self.start, "S"), (self.goal, "G")):
            if cell is not None:
                lines[cell[0]][cell[1]] = mark
        return "\n".join("".join(line) for line in lines)

    def is_free(self, x: float, y: float) -> bool:
        """Whether a position lies in a free cell."""
        i, j = cell_of(x, y)
        return 0 <= i < self.rows and 0 <= j < self.columns and not bool(self.walls[i, j])

    def distances(self, cell: Cell) -> NDArray[np.int32]:
        """Steps from every cell to ``cell`` over the grid (4-neighbours) ``(rows, columns)``; -1: no way."""
        # on a flat list with its border of walls no bounds need checking
        width = self.columns
        distance = [-2 if wall else -1 for wall in self.walls.ravel().tolist()]
        source = cell[0] * width + cell[1]
        distance[source] = 0
        queue = deque([source])
        while queue:
            at = queue.popleft()
            beyond = distance[at] + 1
            for neighbour in (at + width, at - width, at + 1, at - 1):
                if distance[neighbour] == -1:
                    distance[neighbour] = beyond
                    queue.append(neighbour)
        return np.maximum(np.array(distance, np.int32), -1).reshape(self.walls.shape)

    def farthest(self) -> tuple[Cell, Cell]:
        """Two free cells far apart (double sweep) in the largest connected region."""
        unseen = set(self.free)
        largest: set[Cell] = set()
        while unseen:
            first = min(unseen)
            region = {(int(i), int(j)) for i, j in np.argwhere(self.distances(first) >= 0)}
            unseen -= region
            largest = max(largest, region, key=len)
        ends = [min(largest)]
        for _ in range(2):
            distance = self.distances(ends[-1])
            i, j = np.unravel_index(int(distance.argmax()), distance.shape)
            ends.append((int(i), int(j)))
        return ends[-2], ends[-1]

    def rectangles(self) -> list[Rectangle]:
        """The walls as few blocks: greedily to the right, then down. Fewer geoms, faster physics."""
        left = self.walls.copy()
        blocks: list[Rectangle] = []
        for i in range(self.rows):
            for j in range(self.columns):
                if not left[i, j]:
                    continue
                right = j
                while right + 1 < self.columns and left[i, right + 1]:
                    right += 1
                bottom = i
                while bottom + 1 < self.rows and left[bottom + 1, j : right + 1].all():
                    bottom += 1
                left[i : bottom + 1, j : right + 1] = False
                blocks.append(Rectangle(i, j, bottom, right))
        return blocks


def cell_of(x: float, y: float) -> Cell:
    """The cell that a position lies in."""
    return int(np.floor(x - WALL_OFFSET + 0.5)), int(np.floor(y - WALL_OFFSET + 0.5))


def middle_of(cell: Cell) -> tuple[float, float]:
    """The position in the middle of a cell."""
    return cell[0] + WALL_OFFSET, cell[1] + WALL_OFFSET


def load(layout: str, seed: int = 0, size: int = 40) -> Layout:
    """The layout that a task's parameters name.

    Args:
        layout: ``"random"``, one of `NAMED`, or a drawing (lines of ``#`` wall, ``O`` free, ``S``, ``G``).
        seed, size: of a random layout; no effect on the others.

    Raises:
        SmbrlError: the name is unknown, the drawing is not a closed rectangle, seed or size out of range.
    """
    if layout == "random":
        return Layout(draw_random(seed, size))
    if layout in NAMED:
        return parse("\n".join(NAMED[layout]))
    if "\n" not in layout.strip() and not set(layout.strip()) & set("#\\"):
        raise SmbrlError(
            f"maze layout {layout!r} is unknown: give random, {', '.join(NAMED)}, or a drawing of # (wall) and O (free)"
        )
    return parse(layout)


def parse(text: str) -> Layout:
    r"""Read a drawing: ``#`` wall, ``O`` or a dot free, at most one ``S`` and ``G``; lines end by newline or ``\``.

    Raises:
        SmbrlError: unknown character, lines of different length, open border, too small, two S or G.
    """
    lines = [line.strip() for line in text.replace("\\", "\n").splitlines() if line.strip()]
    if len(lines) < 3 or len(lines[0]) < 3:
        shape = f"{len(lines)} x {len(lines[0]) if lines else 0}"
        raise SmbrlError(f"maze layout is {shape} cells: at least 3 x 3 are needed, one free cell inside a border of #")
    for number, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            raise SmbrlError(
                f"maze layout line {number} has {len(line)} cells, line 1 has {len(lines[0])}: make all lines equal"
            )
        for column, mark in enumerate(line, 1):
            if mark not in "#O.SG":
                raise SmbrlError(
                    f"maze layout line {number} column {column} is {mark!r}: "
                    "only # (wall), O (free), S (start), G (goal) are known"
                )
    marks: dict[str, Cell | None] = {"S": None, "G": None}
    for mark in marks:
        found = [(i, line.index(mark)) for i, line in enumerate(lines) if mark in line]
        if sum(line.count(mark) for line in lines) > 1:
            raise SmbrlError(f"maze layout has more than one {mark}: keep one")
        marks[mark] = found[0] if found else None
    walls = np.array([[mark == "#" for mark in line] for line in lines])
    border = np.ones_like(walls)
    border[1:-1, 1:-1] = False
    if not walls[border].all():
        i, j = (int(k) for k in np.argwhere(border & ~walls)[0])
        raise SmbrlError(f"maze layout is open at line {i + 1} column {j + 1}: close the border with #")
    if walls.all():
        raise SmbrlError("maze layout has no free cell: draw at least one O")
    return Layout(walls, marks["S"], marks["G"])


def draw_random(seed: int, size: int) -> NDArray[np.bool_]:
    """Draw walls with doors until a quarter of the cells is wall; ``(size + 2, size + 2)`` with the border.

    Seed 0 at size 40 is the paper's maze. A wall prefers places with few walls: its position is drawn from
    softmax(-20 * density), density being the wall share in a band of five lines around it.

    Raises:
        SmbrlError: size outside 10 .. 400 or a negative seed.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise SmbrlError(f"maze size is {size}: random layouts need {MIN_SIZE} to {MAX_SIZE} cells a side")
    if seed < 0:
        raise SmbrlError(f"maze layout seed is {seed}: give 0 or a positive whole number")
    rng = np.random.default_rng(seed)
    walls = np.zeros((size, size))
    shortest, longest = LENGTH_RANGE
    while walls.mean() < WALL_SHARE:
        # a horizontal wall is a vertical one in the transposed layout; transposing shares memory
        vertical = rng.random() < 0.5
        length = int(max((longest - shortest) * size * rng.random() + shortest * size, 3))
        door = int(rng.choice(np.arange(1, length - 1)))
        band = (length, 5) if vertical else (5, length)
        weight = np.exp(-DENSITY_WEIGHT * _density(walls, *band))
        place = int(rng.choice(weight.size, p=(weight / weight.sum()).ravel()))
        i, j = (int(k) for k in np.unravel_index(place, weight.shape))
        view, i, j = (walls, i, j) if vertical else (walls.T, j, i)
        line = j + 2
        view[i : i + length, line] = 1.0
        view[i + door, line] = 0.0
        for beside in (i + door - 1, i + door + 1):
            view[beside, line - 1] = 1.0
            view[beside, line + 1] = 1.0
    return np.pad(walls > 0.0, 1, constant_values=True)


def _density(walls: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Share of wall cells under every placement of a band ('valid' convolution, by summed areas)."""
    area = np.pad(walls.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    total = area[height:, width:] - area[:-height, width:] - area[height:, :-width] + area[:-height, :-width]
    return np.asarray(total / (height * width))
