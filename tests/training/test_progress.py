"""What a progress is told of a training: its stages, and every step of each."""

from collections import Counter
from dataclasses import replace

import pytest

import earmark
from earmark.data.dataset import Dataset


class Watcher:
    """A progress that keeps what it was told."""

    def __init__(self):
        self.steps, self.done = {}, Counter()

    def stage(self, name, steps):
        self.name = name
        self.steps[name] = self.steps.get(name, 0) + steps

    def advance(self, seconds=0.0):
        self.done[self.name] += 1


@pytest.mark.parametrize("split", [False, True])
def test_each_stage_is_named_and_goes_to_its_end(tones, split):
    data = Dataset.read(tones)
    if split:
        splits = ["test" if k % 3 == 0 else None for k in range(len(data))]
        clips = [replace(c, split=s) for c, s in zip(data.clips, splits, strict=True)]
        data = replace(data, clips=tuple(clips))
    watcher = Watcher()
    training = earmark.train(data, backbone="speech-embedding", progress=watcher)
    assert list(watcher.steps) == [
        "embedding with speech-embedding",
        "choosing layers and head",
        "fitting",
        "baseline: log-mel statistics",
        "baseline: random weights",
        "learning curve",
        "looking for near copies",
    ]
    assert watcher.steps.pop("looking for near copies") == 0  # nobody knows how many
    assert watcher.done == watcher.steps
    assert watcher.steps["embedding with speech-embedding"] == len(data)  # clips, not more
    stages = ["embed", "choose", "fit", "baselines", "curve", "copies", "total"]
    assert list(training.seconds) == stages
    assert training.seconds["total"] >= sum(training.seconds[stage] for stage in stages[:-1]) - 0.01


def test_a_progress_of_0_1_counts_embedded_clips_only(tones):
    told = []

    class Old:
        def advance(self, seconds):
            told.append(seconds)

    earmark.train(tones, backbone="speech-embedding", progress=Old())
    assert len(told) == len(Dataset.read(tones)) and min(told) > 0
