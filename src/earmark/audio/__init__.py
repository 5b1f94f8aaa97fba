"""Read recordings, bytes and arrays as waveforms and windows, without labels and networks."""

from typing import TYPE_CHECKING

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
from earmark.audio.resampling import StreamResampler, resample
from earmark.audio.windows import window
from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.audio.live import Gap, LiveBlock, LiveInput
    from earmark.audio.live_sources import open_live
    from earmark.audio.pcm import Pcm

__all__ = [
    "AS_IT_IS",
    "DECODER_VERSION",
    "MAX_PEAK",
    "NON_FINITE",
    "AudioOptions",
    "AudioWarning",
    "Gap",
    "LiveBlock",
    "LiveInput",
    "Pcm",
    "Sound",
    "Stream",
    "StreamResampler",
    "decode",
    "header_of",
    "load",
    "open_channels",
    "open_live",
    "open_stream",
    "read",
    "read_channels",
    "resample",
    "window",
]
__getattr__ = hand_on(
    __name__,
    dict.fromkeys(("Gap", "LiveBlock", "LiveInput"), "live")
    | {"open_live": "live_sources", "Pcm": "pcm"},
)
