import torch

from smbrl.analysis.imagines import IMAGINES, JUDGES, can
from smbrl.analysis.readout import MOST, ReadOut


def test_states_are_read_as_the_nearest_seen_observation_whatever_the_decoder_says(walker):
    walker.decode = lambda state: state * torch.nan
    seen = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 20
    reader = ReadOut(walker, seen)
    assert can(reader, *IMAGINES, *JUDGES)
    torch.testing.assert_close(reader.decode(walker.encode(seen[:6]).view(2, 3, 2)), seen[:6].view(2, 3, 2))
    near = reader.decode(walker.encode(seen[7:8] + 0.001))
    torch.testing.assert_close(near, seen[7:8])
    assert len(ReadOut(walker, torch.zeros(3 * MOST + 1, 2))._observations) <= MOST
