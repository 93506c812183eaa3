"""Offline episodes in memory or mapped, and windows from them by index arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import SkillWindows

if TYPE_CHECKING:
    from smbrl.data.store import Dataset


class EpisodeStore:
    """Episodes end to end in one tensor, on the learner's device unless they are mapped from disk.

    Args:
        obs: ``(total, O)`` float32; an episode of T steps has T + 1 rows.
        actions: ``(total, A)`` float32, row-aligned with ``obs``; the last row of an episode is not an action (and
            set to zero, so that what lies past an episode's end can be read from it).
        starts: row of each episode's first observation ``(E,)`` int64.
        lengths: steps T of each episode ``(E,)`` int64.
        device: where windows are wanted; None: where the data are.
    """

    def __init__(
        self, obs: Tensor, actions: Tensor, starts: Tensor, lengths: Tensor, device: torch.device | str | None = None
    ) -> None:
        if len(obs) != len(actions) or bool((starts + lengths >= len(obs)).any()):
            raise ValueError(
                f"obs {tuple(obs.shape)}, actions {tuple(actions.shape)} and episodes up to row "
                f"{int((starts + lengths).max())} do not fit: T + 1 aligned rows per episode are needed"
            )
        ends = starts + lengths
        if bool(actions[ends].any()):
            actions = actions.index_fill(0, ends, 0.0)
        self.obs = obs.contiguous()
        self.actions = actions.contiguous()
        self.starts = starts
        self.lengths = lengths
        self._device = obs.device if device is None else torch.device(device)
        self._places: dict[int, Tensor] = {}

    @classmethod
    def from_dataset(cls, dataset: Dataset, device: torch.device | str = "cpu") -> EpisodeStore:
        """All episodes of a stored data set, with windows on ``device``.

        The data lie there too, except where they are mapped (`Dataset.mapped`): then only windows go there.

        Raises:
            SmbrlError: the data set is damaged.
        """
        arrays = dataset.arrays
        place = "cpu" if dataset.mapped else device
        parts = (arrays.obs, arrays.actions, arrays.starts, arrays.lengths)
        obs, actions, starts, lengths = (torch.from_numpy(part).to(place) for part in parts)
        return cls(obs, actions, starts, lengths, device)

    @property
    def device(self) -> torch.device:
        """Where windows live."""
        return self._device

    @property
    def episodes(self) -> int:
        """How many."""
        return len(self.starts)

    @property
    def steps(self) -> int:
        """Env steps in all episodes."""
        return int(self.lengths.sum())

    def split(self, validation_share: float, generator: torch.Generator) -> tuple[EpisodeStore, EpisodeStore]:
        """(training, validation): whole episodes at random, the data shared. Each side gets at least one episode.

        Raises:
            SmbrlError: the share is not in (0, 1), or there is one episode only.
        """
        if not 0.0 < validation_share < 1.0:
            raise SmbrlError(f"validation share is {validation_share}: give a number between 0 and 1")
        if self.episodes < 2:
            raise SmbrlError(f"{self.episodes} episode cannot be split into training and validation: get more data")
        order = torch.randperm(self.episodes, generator=generator, device=generator.device).to(self.starts.device)
        held = min(max(round(self.episodes * validation_share), 1), self.episodes - 1)
        return self._subset(order[held:].sort().values), self._subset(order[:held].sort().values)

    def _subset(self, episodes: Tensor) -> EpisodeStore:
        part = object.__new__(EpisodeStore)
        part.obs, part.actions, part._device = self.obs, self.actions, self._device
        part.starts, part.lengths, part._places = self.starts[episodes], self.lengths[episodes], {}
        return part

    def places(self, horizon: int) -> int:
        """Number of steps at which a window may start: those whose first decision of ``horizon`` steps is complete."""
        return int(self._last(horizon)[-1])

    def _last(self, horizon: int) -> Tensor:
        """Running total of window starts over the episodes ``(E,)``."""
        if horizon not in self._places:
            last = (self.lengths - horizon + 1).clamp(min=0).cumsum(0)
            if int(last[-1]) == 0:
                raise SmbrlError(
                    f"the longest of {self.episodes} episodes has {int(self.lengths.max())} steps, less than one skill "
                    f"of {horizon}: use longer episodes or a shorter horizon"
                )
            self._places[horizon] = last
        return self._places[horizon]

    def sample(self, batch: int, decisions: int, horizon: int, generator: torch.Generator) -> SkillWindows:
        """Windows of ``decisions`` * ``horizon`` steps; starts are uniform over steps (not episodes).

        Every step whose first decision is complete can be a start. Past the episode's end the last
        observation is repeated, actions are zero, and the mask of the decision is 0.

        Args:
            batch: B.
            decisions: N.
            horizon: H.
            generator: the only source of randomness.

        Returns:
            obs (B, N*H + 1, O), actions (B, N*H, A), mask (B, N) float32.

        Raises:
            SmbrlError: no episode is as long as one decision.
        """
        episode, step = self.draw(batch, horizon, generator)
        return self.window(self.starts[episode] + step, self.lengths[episode] - step, decisions, horizon)

    def draw(self, batch: int, horizon: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where ``sample`` has its windows begin: episodes ``(B,)`` and steps in them ``(B,)``."""
        last = self._last(horizon)
        place = torch.randint(int(last[-1]), (batch,), generator=generator, device=generator.device).to(last.device)
        episode = torch.searchsorted(last, place, right=True)
        # steps from the start to the episode's end: place counts down from the episode's running total
        left = last[episode] - place + (horizon - 1)
        return episode, self.lengths[episode] - left

    def window(self, first: Tensor, left: Tensor, decisions: int, horizon: int) -> SkillWindows:
        """The windows that begin at rows ``first (B,)`` with ``left (B,)`` steps to their episode's end."""
        steps = decisions * horizon
        place = self.obs.device
        first, left = first.to(place), left.to(place)
        rows = first[:, None] + torch.minimum(torch.arange(steps + 1, device=place), left[:, None])
        # index_select: three times faster on the CPU than indexing
        obs = self.obs.index_select(0, rows.flatten())
        actions = self.actions.index_select(0, rows[:, :-1].flatten())
        ends = torch.arange(1, decisions + 1, device=place) * horizon
        return SkillWindows(
            obs.view(len(first), steps + 1, -1).to(self.device),
            actions.view(len(first), steps, -1).to(self.device),
            (ends <= left[:, None]).to(self.device, obs.dtype),
        )
