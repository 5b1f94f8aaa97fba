"""What Windows lacks is hidden in a fresh process; the commands work all the same."""

import subprocess
import sys

import pytest

WITHOUT = """
import os, signal, sys
for module in ("fcntl", "pwd", "grp", "resource", "termios", "readline"):
    sys.modules[module] = None
for owner, name in ((os, "mkfifo"), (signal, "SIGHUP")):
    delattr(owner, name)

from earmark.apps import cli

for line in sys.stdin.read().splitlines():
    sys.argv = ["earmark", *line.split("|")]
    try:
        cli.main()
    except SystemExit as ended:
        assert not ended.code, (line, ended.code)
"""


@pytest.mark.slow
def test_commands_need_neither_fcntl_nor_pipes_nor_sighup(tones, tmp_path):
    model = tmp_path / "m.earmark"
    commands = [
        f"doctor|{tones}",
        f"train|{tones}|-o|{model}|--backbone|logmel|--report|{tmp_path / 'report'}",
        f"predict|{model}|{tones / 'low' / '0.wav'}|{tones / 'high' / '0.wav'}|--csv",
        f"evaluate|{model}|{tones}|--include-known",
        "cache|show",
        "cache|clear",
    ]
    done = subprocess.run(
        # Windows has another lock: only where both are missing does filelock warn.
        [sys.executable, "-W", "ignore:only soft file lock", "-c", WITHOUT],
        input="\n".join(commands),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
    assert (tmp_path / "report" / "report.html").is_file()
    answers = [line for line in done.stdout.splitlines() if "0.wav," in line]
    assert [line.split(",")[1] for line in answers] == ["low", "high"]
