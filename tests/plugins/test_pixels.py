"""Images: encoded, moved about while learning, learned from."""

import pytest
import torch
from smbrl_plugins.agents.sac import SAC
from smbrl_plugins.encoders.pixels import PixelEncoder

from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec, Windows
from smbrl.testing import assert_conforms

SIZE = 12
SPEC = TaskSpec.plain(SIZE * SIZE, 1, time_limit=5)


class Small(PixelEncoder):
    """Of small grey images."""

    def __init__(self, spec: TaskSpec, latent: int, *, shift_pixels: int = 1) -> None:
        super().__init__(spec, latent, shape=(SIZE, SIZE, 1), channels=(8, 8), shift_pixels=shift_pixels)


def test_keeps_its_contract():
    assert_conforms(
        PixelEncoder,
        lambda spec, latent: PixelEncoder(spec, latent, shape=(1, spec.observation, 1), channels=(8,)),
    )


def test_images_of_another_size_are_refused_in_one_line():
    with pytest.raises(SmbrlError, match="12288 numbers; the task's observations have 144"):
        PixelEncoder(SPEC, 16)


def test_a_window_is_moved_alike_and_its_edge_repeats():
    encoder = PixelEncoder(TaskSpec.plain(4 * 5 * 2, 1), 8, shape=(4, 5, 2), channels=(4,), shift_pixels=2)
    obs = torch.rand(50, 3, 40)
    moved = encoder.augment(obs, torch.Generator().manual_seed(0))
    assert moved.shape == obs.shape
    images, after = obs.view(50, 3, 4, 5, 2), moved.view(50, 3, 4, 5, 2)
    seen = set()
    for before, now in zip(images, after, strict=True):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(
                now,
                before[:, (torch.arange(4) + down).clamp(0, 3)][:, :, (torch.arange(5) + right).clamp(0, 4)],
            )
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 15  # of 25


def test_nothing_moves_where_that_is_not_wanted(generator):
    encoder, obs = Small(SPEC, 8, shift_pixels=0), torch.rand(3, 2, SIZE * SIZE)
    assert encoder.augment(obs, generator) is obs


def picture(place):
    """A bright spot in the middle row: ``(E,)`` in [-1, 1] -> ``(E, SIZE * SIZE)``."""
    columns = torch.linspace(-1, 1, SIZE)
    image = torch.zeros(len(place), SIZE, SIZE)
    image[:, SIZE // 2 - 1 : SIZE // 2 + 1] = torch.exp(-8.0 * (columns - place[:, None]) ** 2)[:, None]
    return image.flatten(1)


def transitions(agent, mode, count, generator):
    """One decision each: the reward is high where the action names the place of the spot."""
    place = torch.rand(count, generator=generator) * 2 - 1
    obs = picture(place)
    decision, _ = agent.act(obs, agent.initial_memory(count), mode=mode, step=0, generator=generator)
    reward = 1.0 - (decision[:, 0] - place).abs()
    one = torch.ones(count, 1)
    return Windows(
        torch.stack([obs, obs], 1),
        decision.unsqueeze(1),
        reward.unsqueeze(1),
        one,
        one,
        torch.full_like(one, -torch.inf),
    )


def test_sac_learns_from_pixels(generator):
    torch.manual_seed(0)
    sizes = {"latent": 32, "hidden": 32, "layers": 1, "critic_hidden": 32, "critic_layers": 2}
    agent = SAC(
        SPEC, encoder=Small, critic_encoder=Small, **sizes, alpha=0.05, target_divergence=None, learning_rate=3e-3
    )
    before = float(transitions(agent, "evaluate", 200, generator).reward.mean())
    replay = transitions(agent, "prior", 400, generator)
    for turn in range(150):
        rows = torch.randint(len(replay.mask), (64,), generator=generator)
        agent.update(Windows(**{k: v[rows] for k, v in vars(replay).items()}), generator)
        if turn % 25 == 24:
            new = transitions(agent, "explore", 100, generator)
            replay = Windows(**{k: torch.cat([v, getattr(new, k)]) for k, v in vars(replay).items()})
    after = float(transitions(agent, "evaluate", 200, generator).reward.mean())
    assert before < 0.8  # anything that tells left from right a little
    assert after > 0.9
