"""The process that searches archives: ``python -m`` starts it.

It keeps archives open and networks loaded, so that a search takes as long as the search itself.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earmark.apps.service import frames
from earmark.apps.service.child import Handler, main
from earmark.embeddings.archive import Archive, ArchiveNetwork, ArchiveRecording, Windows
from earmark.embeddings.archive_file import FILE
from earmark.errors import AudioError, EarmarkError, amount
from earmark.labelling.conditions import OWN, Condition, check_columns
from earmark.labelling.example import Example
from earmark.labelling.searching import embed_example, load_network, query_of, search

if TYPE_CHECKING:
    from earmark.backbones.base import Backbone
    from earmark.labelling.rounds import LabelSession

MOST_OPEN = 2  # archives
MOST_SESSIONS = 4  # classes that are labelled, of an archive
MOST_EXAMPLES = 256  # whose embeddings are kept
MOST_LISTED = 100  # recordings that are gone, or that could not be read
MOST_VALUES = 40  # of a column, that are offered
Stamp = tuple[tuple[int, int], ...]


class Opened:
    """An archive as it was when it was opened, and its windows."""

    def __init__(self, path: Path) -> None:
        self.stamp = stamp_of(path)
        self.archive = Archive(path)
        self._windows: dict[int, Windows] = {}
        self.sessions: collections.OrderedDict[str, LabelSession] = collections.OrderedDict()

    def windows(self, network: ArchiveNetwork) -> Windows:
        """Return the windows of a network, which are listed once."""
        if network.number not in self._windows:
            self._windows[network.number] = self.archive.windows(network)
        return self._windows[network.number]

    def about(self) -> dict[str, Any]:
        """Return what is in the archive, for people."""
        recordings = self.archive.recordings()
        values: dict[str, set[str]] = {}
        for recording in recordings:
            for column, cell in recording.columns.items():
                values.setdefault(column, set()).add(cell)
        here = [recording for recording in recordings if not recording.is_gone]
        networks = self.archive.networks
        return {
            "recordings": len(here),
            "seconds": sum(recording.seconds or 0.0 for recording in here),
            **_listed("gone", [r.path for r in recordings if r.is_gone]),
            **_listed("failed", [r.path for r in here if r.error is not None]),
            "datasets": sorted({recording.dataset for recording in recordings}),
            "columns": [
                {"name": name, "values": sorted(cells)[:MOST_VALUES], "n_values": len(cells)}
                for name, cells in sorted(values.items())
                if name not in OWN
            ],
            "network": networks[-1].name if networks else None,
            "windows": len(self.windows(networks[-1])) if networks else 0,
        }


class Finder:
    """Answers questions about archives; keeps what it needs for the next one."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        self._roles: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "about": self._about,
            "search": self._search,
            "round": self._round,
            "cut": _cut,
        }
        self._open: collections.OrderedDict[str, Opened] = collections.OrderedDict()
        self._networks: dict[str, Backbone] = {}
        self._examples: collections.OrderedDict[tuple[Any, ...], np.ndarray] = (
            collections.OrderedDict()
        )

    def answer(self, value: dict[str, Any], _: bytes) -> frames.Message:
        """Return the answer to a message, or why there is none."""
        try:
            return self._roles[value["do"]](value), b""
        except AudioError as error:
            return {"error": f"the example {error.reason}. Give another one."}, b""
        except EarmarkError as error:
            return {"error": str(error)}, b""

    def opened(self, path: str) -> Opened:
        """Return an archive; one that has grown since is opened again."""
        kept = self._open.pop(path, None)
        if kept is not None and kept.stamp != stamp_of(Path(path)):
            kept.archive.close()
            kept = None
        self._open[path] = kept or Opened(Path(path))
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[1].archive.close()
        return self._open[path]

    def embed(self, example: Example, network: ArchiveNetwork) -> np.ndarray:
        """Return the embeddings (n, E) of an example, computed once."""
        with contextlib.suppress(OSError):
            status = os.stat(example.place)
            key = (example, status.st_size, status.st_mtime_ns, network.settings["fingerprint"],
                   network.window_s, network.hop_s)  # fmt: skip
            if key not in self._examples:
                self._examples[key] = embed_example(example, self._network(network), network)
            self._examples.move_to_end(key)
            while len(self._examples) > MOST_EXAMPLES:
                self._examples.popitem(last=False)
            return self._examples[key]
        raise EarmarkError(f"{Path(example.place).name} is not there any more. Give another one.")

    def _network(self, network: ArchiveNetwork) -> Backbone:
        if network.fingerprint not in self._networks:
            self._networks.clear()
            self._networks[network.fingerprint] = load_network(network)
        return self._networks[network.fingerprint]

    def _about(self, value: dict[str, Any]) -> dict[str, Any]:
        return self.opened(value["archive"]).about()

    def _search(self, value: dict[str, Any]) -> dict[str, Any]:
        opened = self.opened(value["archive"])
        network = opened.archive.network()
        windows = opened.windows(network)
        if not len(windows):
            raise EarmarkError("the archive has no windows yet. Bring it up to date first.")
        conditions = conditions_of(value["where"], windows)
        likes, unlikes = (examples_of(value[name]) for name in ("like", "unlike"))
        query = query_of(windows, lambda each: self.embed(each, network), likes, unlikes)
        found = search(
            windows,
            query,
            top=value["top"],
            per_recording=value["per_recording"],
            where=conditions,
        )
        hits = [
            {
                "recording": recording_json(stretch.recording),
                "start": stretch.start,
                "end": stretch.end,
                "score": stretch.score,
            }
            for stretch in found
        ]
        return {"hits": hits, "windows": len(windows), "said": _said(windows, conditions)}

    def _round(self, value: dict[str, Any]) -> dict[str, Any]:
        found = self._session(value).next_round(value["count"])
        proposals = [
            {
                "recording": recording_json(each.recording),
                "start": each.start,
                "end": each.end,
                "score": each.score,
                "why": each.why,
                "chance": each.chance,
            }
            for each in found.proposals
        ]
        return {
            "proposals": proposals,
            "standing": asdict(found.standing),
            "notes": list(found.notes),
        }

    def _session(self, value: dict[str, Any]) -> LabelSession:
        """Return what proposes windows; one for a class, a person and conditions."""
        from earmark.labelling.labels import LabelFile, labels_of
        from earmark.labelling.rounds import LabelSession

        opened = self.opened(value["archive"])
        key = json.dumps([value[name] for name in ("name", "who", "where", "group", "like")])
        session = opened.sessions.pop(key, None)
        if session is None:
            network = opened.archive.network()
            session = LabelSession(
                opened.archive,
                value["name"],
                LabelFile(labels_of(value["archive"]), value["who"] or None),
                network=network,
                group=value["group"],
                where=conditions_of(value["where"], opened.windows(network)),
                examples=examples_of(value["like"]),
            )
        opened.sessions[key] = session
        while len(opened.sessions) > MOST_SESSIONS:
            opened.sessions.popitem(last=False)
        return session


