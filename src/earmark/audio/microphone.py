"""A microphone through PortAudio (the package sounddevice)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from earmark.audio.decoder import Refusal
from earmark.audio.live import Clock, Gap, LiveBlock, RingBuffer
from earmark.audio.mixing import Mixer
from earmark.errors import AudioError, first_line
from earmark.system import extras

BLOCK_S = 0.05  # of sound at a time
LOOK_S = 1.0  # between looks whether the microphone is still there
SILENT_LOOKS = 5  # without sound: PortAudio often does not tell that a device was unplugged
MOST_CHANNELS = 2  # without a choice: some systems offer 32 channels for one microphone


class Microphone:
    """An input device. ``which`` is its number or a part of its name; empty for the default one.

    Raises AudioError if there is no such device, and if its sound cannot be read.
    """

    def __init__(self, which: str, mixer: Mixer, clock: Clock) -> None:
        self.name = f"mic:{which}" if which else "mic"
        self.mixer, self.clock = mixer, clock
        self._sounddevice = _sounddevice(self.name)
        self._device = int(which) if which.isascii() and which.isdigit() else (which or None)
        info = self._info()
        self.rate_hz = round(info["default_samplerate"])
        offered, channel = int(info["max_input_channels"]), mixer.options.channel
        if channel is not None and channel > offered:
            raise AudioError(
                self.name,
                f"has no channel {channel}, only {offered}; choose one that exists, or the mean of"
                " all",
                "channel",
            )
        self._channels = channel or min(offered, MOST_CHANNELS)
        try:
            self._sounddevice.check_input_settings(**self._settings())
        except self._sounddevice.PortAudioError as error:
            raise AudioError(self.name, _busy(error), "missing") from error
        self._has_sound = False  # since the last look
        self._expected_s: float | None = None  # time of the next sample, by the device's clock

    def capture(self, buffer: RingBuffer) -> None:
        """Put the sound into ``buffer`` until that is closed; raise Refusal when it stops."""
        problem: list[Refusal] = []

        def callback(samples: Any, _frames: int, time: Any, status: Any) -> None:
            try:
                self._put(buffer, samples, time.inputBufferAdcTime, bool(status.input_overflow))
            except Refusal as error:
                problem.append(error)

        sounddevice, silent = self._sounddevice, 0
        try:
            size = round(BLOCK_S * self.rate_hz)
            stream = sounddevice.InputStream(callback=callback, blocksize=size, **self._settings())
            try:
                stream.start()
                while not buffer.closed.wait(LOOK_S):
                    if problem:
                        raise problem[0]
                    silent = 0 if self._has_sound else silent + 1
                    self._has_sound = False
                    if not stream.active or silent == SILENT_LOOKS:
                        raise Refusal(
                            "the microphone gives no more sound; plug it in again", "missing"
                        )
            finally:
                stream.close()
        except sounddevice.PortAudioError as error:
            raise Refusal(_busy(error), "missing") from error

    def _put(self, buffer: RingBuffer, samples: Any, begins_s: float, has_lost: bool) -> None:
        """Take the samples of a callback; they must be copied, for PortAudio uses them again."""
        if has_lost:
            lost_s = max(0.0, begins_s - (self._expected_s or begins_s))
            buffer.put(Gap(lost_s, "the system took the sound too late"))
        self._expected_s = begins_s + len(samples) / self.rate_hz
        self._has_sound = True
        mono = self.mixer.mono(samples.copy())
        buffer.put(LiveBlock(mono, self.rate_hz, self.clock()))

    def _settings(self) -> dict[str, Any]:
        return {
            "device": self._device,
            "samplerate": self.rate_hz,
            "channels": self._channels,
            "dtype": "float32",
        }

    def _info(self) -> dict[str, Any]:
        """Return what PortAudio knows of the device; raise AudioError if there is none."""
        try:
            info: dict[str, Any] = self._sounddevice.query_devices(self._device, "input")
        except (ValueError, self._sounddevice.PortAudioError) as error:
            raise AudioError(self.name, f"{_missing(error)}; {self._offer()}", "missing") from error
        return info

    def _offer(self) -> str:
        """Say which microphones there are."""
        names = [
            f"mic:{number} ({device['name']})"
            for number, device in enumerate(self._sounddevice.query_devices())
            if device["max_input_channels"]
        ]
        return f"choose one of {', '.join(names)}" if names else "plug in a microphone"


def _missing(error: Exception) -> str:
    text = first_line(error)
    return "several microphones have such a name" if "Multiple" in text else "no such microphone"


def _busy(error: Exception) -> str:
    return (
        f"the microphone cannot be opened: {first_line(error)}; close other programs that use it,"
        " and allow this one to use it"
    )


def _sounddevice(name: str) -> ModuleType:
    """Import sounddevice; say how to install it, and the library PortAudio, where missing."""
    try:
        return extras.load("sounddevice", "live", "A microphone")
    except OSError as error:
        raise AudioError(
            name,
            "needs the library PortAudio, which is not installed; run: sudo apt install"
            " libportaudio2 (Debian, Ubuntu), sudo dnf install portaudio (Fedora) or brew install"
            " portaudio (macOS)",
            "missing",
        ) from error
