"""Measure the share of clips with a correct AudioSet tag among the first three.

    python benchmarks/tagging.py

A tag is correct if it is the class itself, or a child or the parent of it in AudioSet's ontology.
Recordings: EARMARK_TEST_DATA, or ../shared/data beside the checkout; weights: EARMARK_WEIGHTS, or
../shared/weights.
"""

from __future__ import annotations

import os
from pathlib import Path

from machine import describe, shared_data, write

RIGHT = {  # the class, its children, its parent
    "dog_bark": {"Bark", "Dog", "Domestic animals, pets"},
    "rooster": {"Crowing, cock-a-doodle-doo", "Chicken, rooster", "Fowl"},
    "rain": {"Rain", "Raindrop", "Rain on surface", "Water"},
    "chainsaw": {"Chainsaw", "Light engine (high frequency)"},
}


def main() -> None:
    """Tag every clip of four classes with both networks and write results/tagging.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    beside = Path(__file__).parents[2] / "shared" / "weights"
    os.environ.setdefault("EARMARK_WEIGHTS", str(beside))
    from earmark.classifier.tagging import tag_iter

    print(describe())
    rows = []
    for backbone in ("efficientat-mn04", "yamnet"):
        for name, right in RIGHT.items():
            clips = sorted((shared_data("esc10") / name).glob("*.ogg"))
            hits = [bool(right & set(tags.scores)) for tags in tag_iter(clips, backbone, top=3)]
            row = {"backbone": backbone, "class": name, "clips": len(hits)}
            rows.append({**row, "share_top3": round(sum(hits) / len(hits), 3)})
            print(f"{backbone}, {name}: {rows[-1]['share_top3']:.3f} of {len(hits)}")
    write("tagging", rows)


if __name__ == "__main__":
    main()
