"""A training that is killed loses nothing: the same command ends with the same bytes."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys
import earmark
from earmark.training import finalists, screening

screening.SCREENED_BY, screening.NEARLY_ALL = 4, 0.0  # so that finalists are judged, in passes
screening.SCREENED_BY_OF_CLASS, finalists.PROGRAM = 1, -10**9  # over rows of the store
data, folder, model, deadly = sys.argv[1:]


class Progress:
    def stage(self, name, steps):
        self.name, self.left = name, 2

    def advance(self, seconds=0.0):
        self.left -= 1
        if self.name == deadly and not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


with earmark.Store(folder + "/s.sqlite") as store:
    training = earmark.train(
        data, backbone="logmel", seed=3, store=store, progress=Progress(), memory=1e-6
    )
    assert type(training.embedded.embeddings[0].matrix).__name__ == "StoredRows"
    training.classifier.save(model)
"""


@pytest.mark.slow
def test_a_kill_in_any_pass_changes_no_byte(tones, tmp_path):
    def train(folder, stage=""):
        model = tmp_path / folder / "m.earmark"
        model.parent.mkdir(exist_ok=True)
        arguments = [str(tones), str(model.parent), str(model), stage]
        return subprocess.run([sys.executable, "-c", SCRIPT, *arguments]).returncode, model

    code, wanted = train("whole")
    assert code == 0
    for stage in ("embedding with logmel", "choosing layers and head", "fitting"):
        code, model = train("killed", stage)
        assert code == -signal.SIGKILL and not model.exists()
    code, model = train("killed")
    assert code == 0 and model.read_bytes() == wanted.read_bytes()
