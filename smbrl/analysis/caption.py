"""What stands below the frames of a video: how far the episode is, and its sub-tasks as they are completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smbrl.analysis.style import subtask_colours

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

TEXT, LATER, LINE = "#30343b", "#9a9fa8", "#d5d8dd"
LINE_HEIGHT, CHIP_HEIGHT = 22, 20
GAP, INSIDE = 4, 4
"""Pixels between labels, and between a label's edge and its text."""


class Caption:
    """A strip below frames of one size: a line of text and, where there are sub-tasks, a label for each.

    The label of a completed sub-task is filled with its colour and has the env step; the next one's is outlined in its
    colour; the others are grey. Labels have their places for the whole video.

    Args:
        width: of the frames in pixels.
        subtasks: in the task's order; may be empty.
        longest: the largest env step that may stand in a label.
    """

    def __init__(self, width: int, subtasks: Sequence[str] = (), longest: int = 1000) -> None:
        self.width = width // 2 * 2  # codecs want even sides
        self.colours = subtask_colours(subtasks)
        self.places: dict[str, tuple[int, int, int]] = {}
        left, top = GAP, LINE_HEIGHT
        for name in subtasks:
            wide = round(max(_font().getlength(f"{name} {longest}"), _font(True).getlength(name))) + 2 * INSIDE
            if left > GAP and left + wide + GAP > self.width:
                left, top = GAP, top + CHIP_HEIGHT + GAP
            self.places[name] = (left, top, left + wide)
            left += wide + GAP
        self.height = (LINE_HEIGHT if not subtasks else top + CHIP_HEIGHT + GAP) // 2 * 2

    def under(self, frame: NDArray[np.uint8], text: str, done: Mapping[str, int]) -> NDArray[np.uint8]:
        """The frame with the strip below it.

        Args:
            frame: ``(height, width, 3 or more)``; an odd last row or column is cut off.
            text: of the first line.
            done: env steps after which each completed sub-task was.
        """
        from PIL import Image, ImageDraw

        tall = frame.shape[0] // 2 * 2
        image = Image.new("RGB", (self.width, tall + self.height), "white")
        image.paste(Image.fromarray(np.ascontiguousarray(frame[:tall, : self.width, :3])), (0, 0))
        draw = ImageDraw.Draw(image)
        draw.text((GAP, tall + LINE_HEIGHT // 2), text, fill=TEXT, font=_font(), anchor="lm")
        ahead = next((name for name in self.places if name not in done), None)
        for name in self.places:
            self._label(draw, tall, name, done.get(name), name == ahead)
        return np.asarray(image, np.uint8)

    def _label(self, draw: ImageDraw, tall: int, name: str, step: int | None, ahead: bool) -> None:
        left, top, right = self.places[name]
        colour = self.colours[name]
        box = (left, tall + top, right, tall + top + CHIP_HEIGHT)
        middle = ((left + right) / 2, tall + top + CHIP_HEIGHT / 2)
        if step is not None:
            draw.rounded_rectangle(box, 5, fill=colour)
            draw.text(middle, f"{name} {step}", fill="white", font=_font(), anchor="mm")
        else:
            draw.rounded_rectangle(box, 5, outline=colour if ahead else LINE, width=2 if ahead else 1)
            draw.text(middle, name, fill=colour if ahead else LATER, font=_font(ahead), anchor="mm")


@cache
def _font(bold: bool = False) -> FreeTypeFont:
    """The pictures' typeface, which matplotlib brings along."""
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, 11)
