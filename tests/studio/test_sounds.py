"""The processes that read recordings for the studio."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from earmark.apps.studio.sounds import sounds
from earmark.apps.studio.sounds.sounds import Picture, Sounds
from earmark.errors import AudioError, EarmarkError


def run(work):
    """Run ``work(sounds)`` with processes."""

    async def all_of_it():
        made = Sounds()
        try:
            await made.start()
            return await work(made)
        finally:
            await made.close()

    return asyncio.run(asyncio.wait_for(all_of_it(), 120))


@pytest.fixture
def clip(tmp_path):
    x = np.random.default_rng(0).normal(0, 0.1, 8_000)
    soundfile.write(tmp_path / "a.wav", x, 8_000)
    return tmp_path / "a.wav"


@pytest.fixture
def bad(tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    return tmp_path / "bad.wav"


def test_pictures_peaks_audio_and_about(clip, bad):
    async def work(made):
        picture = await made.picture(clip, None, None, columns=20, rows=10)
        assert (picture.columns, picture.rows, picture.seconds, picture.share) == (20, 10, 1, 1)
        assert len(picture.levels) == 200
        assert await made.picture(clip, None, None, columns=20, rows=10) == picture
        pairs, seconds = await made.peaks(clip, 0.5, None, points=7)
        assert (len(pairs), seconds) == (14, 0.5)
        wav = await made.audio(clip, None, None)
        part, size = await made.audio_part(clip, None, None, first=10, last=99)
        assert (part, size) == (wav[10:100], len(wav))
        assert (await made.about(clip))["rate_hz"] == 8_000
        assert (await made.tile(clip, 3, 0)).columns == 128
        with pytest.raises(EarmarkError, match="Levels are 0 to 20"):
            await made.tile(clip, 21, 0)
        with pytest.raises(AudioError, match="not audio in a known format"):
            await made.about(bad)
        assert made.replaced == 0

    run(work)


def test_one_bad_recording_among_a_hundred(clip, bad):
    async def work(made):
        paths = [bad if k == 41 else clip for k in range(100)]
        wanted = [(path, None, None) for path in paths]
        made_pictures = await made.pictures(wanted, columns=9, rows=5)
        assert [k for k, one in enumerate(made_pictures) if isinstance(one, AudioError)] == [41]
        alone = await made.picture(clip, None, None, columns=9, rows=5)
        assert made_pictures[0] == made_pictures[99] == alone
        abouts = await made.abouts(paths[40:43])
        assert [type(one) for one in abouts] == [dict, AudioError, dict]

    run(work)


def test_a_changed_file_is_drawn_again(clip):
    async def work(made):
        before = await made.picture(clip, None, None, columns=9, rows=5)
        soundfile.write(clip, np.zeros(16_000), 8_000)
        after = await made.picture(clip, None, None, columns=9, rows=5)
        assert (before.seconds, after.seconds) == (1, 2)
        assert not any(after.levels)
        clip.unlink()
        with pytest.raises(AudioError, match="does not exist|No such file|missing"):
            await made.picture(clip, None, None, columns=9, rows=5)

    run(work)


def test_a_recording_that_hangs_or_ends_the_process_costs_only_itself(clip, bad, monkeypatch):
    monkeypatch.setattr(sounds, "MODULE", "studio_drawing_victim")
    monkeypatch.setattr(sounds, "READ_S", 3.0)

    async def work(made):
        crash, hang = (bad.with_name(name) for name in ("crash.wav", "hang.wav"))
        for path in (crash, hang):
            path.write_bytes(clip.read_bytes())
        wanted = [(path, None, None) for path in (clip, crash, clip)]
        first, second, third = await made.pictures(wanted, columns=9, rows=5)
        assert isinstance(first, Picture)
        assert first == third
        assert "ended the process that reads it" in str(second)
        with pytest.raises(AudioError, match="took longer than 3 s"):
            await made.about(hang)
        replaced = made.replaced
        assert replaced == 3  # once in the batch and once alone; once for the other
        with pytest.raises(AudioError, match="took longer than 3 s"):
            await made.picture(hang, None, None, columns=9, rows=5)
        assert made.replaced == replaced
        assert (await made.about(clip))["seconds"] == 1

    run(work)


def test_who_leaves_does_not_end_a_process(clip):
    async def work(made):
        asked = asyncio.ensure_future(made.picture(clip, None, None, columns=9, rows=5))
        await asyncio.sleep(0.01)
        asked.cancel()
        assert (await made.about(clip))["seconds"] == 1
        assert made.replaced == 0

    run(work)


def test_the_process_imports_no_networks():
    names = {"torch", "transformers", "sklearn", "onnxruntime", "fastapi", "earmark.backbones"}
    code = (
        "import sys, earmark.apps.studio.sounds.drawing as drawing\n"
        f"drawing.play('draw', {{'overviews': '', 'mark': ''}})\n"
        f"print(sorted({names} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_little_is_kept(clip, monkeypatch):
    monkeypatch.setattr(sounds, "MOST_KEPT_BYTES", 10_000)

    async def work(made):
        for columns in range(10, 60):
            await made.picture(clip, None, None, columns=columns, rows=20)
        assert made._kept_bytes <= 10_000
        assert 1 <= len(made._kept) < 10

    run(work)
