import pytest
import torch

from smbrl.errors import SmbrlError
from smbrl.nn.precision import autocast, multiplies_bfloat16, resolve


def test_cpu_defaults_follow_the_machine():
    compute = resolve("cpu")
    fast = multiplies_bfloat16(torch.device("cpu"))
    assert compute.dtype == (torch.bfloat16 if fast else torch.float32)
    assert not compute.compile


def test_wishes_are_kept():
    compute = resolve("cpu", "float32", "on")
    assert (compute.dtype, compute.compile) == (torch.float32, True)
    assert resolve("cpu", "bfloat16").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gpu",), "'gpu'"),
        (("mps",), "'mps'"),
        (("cpu", "half"), "'half'"),
        (("cpu", "auto", "yes"), "'yes'"),
    ],
)
def test_a_wish_that_cannot_be_is_one_line(arguments, words):
    with pytest.raises(SmbrlError, match=words) as caught:
        resolve(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_says_what_to_do():
    with pytest.raises(SmbrlError, match="--device cpu"):
        resolve("cuda")


def test_autocast_is_off_in_float32():
    with autocast(resolve("cpu", "float32")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with autocast(resolve("cpu", "bfloat16")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
