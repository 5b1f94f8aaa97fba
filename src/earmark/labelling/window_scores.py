"""Scores of the windows of an archive by a classifier, from the embeddings that are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from earmark import backbones
from earmark.backbones.info import BackboneInfo
from earmark.classifier.classifier import BackboneUse, Classifier
from earmark.classifier.features import compute_features
from earmark.classifier.networks import check_layers, only_from_here
from earmark.embeddings.archive import Archive, ArchiveNetwork, Windows
from earmark.errors import BackboneError, ModelError, did_you_mean

BLOCK_ROWS = 1_024  # windows whose features are in memory at a time
FITS = 1.5  # a detector's windows may be so many times as long or as short as those of the archive


@dataclass(frozen=True)
class ScoredWindows:
    """The windows of an archive that a classifier can score: N rows.

    Attributes
    ----------
    classifier : Classifier
    windows : Windows
        Those of the network of the first backbone.
    rows : array, (N,) int64
        The rows of ``windows``.
    """

    classifier: Classifier
    windows: Windows
    rows: np.ndarray
    _others: tuple[tuple[Windows, np.ndarray], ...]
    _infos: tuple[BackboneInfo, ...]

    @classmethod
    def of(
        cls, archive: Archive, classifier: Classifier, grid: tuple[float, float] | None = None
    ) -> ScoredWindows:
        """Find the windows of all backbones of a classifier.

        If there are several grids, ``grid`` (length and hop in seconds) is taken, or the last one.
        Raises ModelError if the archive does not have them, or if the classifier cannot score
        windows of this length.
        """
        if classifier.tuned:
            raise ModelError(
                "this classifier has fine-tuned networks, whose embeddings the archive does not"
                " have. Train one without --finetune."
            )
        networks = _networks(archive, classifier, grid)
        infos = tuple(_info(use, classifier.allow_remote) for use in classifier.backbones)
        for network, info in zip(networks, infos, strict=True):
            if network.layers != {layer.name: 2 * layer.size for layer in info.layers}:
                raise ModelError(
                    f"the archive {archive.path} has other layers of {info.name} than this earmark."
                    " Index again into another folder."
                )
        check_layers(classifier, infos)
        first, *rest = (archive.windows(network) for network in networks)
        others, keep = list[tuple[Windows, np.ndarray]](), np.arange(len(first))
        for windows in rest:
            rows = _rows_of(first, windows)
            keep = keep[rows[keep] >= 0]
            others.append((windows, rows))
        return cls(classifier, first, keep, tuple(others), infos)

    def only(self, keep: np.ndarray) -> ScoredWindows:
        """Return some of the windows, by a mask (N,)."""
        return ScoredWindows(
            self.classifier, self.windows, self.rows[keep], self._others, self._infos
        )

    def log_odds(self, label: str) -> np.ndarray:
        """Return the logarithm of the odds of a class for each window: (N,) float32.

        Raises ModelError if the classifier does not have the class, or is damaged.
        """
        number = class_number(self.classifier, label)
        parts = [np.zeros(0, np.float32)]
        for matrices in self._blocks():
            features = compute_features(self._infos, matrices, self.classifier.features)
            logits = self.classifier.head.logits(features)
            self.classifier.calibrated(logits)  # refuses numbers that are not finite
            parts.append(_log_odds(self.classifier, logits, number))
        return np.concatenate(parts)

    def _blocks(self) -> Iterator[list[np.ndarray]]:
        uses = self.classifier.backbones
        every = [(self.windows, np.arange(len(self.windows))), *self._others]
        tables = [w.table.reading(u.layers) for (w, _), u in zip(every, uses, strict=True)]
        for start in range(0, len(self.rows), BLOCK_ROWS):
            rows = self.rows[start : start + BLOCK_ROWS]
            yield [table[of[rows]] for table, (_, of) in zip(tables, every, strict=True)]


def class_number(classifier: Classifier, label: str) -> int:
    """Return the number of a class; ModelError if the classifier does not have it."""
    if label not in classifier.labels:
        raise ModelError(
            f"the classifier has no class {label!r}.{did_you_mean(label, classifier.labels)} It has"
            f" {', '.join(map(repr, classifier.labels))}."
        )
    return classifier.labels.index(label)


def _log_odds(classifier: Classifier, logits: np.ndarray, number: int) -> np.ndarray:
    """Return the log-odds (N,) of a class for the head's logits (N, K)."""
    z = classifier.calibration.logits(logits)
    if not classifier.calibration.is_single:
        return np.asarray(z[:, number], np.float32)
    others = np.delete(z, number, 1)
    most = others.max(1)
    rest = most + np.log(np.exp(others - most[:, None]).sum(1))
    return np.asarray(z[:, number] - rest, np.float32)


