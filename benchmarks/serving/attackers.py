"""Carry out the attacks of the tests all the time: python attackers.py PORT PAUSE.

Each attack runs in a loop of its own, with a pause of PAUSE seconds after each time. It prints a
line when it is ready, and what came of each attack as JSON after a line on its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

MOST_S = 30.0  # of one attack
CLOSED = 0  # stands for a connection that was closed without an answer
# These need the small limits that the tests set.
LEFT_OUT = {"more connections than allowed", "more requests than allowed"}


@dataclass
class Seen:
    """What came of one attack."""

    attack: str
    count: int = 0
    right: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


async def main(port: int, pause_s: float) -> None:
    """Attack until a line comes."""
    from attacks import ATTACKS  # tests/helpers

    attacks = [attack for attack in ATTACKS if attack.name not in LEFT_OUT]
    seen = [Seen(attack.name) for attack in attacks]
    tasks = [
        asyncio.ensure_future(_repeat(attack, own, port, pause_s, k / len(attacks)))
        for k, (attack, own) in enumerate(zip(attacks, seen, strict=True))
    ]
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    rows = [{**vars(own), "wrong": "; ".join(own.wrong[:3])} for own in seen]
    print(json.dumps(rows), flush=True)


async def _repeat(attack, seen: Seen, port: int, pause_s: float, share: float) -> None:
    await asyncio.sleep(share * pause_s)
    while True:
        began = time.perf_counter()
        try:
            answers = await asyncio.wait_for(attack.run(port), MOST_S)
            statuses = [answer.status for answer in answers] or [CLOSED]
            problem = "" if set(statuses) <= set(attack.statuses) else f"status {statuses[:3]}"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        seen.count += 1
        seen.slowest_s = max(seen.slowest_s, round(time.perf_counter() - began, 2))
        if problem:
            seen.wrong.append(problem[:200])
        else:
            seen.right += 1
        await asyncio.sleep(pause_s)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
