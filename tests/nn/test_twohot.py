import math

import pytest
import torch

from smbrl.nn.twohot import TwoHot, symexp, symlog


def numbers(count: int, size: float) -> torch.Tensor:
    return (torch.rand(count, generator=torch.Generator().manual_seed(0)) * 2 - 1) * size


def test_symlog_is_the_logarithm_for_either_sign():
    x = torch.tensor([0.0, math.e - 1, -(math.e**2 - 1)])
    torch.testing.assert_close(symlog(x), torch.tensor([0.0, 1.0, -2.0]))


def test_symexp_undoes_symlog():
    x = torch.cat([numbers(1000, 1e-3), numbers(1000, 1e4)])
    torch.testing.assert_close(symexp(symlog(x)), x, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("bins", "size", "space"), [(255, 20.0, "symexp"), (101, 10.0, "symlog"), (40, 5.0, "symexp")])
def test_ten_thousand_numbers_survive_the_way_there_and_back(bins, size, space):
    two_hot = TwoHot(bins, -size, size, space)
    x = symexp(numbers(10_000, 0.99 * size))
    shares = two_hot.encode(x)
    assert int((shares > 0).sum(-1).max()) <= 2
    torch.testing.assert_close(shares.sum(-1), torch.ones(10_000))
    torch.testing.assert_close(two_hot.decode(shares), x, rtol=1e-3, atol=1e-4)


def test_shares_of_the_two_bins_by_hand():
    two_hot = TwoHot(3, -1.0, 1.0)  # bins -(e - 1), 0, e - 1
    top = math.e - 1
    torch.testing.assert_close(two_hot.encode(torch.tensor(0.25 * top)), torch.tensor([0.0, 0.75, 0.25]))
    torch.testing.assert_close(two_hot.encode(torch.tensor(-0.5 * top)), torch.tensor([0.5, 0.5, 0.0]))
    # in symlog space the middle between 0 and 1 is e^0.5 - 1
    spaced = TwoHot(3, -1.0, 1.0, "symlog")
    torch.testing.assert_close(spaced.encode(torch.tensor(math.exp(0.5) - 1)), torch.tensor([0.0, 0.5, 0.5]))


def test_a_number_on_a_bin_or_beyond_them_is_that_bin():
    two_hot = TwoHot(5, -2.0, 2.0)
    torch.testing.assert_close(two_hot.encode(two_hot.bins), torch.eye(5))
    torch.testing.assert_close(two_hot.encode(torch.tensor([1e9, -1e9])), torch.eye(5)[[4, 0]])


def test_equal_shares_are_exactly_zero():
    for bins in (255, 256):
        two_hot = TwoHot(bins)
        assert float(two_hot.decode(torch.zeros(bins).softmax(-1))) == 0.0


def test_cross_entropy_equals_the_sum_over_bins():
    two_hot = TwoHot(15, -3.0, 3.0)
    logits, x = torch.randn(20, 15, generator=torch.Generator().manual_seed(1)), numbers(20, 15.0)
    by_hand = -(two_hot.encode(x) * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(two_hot.cross_entropy(logits, x), by_hand)
