"""A process that changes a folder without end, until it is killed: python -m ... FOLDER SEED."""

import itertools
import random
import sys

from earmark.apps.studio.folder.folder import Folder
from earmark.errors import EarmarkError
from studio_folders import RATE, begin, pcm

LABELS = ("bell", "dog", "fox")


def changes(folder: Folder, dice: random.Random) -> None:
    """Make one change of any kind."""
    clips = folder.clips(count=1_000)["clips"]
    tray = folder.clips(unlabelled=True)["clips"]
    left = folder.clips(left_out=True)["clips"]
    kind = dice.randrange(9) if clips or tray else 8
    clip = dice.choice(clips or tray or [{}])
    if kind == 0:
        folder.label([clip["id"]], dice.choice(LABELS))
    elif kind == 1:
        folder.leave_out([clip["id"]], "killed")
    elif kind == 2 and left:
        folder.take_back([dice.choice(left)["id"]])
    elif kind == 3:
        folder.delete([clip["id"]])
    elif kind == 4:
        folder.rename_class(clip["label"] or "", dice.choice(LABELS))
    elif kind == 5:
        folder.add_region(clip["recording"], dice.random() * 0.05, 0.08, dice.choice(LABELS))
    elif kind in (6, 7):
        folder.undo() if dice.random() < 0.7 else folder.redo()
    else:
        upload = begin(folder, "piece", dice.choice((*LABELS, None)), take="t")
        folder.append(upload, 0, pcm(0.2))
        print(f"sent {RATE}", flush=True)
        folder.finish_upload(upload)


def main() -> None:
    folder, dice = Folder(sys.argv[1]), random.Random(sys.argv[2])
    print("ready", flush=True)
    for _ in itertools.count():
        try:
            changes(folder, dice)
        except (EarmarkError, IndexError):
            continue
        print("changed", flush=True)


if __name__ == "__main__":
    main()
