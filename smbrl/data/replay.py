"""What the agent has lived through: whole episodes of decisions, in one contiguous ring."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import Windows

Floats = NDArray[np.float32]


class DecisionReplay:
    """Episodes of decisions on the learner's device; windows of N decisions are gathered by index arithmetic.

    A row is one decision: where it was made, what it was, what came of it. Rows form a ring, episodes lie in it
    one after the other, and row i + 1 follows row i until the episode ends. Every row can start a window; what
    reaches past the episode's end repeats the last row and is masked. So a short episode is used like any other,
    and no window ever mixes two episodes.

    Only whole episodes are added, and the oldest ones leave when ``capacity`` decisions are exceeded.

    Args:
        capacity: decisions.
        observation: size O of an observation.
        decision: size Z of a decision.
        discount: per decision, for ``lower_bound``.
        device: where the rows live and windows are returned.
        rewarded_share: share of a batch's windows from episodes with a positive return (as soon as there is one): a
            uniform decision of a uniform one of them, so that the short ones, which did best, count as much as the
            long ones. The rest is uniform over all decisions; 0 is plain uniform replay.
    """

    def __init__(
        self,
        capacity: int,
        observation: int,
        decision: int,
        discount: float,
        device: torch.device | str = "cpu",
        rewarded_share: float = 0.0,
    ) -> None:
        if capacity < 1:
            raise SmbrlError(f"Online.capacity is {capacity}; the replay must hold at least one decision")
        if not 0.0 <= rewarded_share <= 1.0:
            raise SmbrlError(f"Online.rewarded_share is {rewarded_share}; it is a share, from 0 to 1")
        self.capacity = capacity
        self.discount = discount
        self.rewarded_share = rewarded_share
        self.device = torch.device(device)
        self._sizes = [observation, observation, decision, 1, 1, 1]  # next obs, obs, decision, reward, end, bound
        self._rows = torch.zeros(capacity, sum(self._sizes), device=self.device)
        self._left = torch.zeros(capacity, dtype=torch.int64, device=self.device)  # decisions to the end, this one too
        self._head = self._count = 0
        self._episodes: deque[tuple[int, bool]] = deque()  # (decisions, rewarded), oldest first
        # rewarded episodes, a ring of (first row, decisions); there are never more than there are rows
        self._rewarded = torch.zeros(capacity, 2, dtype=torch.int64, device=self.device)
        self._rewarded_head = self._rewarded_count = self._rewarded_decisions = 0

    def __len__(self) -> int:
        """Decisions held."""
        return self._count

    @property
    def episodes(self) -> int:
        """Episodes held."""
        return len(self._episodes)

    @property
    def rewarded(self) -> int:
        """Decisions held that belong to episodes with a positive return."""
        return self._rewarded_decisions

    # -- filling -----------------------------------------------------------------------------------
    def add_episode(self, obs: Floats, decision: Floats, reward: Floats, terminated: bool) -> None:
        """Add a finished episode of T decisions.

        Args:
            obs: before each decision, and the final one ``(T + 1, O)``.
            decision: ``(T, Z)``.
            reward: undiscounted sum of env rewards during each decision ``(T,)``.
            terminated: whether the MDP ended; False for a time-out.

        Raises:
            SmbrlError: the episode alone exceeds the capacity.
        """
        length = len(reward)
        if length > self.capacity:
            raise SmbrlError(
                f"an episode of {length} decisions does not fit into a replay of {self.capacity}; raise Online.capacity"
            )
        ends = np.zeros((length, 1), np.float32)
        ends[-1] = terminated
        bound = returns_to_go(reward, self.discount) if terminated else np.full(length, -np.inf, np.float32)
        rows = np.concatenate([obs[1:], obs[:-1], decision, reward[:, None], ends, bound[:, None]], axis=1)
        left = np.arange(length, 0, -1)
        self._append(torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(left), bool(reward.sum() > 0))

    def _append(self, rows: Tensor, left: Tensor, rewarded: bool) -> None:
        length = len(rows)
        while self._count + length > self.capacity:
            self._evict()
        place = (self._head + self._count + torch.arange(length, device=self.device)) % self.capacity
        self._rows[place] = rows.to(self.device)
        self._left[place] = left.to(self.device)
        self._count += length
        if rewarded:
            tail = (self._rewarded_head + self._rewarded_count) % self.capacity
            self._rewarded[tail, 0], self._rewarded[tail, 1] = place[0], length
            self._rewarded_count += 1
            self._rewarded_decisions += length
        self._episodes.append((length, rewarded))

    def _evict(self) -> None:
        length, rewarded = self._episodes.popleft()
        self._head = (self._head + length) % self.capacity
        self._count -= length
        if rewarded:
            self._rewarded_head = (self._rewarded_head + 1) % self.capacity
            self._rewarded_count -= 1
            self._rewarded_decisions -= length

    # -- sampling ----------------------------------------------------------------------------------
    def sample(self, batch: int, window: int, generator: torch.Generator) -> Windows:
        """Draw ``batch`` windows of ``window`` decisions.

        Args:
            batch: B.
            window: N.
            generator: on the replay's device.
        """
        if not self._count:
            raise RuntimeError("sampling from an empty replay")
        rewarded = round(self.rewarded_share * batch) if self._rewarded_count else 0
        drawn = torch.randint(self._count, (batch - rewarded,), generator=generator, device=self.device)
        start = (self._head + drawn) % self.capacity
        if rewarded:
            start = torch.cat([self._rewarded_starts(rewarded, generator), start])
        return self._gather(start, window)

    def _rewarded_starts(self, count: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randint(self._rewarded_count, (count,), generator=generator, device=self.device)
        first, length = self._rewarded[(self._rewarded_head + drawn) % self.capacity].unbind(-1)
        # 2**62 is so much larger than an episode that the remainder is uniform
        ahead = torch.randint(2**62, (count,), generator=generator, device=self.device) % length
        return (first + ahead) % self.capacity

    def _gather(self, start: Tensor, window: int) -> Windows:
        ahead = torch.arange(window, device=self.device)
        left = self._left[start, None]
        index = (start[:, None] + torch.minimum(ahead, left - 1)) % self.capacity
        rows = self._rows[index]
        after, before, decision, reward, terminated, bound = torch.split(rows, self._sizes, dim=-1)
        return Windows(
            obs=torch.cat([before[:, :1], after], dim=1),
            decision=decision,
            reward=reward.squeeze(-1),
            terminated=terminated.squeeze(-1),
            mask=(ahead < left).to(rows.dtype),
            lower_bound=bound.squeeze(-1),
        )

    # -- looking at it -----------------------------------------------------------------------------
    def _live(self) -> Tensor:
        return (self._head + torch.arange(self._count, device=self.device)) % self.capacity

    def observations(self) -> Tensor:
        """The observation at which each held decision was made, oldest first ``(len, O)``: where the agent was."""
        size = self._sizes[0]
        return self._rows[self._live(), size : 2 * size]

    @staticmethod
    def observations_in(state: dict[str, Tensor], observation: int) -> Tensor:
        """The same from a saved ``state``, for observations of this size."""
        return state["rows"][:, observation : 2 * observation]

    # -- checkpoints -------------------------------------------------------------------------------
    def state(self) -> dict[str, Tensor]:
        """Everything held, oldest first, as tensors on the CPU."""
        live = self._live()
        return {
            "rows": self._rows[live].cpu(),
            "lengths": torch.tensor([length for length, _ in self._episodes], dtype=torch.int64),
            "rewarded": torch.tensor([rewarded for _, rewarded in self._episodes], dtype=torch.bool),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Hold what ``state`` returned. The draws that follow are those that would have followed there.

        Raises:
            SmbrlError: the rows have another width or do not fit.
        """
        rows, lengths, rewarded = state["rows"], state["lengths"].tolist(), state["rewarded"].tolist()
        if rows.shape[1] != sum(self._sizes) or len(rows) > self.capacity:
            raise SmbrlError(
                f"the stored replay has {tuple(rows.shape)} rows x columns, this run's holds up to "
                f"({self.capacity}, {sum(self._sizes)}): it belongs to a run with other sizes"
            )
        self._head = self._count = 0
        self._rewarded_head = self._rewarded_count = self._rewarded_decisions = 0
        self._episodes.clear()
        parts = torch.split(rows, lengths) if lengths else ()
        for episode, length, flag in zip(parts, lengths, rewarded, strict=True):
            self._append(episode, torch.arange(length, 0, -1), flag)


def returns_to_go(reward: Floats, discount: float) -> Floats:
    """G_t = r_t + discount G_{t+1} for an episode's rewards ``(T,)``, summed in float64."""
    returns = np.zeros(len(reward), np.float64)
    running = 0.0
    for index in range(len(reward) - 1, -1, -1):
        running = float(reward[index]) + discount * running
        returns[index] = running
    return returns.astype(np.float32)
