"""What the pretrained network gave: the same estimate without any learned listening."""

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
CHEAP_PARAMETERS = 2_000_000  # of a network that is run once more, with random weights,
CHEAP_SECONDS, CHEAP_CLIPS = 3_600.0, 1_000  # over no more audio, and no more clips, than this


@dataclass(frozen=True)
class Baseline:
    """What a rival that has learned nothing of listening answered to the same clips."""

    name: str
    tested: OutOfFold

    def figures(self, seed: int) -> dict[str, Any]:
        """Return name, accuracy, interval and headline: what an estimate has of it."""
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
    """Return what each baseline answers, over the same clips and folds.

    Log-mel statistics always; the ``networks`` in use with random weights where all of them are
    small and the audio is short and the clips are few. Both read all layers, with a linear head
    and its penalty chosen inside the folds, on some hundred clips where there are more.
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
            continue  # a recording went away meanwhile: no comparison on the same clips
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
    if any(network.info.name != PLAIN for network in networks):
        yield "log-mel statistics", [registry.load_backbone(PLAIN)]
    parameters = sum(network.info.parameters for network in networks)
    if not 0 < parameters <= CHEAP_PARAMETERS:
        return
    if seconds <= CHEAP_SECONDS and n_clips <= CHEAP_CLIPS:
        try:
            yield "random weights", [type(n).random(n.info) for n in networks]
        except BackboneError:
            return  # a network that only exists with its weights
