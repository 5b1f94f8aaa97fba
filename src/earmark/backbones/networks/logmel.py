"""The log-mel front end that networks share, and a baseline backbone that consists of it alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn

from earmark.backbones.base import (
    Backbone,
    LayerStats,
    frame_weights,
    layer_stats,
    statistics_of_blocks,
)
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.registry import register


class LogMel(nn.Module):
    """Log-mel spectrogram without padding: (B, n) waveform -> (B, T, M), T = (n - len) // hop + 1.

    A frame is multiplied by ``window`` (len,), zero-padded to ``fft`` points if it has fewer, and
    transformed. ``filters`` (fft // 2 + 1, M) maps its spectrum to mel bands; their number of rows
    defines ``fft``. ``power`` is 2 for the power and 1 for the magnitude spectrum. The result is
    the natural logarithm of ``max(mel + offset, floor)``.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        window: Tensor,
        hop: int,
        filters: Tensor,
        *,
        power: int = 2,
        offset: float = 0.0,
        floor: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self.fft = 2 * (len(filters) - 1)
        self.hop, self.power, self.offset, self.floor = hop, power, offset, floor

    def forward(self, x: Tensor) -> Tensor:
        # One row's spectrum fits a CPU's caches. That of a batch does not: 2 to 3 times slower.
        rows = x.tensor_split(len(x)) if x.device.type == "cpu" else (x,)
        mel = torch.cat([self._mel(row) for row in rows])
        return mel.add_(self.offset).clamp_min_(self.floor).log_()

    def _mel(self, x: Tensor) -> Tensor:
        frames = x.float().unfold(-1, len(self.window), self.hop) * self.window  # (B, T, len)
        spectrum = torch.fft.rfft(frames, self.fft)
        power = spectrum.real.square() + spectrum.imag.square()
        mel: Tensor = (power if self.power == 2 else power.sqrt_()) @ self.filters
        return mel


def htk_mel_filters(fft: int, rate_hz: int, bands: int, low_hz: float, high_hz: float) -> Tensor:
    """Return triangular filters (fft // 2 + 1, bands) on the HTK mel scale, peak 1, no DC.

    The triangles are linear in mel, not in hertz, as in ``mel_features.py`` of tensorflow/models,
    research/audioset/vggish.
    """

    def mel(hz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hz / 700.0)

    edges = mel(torch.tensor([low_hz, high_hz], dtype=torch.float64))
    points = torch.linspace(float(edges[0]), float(edges[1]), bands + 2, dtype=torch.float64)
    bins = mel(torch.linspace(0, rate_hz / 2, fft // 2 + 1, dtype=torch.float64))[:, None]
    rising = (bins - points[:-2]) / (points[1:-1] - points[:-2])
    falling = (points[2:] - bins) / (points[2:] - points[1:-1])
    filters = torch.minimum(rising, falling).clamp_min(0)
    filters[0] = 0
    return filters.float()


RATE_HZ = 16_000
WINDOW = 400  # samples: 25 ms, the usual frame of speech work
HOP = 160  # samples: 10 ms
BANDS = 64


@register(
    BackboneInfo(
        name="logmel",
        summary="Log-mel spectrogram statistics: nothing learned, the baseline to beat",
        rate_hz=RATE_HZ,
        window=10 * RATE_HZ,
        hop=10 * RATE_HZ,
        context=WINDOW // 2,
        step=HOP,
        layers=(Layer("logmel", BANDS),),
        is_logarithmic=True,
        parameters=0,
        source="made here; mel bands as in VGGish (Hershey et al. 2017), 60 Hz to 7.8 kHz",
        licence="Apache-2.0",
        version=2,
        earlier=(1,),
        drops_rounding_since=2,
    )
)
class LogMelBaseline(Backbone):
    """Mean and variance of 64 log-mel bands; a frame is centred on every 10 ms of the clip."""

    def __init__(self, info: BackboneInfo) -> None:
        super().__init__(info)
        self.front_end = LogMel(
            torch.hann_window(WINDOW),
            HOP,
            htk_mel_filters(WINDOW, RATE_HZ, BANDS, 60.0, 7_800.0),
            offset=1e-6,  # a frame of 16-bit rounding noise has a power of about 1e-8
        )

    def forward(
        self, windows: Tensor, valid: Tensor, layers: Collection[str] | None = None
    ) -> dict[str, LayerStats]:
        ((_, x, weight),) = self.window_activations(windows, valid)
        return {"logmel": layer_stats(x, weight, drops_rounding=self.info.drops_rounding)}

    def window_activations(
        self, window: Tensor, valid: Tensor
    ) -> Iterator[tuple[str, Tensor, Tensor]]:
        x = self._frames(window)
        yield "logmel", x, frame_weights(x.shape[2], first=0, stride=HOP, valid=valid)

    def block_step(self) -> int | None:
        return HOP

    def block_stats(self, window: Tensor, block: int) -> dict[str, LayerStats]:
        core = len(window) - 2 * self.info.context
        x = self._frames(window[None])[0, :, : core // HOP]
        return {"logmel": statistics_of_blocks(x, core // block)}

    def _frames(self, windows: Tensor) -> Tensor:
        x = self.front_end(windows)  # (B, T, 64)
        frames: Tensor = x.to(self.dtype).transpose(1, 2)[..., None]  # (B, 64, T, 1)
        return frames
