"""A network file that is opened with the JSON beside it, and checked on a few sounds.

What it gives for a window must depend on that window alone: not on others in its batch, and not on
what came before.
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

TOLERANCE = 1e-5  # relative difference of two results that are the same
MOST_CHANNELS = 65_536
NAMED = 8  # tensors in a sentence
DEFAULT_AXES = {1: "C", 2: "BC", 3: "BTC"}


class Input(NamedTuple):
    """How a network takes windows: in this ``shape`` for one. ``is_single``: no more at a time."""

    tensor: Tensor
    shape: tuple[int, ...]
    is_single: bool


@dataclass(frozen=True)
class Checked:
    """What the sounds have shown: whether windows may share a batch, or why not."""

    is_batched: bool
    why: str
    difference: float = 0.0  # of a row alone and among others, relative


class NetworkFile:
    """A network file that is ready to compute, with its description and what was checked."""

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
        """All that decides what is computed."""
        text = f"{self.sha256} {self.description.decisive}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, windows: np.ndarray) -> list[np.ndarray]:
        """Return the activations (B, C, T, F) float32 of every layer for ``windows`` (B, n)."""
        x = _scaled(windows, self.description)
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
            _arranged(results[number], layer, len(x), self.path)
            for layer, number in zip(self.layers, self.numbers, strict=True)
        ]

    def _check(self) -> tuple[Checked, list[tuple[int, ...]]]:
        """Compare what the network gives for sounds alone, again, and together."""
        sounds = _sounds(self.description.window, self.description.rate_hz)
        try:
            first, again, *others, later = (self(sounds[k : k + 1]) for k in (0, 0, 1, 2, 0))
            silent = self(np.zeros_like(sounds[:1]))
        except BackboneError:
            raise
        except Exception as error:  # runtimes raise what they like
            seconds = self.description.window / self.description.rate_hz
            raise BackboneError(
                f"{self.path} fails on a window of {seconds:g} s: {first_line(error)}; compare"
                f" window_s in {place_of(self.path).name} with what it was exported for."
            ) from error
        self._check_values(first, others[0], silent)
        for results, when, why in (
            (again, "in two calls", "random numbers, such as dropout"),
            (later, "after another one", "a state that it keeps from call to call"),
        ):
            if (gap := _difference(results, first)) > TOLERANCE:
                raise BackboneError(
                    f"{self.path} gives other numbers for the same window {when} (they differ by"
                    f" {gap:.1g} of their size), so no result of it could be repeated; export it"
                    f" for inference, without {why}."
                )
        return self._check_batch(sounds, [first, *others]), [x.shape for x in first]

    def _check_values(
        self, first: list[np.ndarray], other: list[np.ndarray], silent: list[np.ndarray]
    ) -> None:
        for layer, a, b in zip(self.layers, first, other, strict=True):
            if not (np.isfinite(a).all() and np.isfinite(b).all()):
                raise BackboneError(
                    f"{self.path} gives NaN or infinity in layer {layer.name!r} for noise of"
                    " ordinary loudness; check full_scale and rate_hz in"
                    f" {place_of(self.path).name}, or export the network in float32."
                )
            if np.array_equal(a, b):
                raise BackboneError(
                    f"{self.path} gives the same numbers in layer {layer.name!r} for two different"
                    " sounds, so it tells nothing apart; name an output that depends on the"
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
            return Checked(False, "the network reads one at a time")
        try:
            together = self._compute(_scaled(sounds, self.description))
        except Exception as error:  # a fixed batch inside, or rows that are mixed up
            return Checked(False, f"several at once fail: {first_line(error)}")
        gap = max(_difference([x[k : k + 1] for x in together], own) for k, own in enumerate(alone))
        if not gap <= TOLERANCE:
            return Checked(False, f"a batch changes its rows by {gap:.1g} of their size", gap)
        return Checked(True, "", gap)


def _description(graph: Graph) -> Description:
    place = place_of(graph.path)
    if place.exists() or place.is_symlink():
        return read_description(place)
    tensor, axis = _waveform(graph)
    length = tensor.shape[axis] if tensor.shape else "any"
    product = f" rate_hz times window_s must be {length:,}." if isinstance(length, int) else ""
    raise BackboneError(
        f"{place} is missing; it says how {graph.path.name} is used. Write this there, and replace"
        f" each null by what the publisher says: {template(list(map(_entry, graph.outputs)))}. The"
        f" network reads {tensor} and gives {_listed(graph.outputs)}.{product}"
    )


def _entry(output: Tensor) -> str | dict[str, str | None]:
    """Return what to write for an output in ``layers``."""
    has_axes = output.shape is not None and len(output.shape) in DEFAULT_AXES
    if has_axes and not KEPT_SIGNS & set(output.name):
        return output.name
    entry: dict[str, str | None] = {"name": None, "output": output.name}
    return entry if has_axes else {**entry, "axes": None}


def _listed(tensors: Sequence[Tensor]) -> str:
    more = f" and {len(tensors) - NAMED} more" if len(tensors) > NAMED else ""
    return f"{', '.join(map(str, tensors[:NAMED]))}{more}"


def _tensor_name(graph: Graph, name: str) -> str:
    """Return the name of an output or of a tensor inside; BackboneError names what is near."""
    path, outputs = graph.path, [tensor.name for tensor in graph.outputs]
    if name in outputs or graph.inner.count(name) == 1:
        return name
    if name in graph.inner:
        raise BackboneError(
            f"{path} has {graph.inner.count(name)} tensors called {name!r}, so it is not clear"
            " which is meant; name another one."
        )
    near = [inner for inner in graph.inner if name.lower() in inner.lower()][:NAMED]
    hint = f" inside it are {', '.join(map(repr, near))};" if near else ""
    raise BackboneError(
        f"{path} has no output {name!r}, which {place_of(path).name} names;{hint} its outputs are"
        f" {_listed(graph.outputs)}."
    )


def _waveform(graph: Graph) -> tuple[Tensor, int]:
    """Return the input that takes a waveform and its axis of samples; BackboneError for none."""
    path = graph.path
    if len(graph.inputs) != 1:
        raise BackboneError(
            f"{path} reads {len(graph.inputs)} inputs, {_listed(graph.inputs) or 'none'}, and"
            " earmark gives it one, the waveform; export it with fixed values for the others."
        )
    (tensor,) = graph.inputs
    shape = tensor.shape or ()
    axes = [k for k, n in enumerate(shape) if n != 1 and (k > 0 or len(shape) == 1)]
    loose = [k for k in axes if isinstance(shape[k], str)]
    if len(axes) > 1 and loose == axes:
        axes = axes[-1:]  # any number of channels: one
    batch = shape[0] if len(shape) > 1 else 1
    is_fixed = isinstance(batch, int) and batch != 1
    if tensor.dtype not in FLOATS or len(axes) != 1 or is_fixed:
        raise BackboneError(
            f"{path} reads {tensor}, which is no waveform: earmark gives float numbers (windows,"
            f" samples), any number of windows or 1; {_remedy(tensor)}."
        )
    return tensor, axes[0]


def _waveform_input(graph: Graph, description: Description) -> Input:
    """Return how the network takes windows; BackboneError where they have another length."""
    path, place = graph.path, place_of(graph.path).name
    tensor, time = _waveform(graph)
    shape = tensor.shape or ()
    length = shape[time]
    if isinstance(length, int) and length != description.window:
        seconds = description.window / description.rate_hz
        raise BackboneError(
            f"{path} reads {length:,} samples, and {place} says rate_hz {description.rate_hz} and"
            f" window_s {seconds:g}, which is {description.window:,}; give the rate and the window"
            " that the network was made for."
        )
    one = [description.window if k == time else 1 for k in range(len(shape))]
    return Input(tensor, tuple(one), len(shape) == 1 or shape[0] == 1 or not graph.takes_batches)


def _remedy(tensor: Tensor) -> str:
    if tensor.dtype not in FLOATS:
        return "give the network in float32, not quantised"
    if tensor.shape and isinstance(tensor.shape[0], int) and tensor.shape[0] > 1:
        return "export it for a batch of 1, or of any size"
    return "put the network's front end (its spectrogram) into the same file, as the docs show"


def _arranged(array: np.ndarray, layer: Output, rows: int, path: Path) -> np.ndarray:
    """Return an output as (B, C, T, F) float32; BackboneError where it is none."""
    what = f"{path} gives {layer.output} {array.shape} for {rows} window{'s' * (rows > 1)}"
    place = place_of(path).name
    if array.dtype.name not in FLOATS:
        raise BackboneError(
            f"{what}, of type {array.dtype.name}; layers must be float numbers: name another"
            f" output in {place}."
        )
    axes = layer.axes or DEFAULT_AXES.get(array.ndim, "")
    if len(axes) != array.ndim:
        said = f"{place} says axes {axes!r}" if axes else f"{place} does not say its axes"
        example = json.dumps({"name": layer.name, "output": layer.output, "axes": "..."})
        raise BackboneError(
            f"{what}, and {said}; write {example} with a letter for each axis, such as 'BTC' or"
            " 'BCTF': B batch, C channels, T time, F frequency, 1 for an axis of one number."
        )
    sizes = dict(zip(axes, array.shape, strict=True))
    ones = [n for letter, n in zip(axes, array.shape, strict=True) if letter == "1"]
    if sizes.get("B", 1) != rows or any(n != 1 for n in ones) or 0 in array.shape:
        raise BackboneError(
            f"{what}, and its axes are {axes!r}: B must be the number of windows, 1 must be 1, and"
            f" no axis empty; say in {place} which axis is which, such as 'TC' for time and"
            " channels."
        )
    if sizes["C"] > MOST_CHANNELS:
        raise BackboneError(
            f"{what}: {sizes['C']:,} channels, and {MOST_CHANNELS:,} are possible; name a smaller"
            f" output, or say in {place} which axis is time."
        )
    order = [axes.index(letter) for letter in "BCTF" if letter in axes]
    order += [k for k, letter in enumerate(axes) if letter == "1"]
    array = array.transpose(order).astype(np.float32)
    return array.reshape([sizes.get(letter, 1) for letter in "BCTF"])


def _scaled(windows: np.ndarray, description: Description) -> np.ndarray:
    """Return windows (B, n) as loud as the network is used to."""
    if description.peak is not None:
        windows = windows - windows.mean(1, keepdims=True)
        peaks = np.abs(windows).max(1, keepdims=True)
        windows = windows * (description.peak / np.where(peaks > 0, peaks, description.peak))
    scaled: np.ndarray = windows * np.float32(description.full_scale)
    return scaled


def _sounds(samples: int, rate_hz: int) -> np.ndarray:
    """Return three sounds (3, n) float32: noise, a chirp, and noise 100 dB softer than the first.

    A floor that is relative to the peak of a batch changes what the last one yields.
    """
    t = np.arange(samples) / rate_hz
    noise = np.random.default_rng(0).normal(0, 0.1, (3, samples))
    noise[1] = 0.1 * noise[1] + 0.3 * np.sin(2 * np.pi * (300 + 0.05 * rate_hz * t) * t)
    noise[2] *= 1e-5
    return noise.astype(np.float32)


def _difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """Return the largest relative difference of a layer."""
    gaps = [
        float(np.linalg.norm(a.astype(float) - b)) / max(float(np.linalg.norm(b)), 1e-30)
        for a, b in zip(ours, theirs, strict=True)
    ]
    return max(gaps)
