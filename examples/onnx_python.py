"""Classify recordings with an exported classifier; it needs neither earmark nor PyTorch.

python examples/onnx_python.py model.onnx a.wav b.wav
"""

import json
import sys

import onnxruntime
import soundfile
import soxr

if __name__ == "__main__":
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # threads that wait for each other cost more than they save
    session = onnxruntime.InferenceSession(sys.argv[1], options)
    about = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    channel, below = about["audio"]["channel"], about["unknown_threshold"]
    for path in sys.argv[2:]:
        x, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        x = x[:, channel - 1] if channel else x.mean(1)  # counted from 1
        x = soxr.resample(x, rate_hz, about["rate_hz"])
        scores, known = session.run(["scores", "known_score"], {"waveform": x})
        chosen = scores >= (scores.max() if about["is_single"] else about["thresholds"])
        found = [f"{about['labels'][k]} {scores[k]:.6f}" for k in chosen.nonzero()[0]]
        is_known = below is None or known.item() >= below
        print(path, *(found if is_known else ["unknown"]), sep="\t")
