"""Weight all layers of all backbones by how well each does alone, for one joint kernel.

The weight of a layer is exp((lowest loss of a layer - its own loss) / SHARPNESS). So many layers
contribute, and a backbone that does not suit these sounds does no harm.
"""

from __future__ import annotations

import numpy as np

from earmark.training import heads
from earmark.training.inner import Candidate, Contest, Contests, Weights
from earmark.training.judging import Eligible, FoldedClips, LayerWeights, judge
from earmark.training.kernels import FeatureTable

# This many nats more loss divide the weight of a layer by e. On ESC-50, EMO-DB, instruments, Speech
# Commands and Free Spoken Digit, 0.1 and 0.3 did about as well.
SHARPNESS = 0.2
LEAST = 0.02  # layers with less than this share of the weight of the best layer are left out


def joint_name(table: FeatureTable) -> str | None:
    """Return the spec that reads all layers whole, if each layer also has a spec of its own."""
    specs = table.specs
    every = tuple(tuple(layer.name for layer in info.layers) for info in table.infos)
    whole = [n for n, spec in specs.items() if spec.layers == every and _is_whole(table, n)]
    n_layers = sum(map(len, every))
    return whole[0] if whole and n_layers > 1 and len(_alone(table)) == n_layers else None


def _is_whole(table: FeatureTable, name: str) -> bool:
    """Return whether a spec reads all statistics of its layers."""
    spec = table.specs[name]
    return spec.spread and spec.bands and not spec.averaged


def _alone(table: FeatureTable) -> dict[tuple[int, str], str]:
    """Return the names of the specs that read one layer whole, by (backbone, layer)."""
    alone = {}
    for name, spec in table.specs.items():
        read = [(k, layer) for k, layers in enumerate(spec.layers) for layer in layers]
        if len(read) == 1 and _is_whole(table, name):
            alone[read[0]] = name
    return alone


def layer_weights(contests: Contests, table: FeatureTable) -> LayerWeights:
    """Return the weights of all layers in each contest, from the loss of each layer alone."""
    return {tested: _weights(contest, table) for tested, contest in contests.items()}


def _weights(contest: Contest, table: FeatureTable) -> Weights:
    """Return the weights (L,) of all layers in one contest; the best layer has 1."""
    specs = {name: k for k, name in enumerate(_alone(table).values())}
    losses = np.full(len(specs), np.inf)
    for candidate, loss in contest.loss.items():
        if candidate.features in specs and candidate.head in heads.SUMMED:
            k = specs[candidate.features]
            losses[k] = min(losses[k], loss)
    weights = np.exp((losses.min() - losses) / (contest.unit * SHARPNESS))
    return tuple(np.where(weights < LEAST, 0, weights).round(4).tolist())


def screen_weighted(
    few: FoldedClips, contests: Contests, weights: LayerWeights, name: str, *, is_final: bool
) -> None:
    """Judge linear heads on all layers of the spec ``name``, weighted, on few clips."""
    for is_balanced in [False, True] if few.is_balanced else [False]:
        candidates = {
            Candidate("linear", name, penalty, is_balanced, is_weighted=True)
            for penalty in heads.screened_penalties("linear", is_final=is_final)
        }
        eligible: Eligible = dict.fromkeys(contests, candidates)
        judge(few, eligible, contests, weights)
