"""Read recordings, bytes and arrays as waveforms and windows, without labels and networks."""

from earmark.audio.options import (
    AS_IT_IS,
    DECODER_VERSION,
    MAX_PEAK,
    NON_FINITE,
    AudioOptions,
    AudioWarning,
    Sound,
    Stream,
)
from earmark.audio.reading import (
    decode,
    header_of,
    load,
    open_channels,
    open_stream,
    read,
    read_channels,
)
from earmark.audio.resampling import resample
from earmark.audio.windows import window
from earmark.system.lazy import hand_on

__all__ = [
    "AS_IT_IS",
    "DECODER_VERSION",
    "MAX_PEAK",
    "NON_FINITE",
    "AudioOptions",
    "AudioWarning",
    "Sound",
    "Stream",
    "decode",
    "header_of",
    "load",
    "open_channels",
    "open_stream",
    "read",
    "read_channels",
    "resample",
    "window",
]
__getattr__ = hand_on(__name__, {})