def examples_of(values: Sequence[dict[str, Any]]) -> list[Example]:
    """Return examples of a message."""
    return [Example(value["path"], value["start"], value["end"]) for value in values]


def conditions_of(texts: Sequence[str], windows: Windows) -> list[Condition]:
    """Return the conditions of a message; EarmarkError if the archive has no such column."""
    conditions = [Condition.parse(text) for text in texts]
    check_columns(conditions, (each for own in windows.recordings.values() for each in own))
    return conditions


def recording_json(recording: ArchiveRecording) -> dict[str, Any]:
    """Return a recording as a message has it."""
    names = ("path", "place", "dataset", "seconds", "is_gone", "digest")
    return {name: getattr(recording, name) for name in names} | {"columns": {**recording.columns}}


def _listed(name: str, paths: Sequence[str]) -> dict[str, Any]:
    return {name: paths[:MOST_LISTED], f"n_{name}": len(paths)}


def stamp_of(path: Path) -> Stamp:
    """Return what changes when an archive grows."""
    found = []
    for name in (FILE, f"{FILE}-wal"):
        with contextlib.suppress(OSError):
            status = os.stat(path / name)
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)


def _cut(value: dict[str, Any]) -> dict[str, Any]:
    """Write stretches as clips; the files are named by their numbers first."""
    from earmark.data.event import Event, RecordingEvents
    from earmark.detection.event_clips import cut_events

    files = []
    for number, each in enumerate(value["stretches"]):
        event = Event(each["start"], each["end"], "cut", 1.0)
        folder = Path(value["to"]) / str(number)
        cut_events(
            RecordingEvents(each["path"], each["end"], (event,)), folder, Path(each["path"]).stem
        )
        (file,) = (folder / "cut").iterdir()
        files.append(str(file))
    return {"files": files}


def _said(windows: Windows, conditions: Sequence[Condition]) -> str:
    """Return what was compared, as a sentence."""
    own = [
        content
        for content, each in windows.recordings.items()
        if any(all(c.holds(recording) for c in conditions) for recording in each)
    ]
    among = amount(len(own), "recording") if conditions else "all recordings"
    count = int(np.isin(windows.contents, np.array(own, np.int64)).sum())
    return f"Compared with {amount(count, 'window')}, of {among}."


def play(role: str, settings: dict[str, Any]) -> tuple[dict[str, Any], Handler]:
    """Return what the process says when it is ready, and what answers messages."""
    finder = Finder()
    return {}, lambda messages: [finder.answer(*message) for message in messages]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(play)
