"""The loops that earmark is compared with, as articles and model cards show them.

Each takes paths and returns one embedding per file. They run with default settings: torch's own
number of threads, one file after the other.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

RATE_HZ = 16_000
Rival = Callable[[Sequence[Path]], np.ndarray]


def torchvggish_loop(network: torch.nn.Module) -> Rival:
    """Return a loop of librosa.load and torchvggish, file by file, with ``network``'s weights."""
    import librosa

    sys.modules.setdefault("resampy", types.ModuleType("resampy"))  # not needed at 16 kHz
    from torchvggish import torchvggish, vggish_input

    port = torchvggish._vgg(postprocess=False).eval()
    port.load_state_dict(network.state_dict())

    def run(paths: Sequence[Path]) -> np.ndarray:
        found = []
        for path in paths:
            x, rate = librosa.load(path, sr=RATE_HZ)
            with torch.no_grad():
                y = port(vggish_input.waveform_to_examples(x, rate))
            found.append(y.reshape(-1, 128).mean(0).numpy())
        return np.stack(found)

    return run


def transformers_loop(folder: Path) -> Rival:
    """Return a loop of librosa.load, feature extractor and Wav2Vec2Model, file by file."""
    import librosa

    extractor, model = _transformers(folder)

    def run(paths: Sequence[Path]) -> np.ndarray:
        found = []
        for path in paths:
            x, _ = librosa.load(path, sr=RATE_HZ)
            given = extractor(x, sampling_rate=RATE_HZ, return_tensors="pt")
            with torch.no_grad():
                y = model(**given, output_hidden_states=True)
            found.append(torch.stack(y.hidden_states).mean(2)[:, 0].flatten().numpy())
        return np.stack(found)

    return run


def transformers_padded(folder: Path, batch: int = 8) -> Rival:
    """Return the same loop with padded batches; padding changes all embeddings of this network."""
    import librosa

    extractor, model = _transformers(folder)

    def run(paths: Sequence[Path]) -> np.ndarray:
        found = []
        for i in range(0, len(paths), batch):
            clips = [librosa.load(path, sr=RATE_HZ)[0] for path in paths[i : i + batch]]
            given = extractor(clips, sampling_rate=RATE_HZ, return_tensors="pt", padding=True)
            with torch.no_grad():
                y = model(**given, output_hidden_states=True)
            found.append(torch.stack(y.hidden_states).mean(2).transpose(0, 1).flatten(1).numpy())
        return np.concatenate(found)

    return run


def _transformers(folder: Path) -> tuple[Any, Any]:
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

    model = Wav2Vec2Model.from_pretrained(folder).eval()
    return Wav2Vec2FeatureExtractor.from_pretrained(folder), model


def random_wav2vec2(folder: Path) -> Path:
    """Write a Wav2Vec2 of the base size with random weights, as save_pretrained does."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder
