"""A network remembers the weights of frames of one window: they are those of any other call."""

import copy
from concurrent.futures import ThreadPoolExecutor

import torch

from earmark.backbones import base, load_backbone


def stats(network: base.Backbone, seconds: float) -> torch.Tensor:
    n, info = round(seconds * 16_000), network.info
    generator = torch.Generator().manual_seed(n)
    core = torch.randn(1, -(-n // info.step) * info.step, generator=generator)
    core[:, n:] = 0
    window = torch.nn.functional.pad(core, (info.context, info.context))
    with torch.inference_mode():
        found = network(window, torch.tensor([n]))
    return torch.cat([layer.mean for layer in found.values()], 1)


def test_lengths_in_any_order_and_threads_give_the_same(monkeypatch):
    monkeypatch.setattr(base, "KNOWN_WEIGHTS", 20)  # fewer than the lengths have
    network = load_backbone("speech-embedding")
    lengths = [0.3, 0.5, 0.31, 0.3, 0.7, 0.5]
    alone = [stats(load_backbone("speech-embedding"), seconds) for seconds in lengths]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda seconds: stats(network, seconds), lengths))
    assert all(map(torch.equal, alone, found))
    again = copy.deepcopy(network).requires_grad_(True)
    window = torch.zeros(1, 16_000 + 2 * network.info.context)
    sum(s.mean.sum() for s in again(window, torch.tensor([16_000])).values()).backward()
