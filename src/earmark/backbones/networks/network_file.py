"""Open a network file with the JSON beside it, and check it on a few sounds.

Its result for a window must depend on that window alone: not on others in the batch, and not on
earlier calls.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from earmark.backbones.networks.description import (
    KEPT_SIGNS,
    Description,
    Output,
    place_of,
    read_description,
    template,
)
from earmark.backbones.networks.graph import FLOATS, Graph, Run, Tensor
from earmark.errors import BackboneError, EarmarkWarning, first_line

TOLERANCE = 1e-5  # largest relative difference of two results that count as equal
MOST_CHANNELS = 65_536
NAMED = 8  # tensors that a message lists
DEFAULT_AXES = {1: "C", 2: "BC", 3: "BTC"}


class Input(NamedTuple):
    """The input of a network: its ``shape`` for one window; ``is_single`` if no batch fits."""

    tensor: Tensor
    shape: tuple[int, ...]
    is_single: bool


@dataclass(frozen=True)
class Checked:
    """The result of the check: whether windows may share a batch, and ``why`` not."""

    is_batched: bool
    why: str
    difference: float = 0.0  # relative, between a window alone and in a batch


class NetworkFile:
    """A network file that is ready to compute, with its description and the result of its check."""

    def __init__(self, graph: Graph) -> None:
        self.path, self.sha256, self.parameters = graph.path, graph.digest, graph.parameters
        self.weights = graph.weights
        self.description = _description(graph)
        self.input = _waveform_input(graph, self.description)
        self.layers = self.description.layers
        outputs = [_tensor_name(graph, layer.output) for layer in self.layers]
        self.names = list(dict.fromkeys(outputs))
        self.numbers = [self.names.index(output) for output in outputs]
        self.run: Run = graph.open(self.input.tensor, self.input.shape, self.names)
        self.checked = Checked(False, "")
        self.checked, self.shapes = self._check()

    @property
    def digest(self) -> str:
        """A hash of everything that decides what is computed."""
        text = f"{self.sha256} {self.description.decisive}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, windows: np.ndarray) -> list[np.ndarray]:
        """Return the activations (B, C, T, F) float32 of every layer for ``windows`` (B, n)."""
        x = _scale(windows, self.description)
        if self.checked.is_batched or len(x) == 1:
            return self._compute(x)
        rows = [self._compute(x[k : k + 1]) for k in range(len(x))]
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    def _compute(self, x: np.ndarray) -> list[np.ndarray]:
        shape = list(self.input.shape)
        if len(shape) > 1:
            shape[0] = len(x)
        results = self.run(np.ascontiguousarray(x.reshape(shape), self.input.tensor.dtype))
        return [
            _arrange(results[number], layer, len(x), self.path)
            for layer, number in zip(self.layers, self.numbers, strict=True)
        ]

    def _check(self) -> tuple[Checked, list[tuple[int, ...]]]:
        """Compare the network's results for sounds alone, in a second call and in a batch."""
        sounds = _sounds(self.description.window, self.description.rate_hz)
        try:
            first, again, *others, later = (self(sounds[k : k + 1]) for k in (0, 0, 1, 2, 0))
            silent = self(np.zeros_like(sounds[:1]))
        except BackboneError:
            raise
        except Exception as error:  # runtimes raise all kinds of exceptions
            seconds = self.description.window / self.description.rate_hz
            raise BackboneError(
                f"{self.path} fails on a window of {seconds:g} s: {first_line(error)}. Set"
                f" window_s in {place_of(self.path).name} to the length that it was exported for."
            ) from error
        self._check_values(first, others[0], silent)
        for results, when, why in (
            (again, "in two calls", "random numbers, such as dropout"),
            (later, "after another window", "a state that lasts from call to call"),
        ):
            if (gap := _difference(results, first)) > TOLERANCE:
                raise BackboneError(
                    f"{self.path} gives different numbers for the same window {when} (they differ"
                    f" by {gap:.1g} of their norm), so no result could be repeated. Export it for"
                    f" inference, without {why}."
                )
        return self._check_batch(sounds, [first, *others]), [x.shape for x in first]

    def _check_values(
        self, first: list[np.ndarray], other: list[np.ndarray], silent: list[np.ndarray]
    ) -> None:
        for layer, a, b in zip(self.layers, first, other, strict=True):
            if not (np.isfinite(a).all() and np.isfinite(b).all()):
                raise BackboneError(
                    f"{self.path} gives NaN or infinity in layer {layer.name!r} for noise of"
                    " ordinary loudness. Check full_scale and rate_hz in"
                    f" {place_of(self.path).name}, or export the network in float32."
                )
            if np.array_equal(a, b):
                raise BackboneError(
                    f"{self.path} gives the same numbers in layer {layer.name!r} for two different"
                    " sounds, so it cannot distinguish them. Name an output that depends on the"
                    f" waveform, and check full_scale in {place_of(self.path).name}."
                )
        if not all(np.isfinite(x).all() for x in silent):
            text = (
                f"{self.path} gives NaN or infinity for silence: recordings with a silent window"
                " will be left out."
            )
            warnings.warn(text, EarmarkWarning, stacklevel=2)

    def _check_batch(self, sounds: np.ndarray, alone: list[list[np.ndarray]]) -> Checked:
        if self.input.is_single:
            return Checked(False, "the network reads one window at a time")
        try:
            together = self._compute(_scale(sounds, self.description))
        except Exception as error:  # a fixed batch size inside, or rows that are mixed up
            return Checked(False, f"a batch of several fails: {first_line(error)}")
        gap = max(_difference([x[k : k + 1] for x in together], own) for k, own in enumerate(alone))
        if not gap <= TOLERANCE:
            return Checked(False, f"a batch changes its rows by {gap:.1g} of their norm", gap)
        return Checked(True, "", gap)


def _description(graph: Graph) -> Description:
    place = place_of(graph.path)
    if place.exists() or place.is_symlink():
        return read_description(place)
    tensor, axis = _waveform(graph)
    length = tensor.shape[axis] if tensor.shape else "any"
    product = f" rate_hz times window_s must be {length:,}." if isinstance(length, int) else ""
    raise BackboneError(
        f"{place} is missing; it says how to use {graph.path.name}. Write this into it, and replace"
        f" each null by the publisher's value: {template(list(map(_entry, graph.outputs)))}. The"
        f" network reads {tensor} and gives {_list(graph.outputs)}.{product}"
    )


def _entry(output: Tensor) -> str | dict[str, str | None]:
    """Return the entry for an output in ``layers`` of the JSON."""
    has_axes = output.shape is not None and len(output.shape) in DEFAULT_AXES
    if has_axes and not KEPT_SIGNS & set(output.name):
        return output.name
    entry: dict[str, str | None] = {"name": None, "output": output.name}
    return entry if has_axes else {**entry, "axes": None}


def _list(tensors: Sequence[Tensor]) -> str:
    more = f" and {len(tensors) - NAMED} more" if len(tensors) > NAMED else ""
    return f"{', '.join(map(str, tensors[:NAMED]))}{more}"


def _tensor_name(graph: Graph, name: str) -> str:
    """Return the name of an output or inner tensor; BackboneError suggests similar names."""
    path, outputs = graph.path, [tensor.name for tensor in graph.outputs]
    if name in outputs or graph.inner.count(name) == 1:
        return name
    if name in graph.inner:
        raise BackboneError(
            f"{path} has {graph.inner.count(name)} tensors called {name!r}, so the name is"
            " ambiguous. Name another tensor."
        )
    near = [inner for inner in graph.inner if name.lower() in inner.lower()][:NAMED]
    hint = f" Similar tensors inside it are {', '.join(map(repr, near))}." if near else ""
    raise BackboneError(
        f"{path} has no output {name!r}, which {place_of(path).name} names.{hint} Its outputs are"
        f" {_list(graph.outputs)}."
    )


def _waveform(graph: Graph) -> tuple[Tensor, int]:
    """Return the waveform input and its axis of samples; BackboneError if there is none."""
    path = graph.path
    if len(graph.inputs) != 1:
        raise BackboneError(
            f"{path} reads {len(graph.inputs)} inputs, {_list(graph.inputs) or 'none'}, but"
            " earmark gives it only the waveform. Export it with fixed values for the others."
        )
    (tensor,) = graph.inputs
    shape = tensor.shape or ()
    axes = [k for k, n in enumerate(shape) if n != 1 and (k > 0 or len(shape) == 1)]
    loose = [k for k in axes if isinstance(shape[k], str)]
    if len(axes) > 1 and loose == axes:
        axes = axes[-1:]  # it takes any number of channels, so give it one
    batch = shape[0] if len(shape) > 1 else 1
    is_fixed = isinstance(batch, int) and batch != 1
    if tensor.dtype not in FLOATS or len(axes) != 1 or is_fixed:
        raise BackboneError(
            f"{path} reads {tensor}, which is not a waveform: earmark gives float numbers of shape"
            f" (windows, samples), with any number of windows or 1; {_remedy(tensor)}."
        )
    return tensor, axes[0]


