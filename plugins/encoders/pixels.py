"""Images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Encoder, TaskSpec
from smbrl.nn.mlp import MLP


class PixelEncoder(Encoder):
    """Convolutions (3 x 3, stride 2, ELU) on an image, then Linear - LayerNorm - tanh.

    Observations are flattened images, rows x columns x channels as Gymnasium has them. While learning, the images of
    a window are moved together by a few pixels, what appears at the edge being the edge itself: without that, critics
    learn single images by heart (Yarats, Kostrikov, Fergus: Image Augmentation Is All You Need, ICLR 2021).

    Args:
        spec: the task's shapes and normalisation (``Gymnasium.scale = 0.0039`` brings bytes to 0 ... 1).
        latent: size of the latent.
        shape: rows, columns, channels of an image.
        channels: of each convolution.
        shift_pixels: how far an image is moved at most; 0: not at all.
        normalise: apply the task's normalisation.
    """

    def __init__(
        self,
        spec: TaskSpec,
        latent: int,
        *,
        shape: tuple[int, int, int] = (64, 64, 3),
        channels: tuple[int, ...] = (32, 32, 32),
        shift_pixels: int = 4,
        normalise: bool = True,
    ) -> None:
        super().__init__(spec, latent, normalise=normalise)
        if math.prod(shape) != spec.observation:
            raise SmbrlError(
                f"PixelEncoder.shape is {shape}, {math.prod(shape)} numbers; the task's observations have "
                f"{spec.observation}: bind rows, columns and channels of its images"
            )
        self.shape, self.shift_pixels = tuple(shape), shift_pixels
        rows, columns, depth = shape
        layers: list[nn.Module] = []
        for width in channels:
            layers += [nn.Conv2d(depth, width, 3, stride=2, padding=1), nn.ELU()]
            rows, columns, depth = (rows + 1) // 2, (columns + 1) // 2, width
        self.convolutions = nn.Sequential(*layers)
        for layer in self.convolutions:
            if isinstance(layer, nn.Conv2d):
                nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.last = MLP(rows * columns * depth, [], latent)
        self.norm = nn.LayerNorm(latent)

    def forward(self, obs: Tensor) -> Tensor:
        """See the contract."""
        lead = obs.shape[:-1]
        images = self.normalise(obs).reshape(-1, *self.shape).permute(0, 3, 1, 2)
        flat = self.convolutions(images).flatten(1)
        return torch.tanh(self.norm(self.last(flat.float()))).view(*lead, self.latent)

    def augment(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        """Move the images of each window ``(B, ..., O)`` by up to ``shift_pixels``, all of a window alike."""
        if not self.shift_pixels:
            return obs
        far = self.shift_pixels
        rows, columns, depth = self.shape
        images = obs.reshape(len(obs), -1, rows, columns, depth).permute(0, 1, 4, 2, 3)
        padded = F.pad(images.flatten(1, 2), (far, far, far, far), mode="replicate")
        moved = torch.randint(2 * far + 1, (2, len(obs), 1), generator=generator, device=obs.device)
        down = moved[0] + torch.arange(rows, device=obs.device)
        across = moved[1] + torch.arange(columns, device=obs.device)
        padded = padded.gather(2, down[:, None, :, None].expand(-1, padded.shape[1], -1, padded.shape[3]))
        padded = padded.gather(3, across[:, None, None, :].expand(-1, padded.shape[1], rows, -1))
        return padded.view(len(obs), -1, depth, rows, columns).permute(0, 1, 3, 4, 2).reshape(obs.shape)
