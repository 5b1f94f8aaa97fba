"""A command that does what ``plan.json`` in its folder says, in place of ``earmark``.

A plan may have: ``wait`` (the name of a file in the folder to wait for), ``print`` (the object for
standard output), ``say`` (a line for standard error), ``code``, ``kill`` (a signal for itself) and
``ignore`` (do not end at SIGTERM).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    folder = Path(sys.argv[2])
    plan = json.loads((folder / "plan.json").read_text())
    line = {"at": time.time(), "stage": "reading", "number": 1, "done": 1, "steps": 4}
    with open(os.environ["EARMARK_PROGRESS"], "a") as file:
        file.write(json.dumps(line) + "\n")
    if plan.get("ignore"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    (folder / f"{sys.argv[1]}.started").write_text(str(os.getpid()))
    while plan.get("wait") and not (folder / plan["wait"]).exists():
        time.sleep(0.01)
    if plan.get("say"):
        print(plan["say"], file=sys.stderr, flush=True)
    if plan.get("kill"):
        os.kill(os.getpid(), plan["kill"])
    if "print" in plan:
        names = ("OMP_WAIT_POLICY", "EARMARK_OFFLINE", "EARMARK_CACHE")
        about = {"argv": sys.argv[1:], **{name: os.environ.get(name) for name in names}}
        about |= {"nice": os.getpriority(os.PRIO_PROCESS, 0), "session": os.getsid(0)}
        print(json.dumps({**plan["print"], "about": about}), flush=True)
    sys.exit(plan.get("code", 0))


if __name__ == "__main__":
    main()