def _waveform_input(graph: Graph, description: Description) -> Input:
    """Return the network's input for windows; BackboneError if it needs another length."""
    path, place = graph.path, place_of(graph.path).name
    tensor, time = _waveform(graph)
    shape = tensor.shape or ()
    length = shape[time]
    if isinstance(length, int) and length != description.window:
        seconds = description.window / description.rate_hz
        raise BackboneError(
            f"{path} reads {length:,} samples, but {place} says rate_hz {description.rate_hz} and"
            f" window_s {seconds:g}, which is {description.window:,} samples. Give the rate and the"
            " window that the network was made for."
        )
    one = [description.window if k == time else 1 for k in range(len(shape))]
    return Input(tensor, tuple(one), len(shape) == 1 or shape[0] == 1 or not graph.takes_batches)


def _remedy(tensor: Tensor) -> str:
    if tensor.dtype not in FLOATS:
        return "give the network in float32, not quantised"
    if tensor.shape and isinstance(tensor.shape[0], int) and tensor.shape[0] > 1:
        return "export it for a batch of 1, or of any size"
    return "put the network's front end (its spectrogram) into the same file, as the docs show"


def _arrange(array: np.ndarray, layer: Output, rows: int, path: Path) -> np.ndarray:
    """Return an output as (B, C, T, F) float32; BackboneError if its axes do not allow that."""
    what = f"{path} gives {layer.output} {array.shape} for {rows} window{'s' * (rows > 1)}"
    place = place_of(path).name
    if array.dtype.name not in FLOATS:
        raise BackboneError(
            f"{what}, of type {array.dtype.name}, but a layer must have float numbers. Name another"
            f" output in {place}."
        )
    axes = layer.axes or DEFAULT_AXES.get(array.ndim, "")
    if len(axes) != array.ndim:
        note = f"{place} says axes {axes!r}" if axes else f"{place} does not say its axes"
        example = json.dumps({"name": layer.name, "output": layer.output, "axes": "..."})
        raise BackboneError(
            f"{what}, and {note}. Write {example} with a letter for each axis, such as 'BTC' or"
            " 'BCTF': B batch, C channels, T time, F frequency, 1 for an axis of length 1."
        )
    sizes = dict(zip(axes, array.shape, strict=True))
    ones = [n for letter, n in zip(axes, array.shape, strict=True) if letter == "1"]
    if sizes.get("B", 1) != rows or any(n != 1 for n in ones) or 0 in array.shape:
        raise BackboneError(
            f"{what}, and its axes are {axes!r}: B must be the number of windows, 1 must be 1, and"
            f" no axis empty. Say in {place} which axis is which, such as 'TC' for time and"
            " channels."
        )
    if sizes["C"] > MOST_CHANNELS:
        raise BackboneError(
            f"{what}: {sizes['C']:,} channels, and at most {MOST_CHANNELS:,} are possible. Name a"
            f" smaller output, or say in {place} which axis is time."
        )
    order = [axes.index(letter) for letter in "BCTF" if letter in axes]
    order += [k for k, letter in enumerate(axes) if letter == "1"]
    array = array.transpose(order).astype(np.float32)
    return array.reshape([sizes.get(letter, 1) for letter in "BCTF"])


def _scale(windows: np.ndarray, description: Description) -> np.ndarray:
    """Return windows (B, n) scaled to the level that the network expects."""
    if description.peak is not None:
        windows = windows - windows.mean(1, keepdims=True)
        peaks = np.abs(windows).max(1, keepdims=True)
        windows = windows * (description.peak / np.where(peaks > 0, peaks, description.peak))
    scaled: np.ndarray = windows * np.float32(description.full_scale)
    return scaled


def _sounds(samples: int, rate_hz: int) -> np.ndarray:
    """Return three sounds (3, n) float32: noise, a chirp, and noise 100 dB softer than the first.

    The last one reveals a floor that is relative to the peak of the batch.
    """
    t = np.arange(samples) / rate_hz
    noise = np.random.default_rng(0).normal(0, 0.1, (3, samples))
    noise[1] = 0.1 * noise[1] + 0.3 * np.sin(2 * np.pi * (300 + 0.05 * rate_hz * t) * t)
    noise[2] *= 1e-5
    return noise.astype(np.float32)


def _difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """Return the relative difference of the layer that differs most."""
    gaps = [
        float(np.linalg.norm(a.astype(float) - b)) / max(float(np.linalg.norm(b)), 1e-30)
        for a, b in zip(ours, theirs, strict=True)
    ]
    return max(gaps)
