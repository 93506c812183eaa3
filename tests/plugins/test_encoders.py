import math

import torch
from smbrl_plugins.encoders.fourier import FourierEncoder
from smbrl_plugins.encoders.mlp import MLPEncoder

from smbrl.interfaces import TaskSpec
from smbrl.testing import assert_conforms

SPEC = TaskSpec(4, 2, (-0.5, -0.5, 0.0, 0.0), (0.025, 0.025, 0.1, 0.1), position=(1, 0))


def test_encoders_keep_their_contract():
    assert_conforms(MLPEncoder)
    assert_conforms(FourierEncoder)


def test_fourier_features_are_sines_and_cosines_of_each_octave():
    encoder = FourierEncoder(SPEC, 8, octaves=6)
    obs = torch.rand(50, 4) * 40
    x = obs * torch.tensor(SPEC.scale) + torch.tensor(SPEC.shift)
    expected = [x]
    for k in range(1, 7):
        angle = 2**k * math.pi * x[:, [1, 0]].double()
        expected += [angle.sin().float(), angle.cos().float()]
    torch.testing.assert_close(encoder.features(obs), torch.cat(expected, -1), atol=2e-5, rtol=0)


def test_fast_path_equals_forward():
    torch.manual_seed(0)
    obs = torch.rand(20, 4) * 40
    for encoder in (MLPEncoder(SPEC, 8), FourierEncoder(SPEC, 8), FourierEncoder(TaskSpec.plain(4, 2), 8)):
        fast = torch.from_numpy(encoder.fast()(obs.numpy()))
        torch.testing.assert_close(fast, encoder(obs).detach(), atol=2e-5, rtol=1e-5)


def test_normalisation_can_be_left_to_the_environment():
    torch.manual_seed(0)
    obs = torch.rand(3, 4) * 40
    raw = MLPEncoder(SPEC, 8, normalise=False)
    torch.testing.assert_close(raw(obs), raw.mlp(obs))
