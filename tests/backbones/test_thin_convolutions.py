"""Convolutions that oneDNN computes wrongly in bfloat16 on some processors."""

import pytest
import torch
from torch import nn

from earmark.backbones.thin_convolutions import keep_thin_convolutions


@pytest.mark.parametrize("channels", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize("taps", [3, 16, 64])
def test_bfloat16_is_close_to_float32(channels, taps):
    torch.manual_seed(0)
    exact = nn.Conv1d(4 * channels, 4 * channels, taps, groups=4)
    half = nn.Sequential(nn.Conv1d(4 * channels, 4 * channels, taps, groups=4))
    half[0].load_state_dict(exact.state_dict())
    half.to(torch.bfloat16)
    keep_thin_convolutions(half)
    x = torch.randn(1, 4 * channels, 100)
    with torch.inference_mode():
        expected, got = exact(x), half(x.to(torch.bfloat16))
    assert got.dtype == torch.bfloat16
    assert ((got.float() - expected).norm() / expected.norm()).item() < 0.01