def _networks(
    archive: Archive, classifier: Classifier, grid: tuple[float, float] | None
) -> list[ArchiveNetwork]:
    """Return the archive's network of each backbone, all with the same windows."""
    wanted = [_nameless(use.fingerprint, use.name) for use in classifier.backbones]
    own: list[list[ArchiveNetwork]] = [
        [n for n in archive.networks if _nameless(n.fingerprint, n.backbone) == fingerprint]
        for fingerprint in wanted
    ]
    for use, networks in zip(classifier.backbones, own, strict=True):
        if not networks:
            there = ", ".join(n.fingerprint for n in archive.networks) or "no network"
            raise ModelError(
                f"this classifier was trained with {use.fingerprint}, and the archive"
                f" {archive.path} has {there}. Run `earmark index` with --backbone {use.name}, or"
                " train on what the archive has."
            )
    grids = [(n.window_s, n.hop_s) for n in reversed(own[0])]
    grids = [g for g in grids if all(any((n.window_s, n.hop_s) == g for n in ns) for ns in own)]
    if not grids:
        raise ModelError(
            f"the archive {archive.path} has windows of another length for each network of this"
            " classifier. Run `earmark index` with the same --window and --hop for each."
        )
    if classifier.detector is not None:
        length = classifier.detector.window_s
        fitting = [g for g in grids if 1 / FITS <= g[0] / length <= FITS]
        if not fitting:
            raise ModelError(
                f"this detector was trained on windows of {length:g} s, and the archive has"
                f" windows of {grids[0][0]:g} s. Run `earmark index` with --window {length:g}, or"
                " train a classifier without --detector."
            )
        grids = sorted(fitting, key=lambda g: abs(np.log(g[0] / length)))
    chosen = grid if grid in grids else grids[0]
    return [next(n for n in reversed(ns) if (n.window_s, n.hop_s) == chosen) for ns in own]


def _nameless(fingerprint: str, name: str) -> str:
    return fingerprint.removeprefix(name)  # a folder with an own network may have moved


def _info(use: BackboneUse, allow_remote: bool) -> BackboneInfo:
    """Return the description of a backbone at the version of a classifier."""
    try:
        version = int(use.fingerprint.rsplit("/", 3)[1])
    except (ValueError, IndexError):
        raise ModelError(
            f"this classifier names the network {use.fingerprint!r}, which is not"
            " NAME/VERSION/WEIGHTS/PRECISION. Get the original file again."
        ) from None
    with only_from_here(use.name, allow_remote):
        try:
            return backbones.info(use.name).at_version(version)
        except BackboneError as error:
            raise ModelError(
                f"this classifier was trained with backbone {use.fingerprint}: {error}"
            ) from error


def _rows_of(first: Windows, other: Windows) -> np.ndarray:
    """Return the row in ``other`` of each window of ``first``, (N,); -1 where there is none."""
    most = int(max(first.numbers.max(initial=0), other.numbers.max(initial=0))) + 1
    keys, of = first.contents * most + first.numbers, other.contents * most + other.numbers
    order = np.argsort(of, kind="stable")
    places = np.minimum(np.searchsorted(of[order], keys), max(0, len(of) - 1))
    if not len(of):
        return np.full(len(keys), -1, np.int64)
    rows = order[places]
    return np.where(of[rows] == keys, rows, -1)
