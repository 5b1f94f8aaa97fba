"""Baselines without pretraining: log-mel statistics, and the same network with random weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from earmark.backbones import registry
from earmark.backbones.base import Backbone
from earmark.backbones.layers import layers_of
from earmark.classifier.features import FeatureSpec
from earmark.embeddings.embedding import embed
from earmark.embeddings.store import Store
from earmark.errors import BackboneError
from earmark.system.progress import Stages
from earmark.training import headline, heads, metrics
from earmark.training.embedded_data import EmbeddedData
from earmark.training.estimation import OutOfFold
from earmark.training.kernels import FeatureTable
from earmark.training.selection import Search
from earmark.training.solution import solve

PLAIN = "logmel"
CHEAP_PARAMETERS = 2_000_000  # larger networks are not run again with random weights
CHEAP_SECONDS, CHEAP_CLIPS = 3_600.0, 1_000  # nor over more seconds of audio or more clips


@dataclass(frozen=True)
class Baseline:
    """The predictions of a model without pretraining for the same clips."""

    name: str
    tested: OutOfFold

    def figures(self, seed: int) -> dict[str, Any]:
        """Return name, accuracy, interval and headline figure, as an estimate lists them."""
        tested = self.tested
        quality = tested.quality
        figure = headline.name_of(tested.onehot, tested.is_single)
        return {
            "name": self.name,
            "accuracy": float(quality.mean()),
            "ci95": list(metrics.accuracy_interval(quality, tested.cluster, seed)),
            "headline": headline.figures(
                figure, tested.chosen(), tested.onehot, tested.cluster, seed
            ),
        }


def judge(
    data: EmbeddedData,
    search: Search,
    networks: Sequence[Backbone],
    store: Store | None,
    stages: Stages | None = None,
) -> list[Baseline]:
    """Return the predictions of each baseline for the same clips and folds.

    Log-mel statistics are always a baseline. The ``networks`` in use with random weights are one
    if all of them are small, the audio is short and the clips are few. A baseline reads all layers
    with a linear head, whose penalty is chosen inside the folds on at most some hundred clips.
    """
    clips, scheme, stages = data.clips, data.scheme, stages or Stages()
    baselines: list[Baseline] = []
    for name, rivals in _rivals(networks, data.embeddings[0].seconds, len(clips)):
        with stages.stage("baselines", len(rivals) * len(clips), f"baseline: {name}"):
            embeddings = [
                embed(clips, n, store, options=data.dataset.audio, progress=stages.staged)
                for n in rivals
            ]
        if any(len(e.clips) < len(clips) for e in embeddings):
            continue  # a recording has vanished since: the clips would differ
        infos = [network.info for network in rivals]
        specs = {"all": FeatureSpec(layers_of(infos, "all"))}
        table = FeatureTable(infos, [e.matrix for e in embeddings], specs)
        alone = replace(search, table=table, kinds=heads.LINEAR, on_few=True, notes=[], _choices={})
        solution = solve(alone, clips, data.content, scheme, stages, name)
        tested = OutOfFold.gather(solution, clips, search.targets, scheme)
        baselines.append(Baseline(name, tested))
    return baselines


def _rivals(
    networks: Sequence[Backbone], seconds: float, n_clips: int
) -> Iterator[tuple[str, list[Backbone]]]:
    """Yield the name and the networks of each baseline."""
    if any(network.info.name != PLAIN for network in networks):
        yield "log-mel statistics", [registry.load_backbone(PLAIN)]
    parameters = sum(network.info.parameters for network in networks)
    if not 0 < parameters <= CHEAP_PARAMETERS:
        return
    if seconds <= CHEAP_SECONDS and n_clips <= CHEAP_CLIPS:
        try:
            yield "random weights", [type(n).random(n.info) for n in networks]
        except BackboneError:
            return  # this network cannot be built without its weights
