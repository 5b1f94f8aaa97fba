"""Read, hash and decode a clip, and cut it into windows."""

from __future__ import annotations

import hashlib

from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.embeddings.sections import cut_section
from earmark.embeddings.stages import Outcome
from earmark.errors import AudioError
from earmark.system.files import file_sha256

WHOLE_FILE_BYTES = 32 * 2**20  # larger recordings are not held in memory while they wait


def read(backbone: Backbone, options: AudioOptions, clip: Clip) -> Outcome:
    """Read and hash the recording; keep its bytes only where all of it is wanted and not large."""
    outcome = Outcome(clip)
    try:
        stat = clip.path.stat()
        if stat.st_size > WHOLE_FILE_BYTES or clip.start is not None or clip.end is not None:
            outcome.source = clip.path
            content = file_sha256(clip.path)
        else:
            outcome.source = clip.path.read_bytes()
            content = hashlib.sha256(outcome.source).digest()
    except OSError as error:
        outcome.error = AudioError(f"{clip.path}: cannot be opened: {error.strerror}")
        return outcome
    what = f"{clip.start} {clip.end} {options} {audio.DECODER_VERSION} {backbone.fingerprint}"
    outcome.key = hashlib.sha256(content + what.encode()).digest()[:16]
    return outcome


def decode(backbone: Backbone, options: AudioOptions, outcome: Outcome) -> Outcome:
    """Fill in the windows of a clip that is not known yet, or its error."""
    if outcome.error is not None or outcome.record is not None or outcome.twin is not None:
        outcome.source = b""
        return outcome
    try:
        if outcome.section is None:
            _cut_whole(backbone, options, outcome)
        else:
            cut_section(backbone, options, outcome, outcome.section)
    except AudioError as error:
        outcome.error = error
    outcome.source = b""
    return outcome


def _cut_whole(backbone: Backbone, options: AudioOptions, outcome: Outcome) -> None:
    info, clip = backbone.info, outcome.clip
    sound = audio.read(
        outcome.source, info.rate_hz, clip.start, clip.end, options, name=str(clip.path)
    )
    x, outcome.warnings = sound.samples, sound.warnings
    outcome.seconds = len(x) / info.rate_hz
    outcome.windows, outcome.valid = audio.window(
        backbone.prepare(x), info.window, info.hop, info.context, info.step
    )
