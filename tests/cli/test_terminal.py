"""What moves on a terminal."""

import io
import re

from earmark.apps.cli.progress import byte_bar, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(terminal):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())


def test_a_bar_names_each_stage_with_its_own_steps(monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("starting") as bar:
        bar.stage("embedding with [red]", 2)
        bar.advance(1.5)
        bar.advance(1.5)
        bar.bar.refresh()
        assert "embedding with [red]" in shown(terminal) and "2/2" in shown(terminal)
        assert "x real time" in shown(terminal)
        bar.stage("looking for near copies", 0)
        bar.bar.refresh()
        assert shown(terminal).rsplit("looking for near copies")[-1].strip() == ""
        assert "0/0" not in shown(terminal).rsplit("2/2")[-1]
        bar.stage("fitting", 3)
        bar.advance()
        bar.bar.refresh()
    last = shown(terminal).splitlines()[-1]
    assert last.startswith("fitting") and "1/3" in last and "real time" not in last


def test_a_bar_of_bytes(monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with byte_bar("weights") as tell:
        tell(1_000_000, 4_000_000)
    assert "weights" in shown(terminal) and "1.0/4.0 MB" in shown(terminal)
