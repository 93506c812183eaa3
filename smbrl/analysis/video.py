"""Videos of episodes, drawn by the environment itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smbrl.analysis.caption import Caption
from smbrl.analysis.rollout import Trace, episode_seed, trace
from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, Mode, Task

FPS = 25
LONGEST = 20.0
"""Seconds of a video; longer episodes are played faster."""


def record(
    agent: Agent,
    task: Task,
    path: Path,
    *,
    seed: int,
    episode: int = 0,
    step: int = 0,
    mode: Mode = "evaluate",
    seconds: float = LONGEST,
    progress: Callable[[int, int], None] | None = None,
) -> Trace:
    """Play an episode and film it (H.264 in mp4), with a caption that tells its sub-tasks as they are completed.

    Args:
        agent: acts.
        task: makes the environment with ``render_mode="rgb_array"``.
        path: mp4 to write; the folder is made.
        seed, episode: which episode; the same as in an evaluation with ``seed``.
        step: env steps of training, for the agent's schedules.
        mode: how to act.
        seconds: length of the video at most; the time limit's worth of frames is thinned out evenly to fit.
        progress: called with (env steps, time limit).

    Raises:
        SmbrlError: the environment cannot render, or there is no ffmpeg.
    """
    env = task.make(render_mode="rgb_array")
    limit = task.spec.time_limit
    rate = float(env.metadata.get("render_fps") or FPS)
    every = max(1, round(rate / FPS), -(-limit // int(seconds * FPS)))
    name = type(task).__name__
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.stem + ".part" + path.suffix)
    try:
        writer = _writer(draft)
        try:
            caption: Caption | None = None

            def show(text: str, completed: Mapping[str, int]) -> NDArray[np.uint8]:
                nonlocal caption
                frame = _frame(env, name)
                caption = caption or Caption(frame.shape[1], task.subtasks, limit)
                return caption.under(frame, text, completed)

            def watch(steps: int, total: float, completed: Mapping[str, int]) -> None:
                if steps % every == 0:
                    writer.append_data(show(f"{name}   step {steps}   return {total:g}", completed))
                    if progress:
                        progress(steps, limit)

            seen = trace(agent, env, seed=episode_seed(seed, episode), mode=mode, step=step, watch=watch)
            word = "solved" if seen.success else "not solved"
            text = f"{name}   step {seen.steps}   return {seen.rewards.sum():g}   {word}"
            last = show(text, seen.completed)
            for _ in range(FPS):  # a second to look at how it ended
                writer.append_data(last)
        finally:
            writer.close()
        draft.replace(path)
    finally:
        env.close()
        draft.unlink(missing_ok=True)
    return seen


def _writer(path: Path) -> Any:
    try:
        import imageio.v2 as imageio

        return imageio.get_writer(path, fps=FPS, codec="libx264", quality=7, macro_block_size=2, format="FFMPEG")
    except (ImportError, RuntimeError, OSError) as error:
        raise SmbrlError(f"cannot write videos ({error}): pip install imageio imageio-ffmpeg") from error


def _frame(env: Any, name: str) -> NDArray[np.uint8]:
    picture = env.render()
    if not isinstance(picture, np.ndarray) or picture.ndim != 3:
        raise SmbrlError(f"task {name} draws no pictures: its render() returns {type(picture).__name__}")
    return np.asarray(picture, np.uint8)
