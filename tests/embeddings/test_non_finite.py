"""NaN and infinity, wherever they come from, are told with the thing that has them."""

import numpy as np
import pytest
import soundfile
import torch

from earmark import backbones
from earmark.backbones.networks import tflite_weights
from earmark.backbones.networks.speech_embedding import _models_folder
from earmark.backbones.tensors import load_state_dict
from earmark.data.clip import Clip
from earmark.embeddings.pipeline import embed_stream
from earmark.embeddings.stages import Embedded, Failure
from earmark.embeddings.store import Store
from earmark.errors import BackboneError


def broken(bad: float, column: str):
    """A backbone that gives ``bad`` for loud clips, in the second of two layers."""
    network = backbones.load_backbone("speech-embedding", engine="torch")
    network.restrict_to_layers([layer.name for layer in network.info.layers[:2]])
    second = network.info.layers[1].name
    forward = network.forward

    def wrong(windows, valid, layers=None):
        stats = forward(windows, valid, layers)
        loud = windows.abs().amax(1) > 0.5
        changed = getattr(stats[second], column).clone()
        changed[loud, -1] = bad
        return {**stats, second: stats[second]._replace(**{column: changed})}

    network.forward = wrong
    return network, second


@pytest.mark.parametrize(
    ("bad", "column"), [(np.nan, "mean"), (-np.inf, "mean"), (np.inf, "var"), (-1.0, "var")]
)
def test_a_network_that_gives_nan_fails_for_that_clip(tmp_path, bad, column):
    t = np.arange(16_000) / 16_000
    for name, peak in (("loud", 0.9), ("soft", 0.1)):
        soundfile.write(tmp_path / f"{name}.wav", peak * np.sin(2_000 * t), 16_000)
    clips = [Clip(tmp_path / f"{name}.wav") for name in ("loud", "soft")]
    network, layer = broken(bad, column)
    with Store() as store:
        loud, soft = embed_stream(clips, network, store=store)
        assert isinstance(soft, Embedded) and np.isfinite(soft.vector).all()
        assert isinstance(loud, Failure) and loud.kind == "network"
        assert f"backbone 'speech-embedding' gives NaN or infinity in layer '{layer}'; " in str(
            loud.error
        )
        assert [n for _, n, _ in store.summary()] == [1]  # only the good one


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_with_nan_name_file_and_tensor(tmp_path, bad):
    import safetensors.torch

    state = {"good": torch.ones(3), "block.weight": torch.tensor([[1.0, bad]])}
    torch.save(state, tmp_path / "a.pt")
    half = {name: x.half() for name, x in state.items()}
    safetensors.torch.save_file(half, tmp_path / "a.safetensors")
    for name in ("a.pt", "a.safetensors"):
        with pytest.raises(BackboneError, match=rf"{name}: .*block.weight has NaN .* 1 of 2 val"):
            load_state_dict(tmp_path / name)


def test_tflite_weights_with_nan_name_the_tensor(tmp_path):
    source = _models_folder() / "embedding_model.tflite"
    content = bytearray(source.read_bytes())
    constants = tflite_weights.read_constants(source)
    values = next(v for v in constants.values() if v.dtype == np.float32 and v.size > 50)
    at = content.index(values.tobytes())
    content[at : at + 4] = np.float32(np.nan).tobytes()
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(BackboneError, match=r"a.tflite is damaged .*tensor '.+' has NaN or inf"):
        tflite_weights.read_constants(tmp_path / "a.tflite")
