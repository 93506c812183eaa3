import torch

from smbrl.nn.scaling import PercentileScale


def test_scale_follows_the_percentiles_of_what_is_seen():
    scale = PercentileScale(rate=0.5)
    values = torch.arange(101.0)  # 5th and 95th percentile are 5 and 95
    torch.testing.assert_close(scale.update(values), torch.tensor(45.0))
    torch.testing.assert_close(scale.update(values), torch.tensor(67.5))
    torch.testing.assert_close(scale.bounds, torch.tensor([3.75, 71.25]))


def test_scale_is_never_below_one():
    scale = PercentileScale(rate=1.0)
    assert float(scale.update(torch.linspace(0, 0.1, 50))) == 1.0


def test_what_is_masked_does_not_count():
    values, mask = torch.arange(101.0), torch.ones(101)
    values[50:], mask[50:] = 1e9, 0
    torch.testing.assert_close(PercentileScale(rate=1.0).update(values, mask), torch.tensor(0.9 * 49))


def test_scale_is_saved():
    scale, other = PercentileScale(), PercentileScale()
    scale.update(torch.arange(1e4))
    other.load_state_dict(scale.state_dict())
    assert float(other.scale()) == float(scale.scale()) > 1
