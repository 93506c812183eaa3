"""The skills of a run seen from outside: where held-out behaviour lies among them, and whether the prior is there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from smbrl.analysis.embedding import Embedding, embed, picture
from smbrl.analysis.report import Subject
from smbrl.errors import SmbrlError
from smbrl.policy.views import Skills
from smbrl.training.load import LoadedRun
from smbrl.training.seeding import generator


@dataclass(frozen=True)
class SkillMap:
    """What came out, and the files written."""

    embedding: Embedding
    files: tuple[Path, ...]


def skill_map(run: LoadedRun, *, windows: int) -> SkillMap:
    """Embed the skills of held-out windows, as pre-training left them, and draw them into the run's ``plots``.

    Args:
        run: read back; its offline data must be in the store.
        windows: how many.

    Raises:
        SmbrlError: too few windows, no skills that were learned from data, or no held-out data.
    """
    check(windows)
    if Skills.of(run.agent) is None:
        raise SmbrlError(
            f"{type(run.agent).__name__} of run {run.folder.name} has no skills learned from data: "
            "smbrl skills is for methods that pre-train skills (SkiMo, SPiRL)"
        )
    subject = Subject.of(run)
    episodes = subject.held_out()
    if episodes is None:
        settings = run.experiment.pretraining
        if not settings.validation_share:
            raise SmbrlError(
                f"run {run.folder.name} held no data out (Pretraining.validation_share = 0): train with some"
            )
        raise SmbrlError(f"the offline data of {type(run.task).__name__} are not in the store: smbrl data generate")
    skills = Skills.of(subject.pretrained())
    assert skills is not None
    found = embed(run.task, skills, episodes, windows, generator(episodes.device, 0, "skills"))
    plots = run.folder.plots
    numbers = plots / "skills.json"
    about = {"run": run.folder.name, "episodes": episodes.episodes}
    numbers.write_text(json.dumps({**about, **found.as_json()}, indent=1) + "\n", encoding="utf-8")
    return SkillMap(found, (numbers, picture(found, plots / "skills.png")))


def check(windows: int) -> None:
    """Look at a wish before anything long begins.

    Raises:
        SmbrlError: it makes no sense.
    """
    if windows < 10:
        raise SmbrlError(f"--windows is {windows}; it must be at least 10")
