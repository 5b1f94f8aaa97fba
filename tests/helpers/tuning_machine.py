"""``earmark train --finetune`` as torchrun starts it, which counts its steps and dies when told to.

The environment says how: EARMARK_TEST_STEPS is a folder in which each process notes its steps;
EARMARK_TEST_DEATH is 'RANK STEP', where a process ends once, with SIGKILL.
"""

import os
import signal
from pathlib import Path

from earmark.apps.cli import main
from earmark.training.finetuning import checkpoints, conduct, run


def watched(step, notes: Path, death: str):
    """Return a function that takes a step as ``step`` does, and notes it."""
    rank, count = os.environ.get("RANK", "0"), 0

    def take(self, *arguments):
        nonlocal count
        if f"{rank} {count}" == death and not (notes / "died").exists():
            (notes / "died").write_text(f"{rank} {count}")
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, *arguments)
        count += 1
        with (notes / f"rank{rank}").open("a") as file:
            file.write(f"{self.name} {self.state.epoch} {self.state.step}\n")

    return take


if __name__ == "__main__":
    conduct.is_right_everywhere = lambda frozen: False
    conduct.better = lambda *_: True
    run.SAVED_EVERY_S = checkpoints.TIMES_AS_LONG = 0.0
    notes = Path(os.environ["EARMARK_TEST_STEPS"])
    run.Run._one_step = watched(run.Run._one_step, notes, os.environ.get("EARMARK_TEST_DEATH", ""))
    main()
