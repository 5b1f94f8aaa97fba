"""Export a classifier as one ONNX graph that needs neither earmark nor PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from earmark.backbones.base import Backbone
from earmark.backbones.gpu import move
from earmark.classifier.classifier import Classifier
from earmark.classifier.network_licences import LICENCES, licences_of, licences_text
from earmark.classifier.onnx import checks
from earmark.classifier.onnx.clips import ClipGraph
from earmark.classifier.onnx.graph import load_onnx
from earmark.classifier.onnx.metadata import read_description, seal
from earmark.classifier.onnx.networks import refusal
from earmark.classifier.onnx.precision import halve_weights
from earmark.classifier.recordings import Recordings
from earmark.errors import EarmarkError, ModelError
from earmark.system.files import open_file, write_whole

MOST_BYTES = 2**31 - 1  # of a protobuf message
PRECISIONS = {"float32": checks.MOST_DIFFERENCE, "float16": 2e-2}  # and the allowed differences


@dataclass(frozen=True)
class Exported:
    """A classifier as an ONNX graph.

    Attributes
    ----------
    content : bytes
        The file.
    description : dict
        What is in the file's metadata.
    licences : str
        The licences of the backbones.
    warnings : tuple of str
        What users must know of these licences.
    differences : tuple of Difference
        What was compared with ``predict``, and how far the scores differ.
    """

    content: bytes
    description: dict[str, Any]
    licences: str
    warnings: tuple[str, ...]
    differences: tuple[checks.Difference, ...]

    def __repr__(self) -> str:
        return f"Exported({len(self.content):,} bytes, differs by {self.largest:.1e} at most)"

    @property
    def largest(self) -> float:
        """The largest difference of a score."""
        return max(difference.value for difference in self.differences)

    @property
    def median(self) -> float:
        """The median over sounds of the largest difference."""
        return float(np.median([difference.value for difference in self.differences]))

    def save(self, path: str | Path) -> Path:
        """Write the graph and, beside it, the licences; return the path of the licences.

        They are in LICENSES.txt, or in NAME.LICENSES.txt if there is another LICENSES.txt.
        """
        path, text = Path(path), self.licences.encode()
        licences = path.with_name(LICENCES)
        if licences.exists() and not _has(licences, text):
            licences = path.with_name(f"{path.stem}.{LICENCES}")
        write_whole(licences, text)
        write_whole(path, self.content)
        return licences


def export(
    classifier: Classifier,
    path: str | Path | None = None,
    *,
    precision: str = "float32",
    verify: Recordings = (),
) -> Exported:
    """Export a classifier as one ONNX graph, and compare it with ``predict`` before it is written.

    Parameters
    ----------
    classifier : Classifier
        A classifier of clips gives a graph from ``waveform`` (n,) to ``scores`` (K,) and
        ``known_score`` (). A detector gives a graph for a stream: see docs/export.md.
    path : str or Path, optional
        Where the graph is written, with LICENSES.txt beside it; by default, nowhere.
    precision : {'float32', 'float16'}
        How weights are stored. Computing stays in float32.
    verify : str, Path, bytes, or a list of these
        Recordings to compare, as in :meth:`Classifier.predict`. Noise and silence of all lengths
        that matter are always compared.

    Returns
    -------
    Exported

    Raises
    ------
    ModelError
        A backbone cannot be exported, or scores differ by more than 1e-4 (float16: 2e-2).
    AudioError
        A recording of ``verify`` cannot be read.
    EarmarkError
        The package onnx is missing, or the file cannot be written.

    Examples
    --------
    >>> import earmark
    >>> exported = earmark.export(earmark.load("mine.earmark"), "mine.onnx")
    >>> exported.description["labels"]
    ['high', 'low']
    """
    if precision not in PRECISIONS:
        raise EarmarkError(f"precision is {precision!r}. Give {' or '.join(PRECISIONS)}.")
    find_packages()
    graph = _graph_of(classifier)
    model = graph.build()
    if precision == "float16":
        halve_weights(model.graph)
    _check_size(model.ByteSize())
    description = {**graph.describe(), "precision": precision}
    content = seal(model, description)
    differences = _compare(graph, content, verify, precision)
    exported = _exported(classifier, content, description, differences)
    if path is not None:
        exported.save(path)
    return exported


def check_exported(
    classifier: Classifier, path: str | Path, *, verify: Recordings = ()
) -> Exported:
    """Compare an exported file with the classifier that it was made from.

    Parameters are those of :func:`export`. Raises ModelError if the file is no such graph, was
    changed, belongs to another classifier, or gives other scores.
    """
    find_packages()
    content = _read(Path(path))
    description = read_description(content, path)
    if description["digest"] != classifier.digest:
        raise ModelError(
            f"{path} was exported from another classifier. Give that classifier, or export this one"
            " again."
        )
    graph = _graph_of(classifier)
    differences = _compare(graph, content, verify, description["precision"])
    return _exported(classifier, content, description, differences)


def _exported(
    classifier: Classifier,
    content: bytes,
    description: dict[str, Any],
    differences: Sequence[checks.Difference],
) -> Exported:
    licences = licences_of(classifier)
    warnings = [f"backbone {own.name!r}: {own.warning}" for own in licences if own.warning]
    text = licences_text(licences)
    return Exported(content, description, text, tuple(warnings), tuple(differences))


def find_packages() -> None:
    """Raise EarmarkError if onnx or onnxruntime is not installed."""
    load_onnx()
    checks.load_runtime()


class _Graph(Protocol):
    """A kind of graph, for one classifier."""

    networks: Sequence[Backbone]

    def build(self) -> Any: ...

    def describe(self) -> dict[str, Any]: ...

    def compare(self, session: Any, verify: Recordings, most: float) -> list[checks.Difference]: ...


def _compare(
    graph: _Graph, content: bytes, verify: Recordings, precision: str
) -> list[checks.Difference]:
    """Return the differences from the classifier; ModelError if they are too large."""
    most = PRECISIONS[precision]
    differences = graph.compare(checks.open_graph(content), verify, most)
    checks.refuse_if_far(differences, most)
    return differences


def _graph_of(classifier: Classifier) -> _Graph:
    """Load the networks of a classifier and return its kind of graph."""
    networks = classifier.networks()
    for network, use in zip(networks, classifier.backbones, strict=True):
        network.restrict_to_layers(use.layers)
        move(network, "cpu")  # where graphs are recorded and compared
        _check_network(network)
    if classifier.detector is None:
        return ClipGraph(classifier, networks)
    streams = importlib.import_module("earmark.detection.onnx")  # it stands on this room
    graph: _Graph = streams.StreamGraph(classifier, networks)
    return graph


def _check_network(network: Backbone) -> None:
    """Refuse a backbone that cannot be exported; the message says why."""
    if network.runtime != "torch":
        raise refusal(network, f"{network.runtime} computes it from a file of its own")
    if network.precision != "float32":
        raise refusal(network, f"it was used in {network.precision}, and graphs use float32")


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise ModelError(
            f"the graph would have {size / 1e9:.1f} GB, and an ONNX file holds at most 2.1 GB."
            " Use float16, or train with a smaller backbone."
        )


def _has(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def _read(path: Path) -> bytes:
    """Return the content of a graph's file; EarmarkError if it cannot be read."""
    try:
        with open_file(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise EarmarkError(f"cannot read {path}: {error.strerror}. Check the path.") from error
    if len(content) > MOST_BYTES:
        raise ModelError(f"{path} has more than 2.1 GB, so it is no graph of earmark.")
    return content
