"""A microphone, played by a module that stands for sounddevice."""

import contextlib
import sys
import types
from collections.abc import Callable

import numpy as np
import pytest

from audio_files import noise
from earmark.audio import microphone, open_live
from earmark.audio.decoder import Refusal
from earmark.audio.live import Gap
from earmark.audio.mixing import Mixer
from earmark.audio.options import AudioOptions
from earmark.errors import AudioError, EarmarkError
from live_sound import Clock, gaps_of, items_and_error, items_of, samples_of

RATE = 48_000
X = noise(RATE, 2)


class Card(types.ModuleType):
    """Stands for sounddevice: a stereo microphone, a headset and a loudspeaker."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.devices = [
            {"name": "Built-in", "max_input_channels": 2, "default_samplerate": 48_000.0},
            {"name": "Loudspeaker", "max_input_channels": 0, "default_samplerate": 44_100.0},
            {"name": "Headset", "max_input_channels": 1, "default_samplerate": 16_000.0},
            {"name": "Mixer", "max_input_channels": 32, "default_samplerate": 44_100.0},
        ]
        self.play: Callable[[Stream], None] = lambda _: None
        self.settings: dict[str, object] = {}
        self.busy_at = ""
        self.streams: list[Stream] = []

    def query_devices(self, device=None, kind=None):
        if kind is None:
            return self.devices
        if device is None and not self.devices:
            raise self.PortAudioError("Error querying device -1")
        if isinstance(device, int):
            if device >= len(self.devices):
                raise self.PortAudioError(f"Error querying device {device}")
            if not self.devices[device]["max_input_channels"]:
                raise ValueError(f"Not an input device: {device}")
            return self.devices[device]
        near = [d for d in self.devices if d["max_input_channels"] and (device or "") in d["name"]]
        if device and len(near) != 1:
            what = "Multiple input devices found for" if near else "No input device matching"
            raise ValueError(f"{what} {device!r}")
        return near[0]

    def check_input_settings(self, **settings: object) -> None:
        if self.busy_at == "check":
            raise self.PortAudioError("Device unavailable [PaErrorCode -9985]")

    def InputStream(self, **settings: object):  # noqa: N802  # the name of sounddevice
        self.settings = settings
        if self.busy_at == "open":
            raise self.PortAudioError("Error opening InputStream: Device unavailable")
        self.streams.append(Stream(self, settings))
        return self.streams[-1]


class Stream:
    active = True
    is_closed = False

    def __init__(self, card: Card, settings: dict) -> None:
        self.card, self.callback, self.position = card, settings["callback"], 0
        self.channels = settings["channels"]
        self.buffer = np.zeros((960, self.channels), np.float32)  # PortAudio uses it again

    def start(self) -> None:
        self.card.play(self)

    def close(self) -> None:
        self.is_closed = True

    def bring(self, samples: np.ndarray, lost_s: float = 0.0) -> None:
        """Call the callback as PortAudio does."""
        for at in range(0, len(samples), 960):
            self.position += round(lost_s * RATE)
            self.buffer[:] = samples[at : at + 960]
            time = types.SimpleNamespace(inputBufferAdcTime=50 + self.position / RATE)
            status = types.SimpleNamespace(input_overflow=bool(lost_s))
            self.callback(self.buffer, 960, time, status)
            self.buffer[:] = np.nan
            self.position += 960
            lost_s = 0.0


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card()
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    monkeypatch.setattr(microphone, "LOOK_S", 0.001)
    return card


def test_the_sound_of_a_microphone_arrives(card: Card) -> None:
    card.play = lambda stream: stream.bring(X)
    items = items_of(open_live("mic", clock=Clock(step_s=0.001)), most=50)
    np.testing.assert_array_equal(samples_of(items), X.mean(1, dtype=np.float32))
    assert {item.rate_hz for item in items} == {RATE}
    times = [item.heard_at for item in items]
    assert times == sorted(times) and len(set(times)) == 50
    assert card.settings["device"] is None and card.settings["dtype"] == "float32"


@pytest.mark.parametrize(
    ("target", "device", "channels"),
    [("mic:2", 2, 1), ("mic:Head", "Head", 1), ("mic:Mix", "Mix", 2), ("mic:", None, 2)],
)
def test_a_microphone_is_chosen_by_number_or_name(
    card: Card, target: str, device: object, channels: int
) -> None:
    card.play = lambda stream: stream.bring(noise(960, stream.channels))
    items_of(open_live(target), most=1)
    assert card.settings["device"] == device and card.settings["channels"] == channels


def test_one_channel_is_chosen(card: Card) -> None:
    card.play = lambda stream: stream.bring(X[:960])
    items = items_of(open_live("mic", AudioOptions(channel=2)), most=1)
    np.testing.assert_array_equal(samples_of(items), X[:960, 1])
    with pytest.raises(AudioError, match=r"mic:2: has no channel 2, only 1"):
        open_live("mic:2", AudioOptions(channel=2))


def test_samples_are_copied_before_portaudio_uses_their_memory_again(card: Card) -> None:
    card.play = lambda stream: stream.bring(X[:1_920, :1])
    items = items_of(open_live("mic:2"), most=2)
    np.testing.assert_array_equal(samples_of(items), X[:1_920, 0])


def test_what_the_system_lost_is_a_gap(card: Card) -> None:
    def play(stream: Stream) -> None:
        stream.bring(X[:1_920])
        stream.bring(X[1_920:2_880], lost_s=0.25)

    card.play = play
    items = items_of(open_live("mic"), most=4)
    assert [type(item) is Gap for item in items] == [False, False, True, False]
    (gap,) = gaps_of(items)
    assert gap.lost_s == pytest.approx(0.25)


def test_what_the_consumer_is_too_slow_for_is_a_gap(card: Card) -> None:
    def play(stream: Stream) -> None:
        for _ in range(40):
            stream.bring(X)
        stream.active = False

    card.play = play
    items, text = items_and_error(open_live("mic"))
    assert "gives no more sound" in text
    heard_s = len(samples_of(items)) / RATE
    assert heard_s + sum(gap.lost_s for gap in gaps_of(items)) == pytest.approx(40)


def looks_until_the_end(card: Card, sounds: str) -> int:
    """Return how often a microphone was looked at; ``sounds`` says what it does before each look.

    It brings sound (+), nothing (-), or tells that it has stopped (x).
    """
    looks = iter(sounds)
    count = 0

    def wait(_: float) -> bool:
        nonlocal count
        look = next(looks, "")
        count += bool(look)
        if look == "+":
            card.streams[0].bring(X[:960])
        card.streams[0].active = look != "x"
        return not look

    buffer = types.SimpleNamespace(put=lambda _: True, closed=types.SimpleNamespace(wait=wait))
    device = microphone.Microphone("", Mixer(AudioOptions()), Clock())
    with contextlib.suppress(Refusal):
        device.capture(buffer)
    assert card.streams[0].is_closed
    return count


@pytest.mark.parametrize(
    ("sounds", "looks"), [("+" * 20, 20), ("+x++", 2), ("+" + "-" * 9, 6), ("----+" * 4, 20)]
)
def test_a_microphone_ends_when_it_stops_or_is_silent_for_five_looks(
    card: Card, sounds: str, looks: int
) -> None:
    assert looks_until_the_end(card, sounds) == looks


def test_a_microphone_that_is_unplugged_is_told(card: Card) -> None:
    with pytest.raises(AudioError) as error:
        items_of(open_live("mic:0"))
    assert str(error.value) == "mic:0: the microphone gives no more sound; plug it in again."


@pytest.mark.parametrize("where", ["check", "open"])
def test_a_busy_microphone_is_told(card: Card, where: str) -> None:
    card.busy_at = where
    with pytest.raises(AudioError, match=r"cannot be opened: .*Device unavailable.*; close other"):
        items_of(open_live("mic"))


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("mic:9", "mic:9: no such microphone; choose one of mic:0 (Built-in), mic:2 (Headset), "),
        ("mic:1", "mic:1: no such microphone; choose one of mic:0"),
        ("mic:Yeti", "mic:Yeti: no such microphone; choose one of mic:0"),
        ("mic:i", "mic:i: several microphones have such a name; choose one of mic:0"),
    ],
)
def test_a_microphone_that_does_not_exist_is_told(card: Card, target: str, text: str) -> None:
    with pytest.raises(AudioError) as error:
        open_live(target)
    assert str(error.value).startswith(text)
    assert "Loudspeaker" not in str(error.value)


def test_a_computer_without_a_microphone_is_told(card: Card) -> None:
    card.devices = []
    with pytest.raises(AudioError) as error:
        open_live("mic")
    assert str(error.value) == "mic: no such microphone; plug in a microphone."


def test_bad_samples_end_the_microphone(card: Card) -> None:
    card.play = lambda stream: stream.bring(np.full((960, 2), np.nan))
    with pytest.raises(AudioError, match="NaN, infinite"):
        items_of(open_live("mic"))


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(EarmarkError, match=r"A microphone needs the package sounddevice.*\[live\]"):
        open_live("mic")


def test_a_missing_library_names_the_system_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AudioError, match=r"needs the library PortAudio.*libportaudio2 \(Debian"):
        open_live("mic")
