"""The labels of an archive as DATA of a command."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from earmark.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.apps.cli.options import LabelOptions
    from earmark.data.blocks import ClipBlocks
    from earmark.data.dataset import Dataset

READ = ("source", "group", "separator", "labels")  # the options that mean something here
OTHERS = ("channel", "non_finite", "full_scale", "allow_remote")  # of recordings, not of columns


def labelled(
    options: LabelOptions,
    *,
    need_labels: bool = True,
    least_classes: int = 2,
    fold: str | None = None,
    **settings: Any,
) -> Dataset:
    """Return the labelled windows of an archive; refuse options for columns of a manifest.

    The settings are those of ``Dataset.read``.
    """
    for option in fields(options):
        default = getattr(option.default, "default", None)
        is_read = option.name in (*READ, *OTHERS)
        if not is_read and getattr(options, option.name) != default:
            raise EarmarkError(
                f"--{option.name.replace('_', '-')} is for manifests, and {options.source} is an"
                " archive. Leave it out; --group takes a column of the recordings."
            )
    from earmark.labelling.labelled import labelled_dataset

    settings = {"separator": options.separator, **settings}
    to_train = need_labels and least_classes > 1
    return labelled_dataset(
        options.source, options.labels, options.group, to_train=to_train, **settings
    )


def blocks_of(dataset: Dataset, size: int) -> ClipBlocks:
    """Return labelled windows in blocks of ``size``."""
    from earmark.data.blocks import ClipBlocks

    blocks = ClipBlocks.of(dataset.clips, size, dataset.source)
    return replace(blocks, separator=dataset.separator)


def caveats_of(options: LabelOptions) -> tuple[str, ...]:
    """Return what to know about an estimate if the data are the labels of an archive."""
    if not options.is_archive:
        return ()
    from earmark.labelling.labelled import caveat

    return (caveat(options.group),)


def as_sounds(dataset: Dataset) -> tuple[Dataset, str]:
    """Return labelled windows for a detector, and the class of those that are background.

    Windows of one label that touch become one sound.
    """
    from earmark.labelling.labelled import OTHER, joined

    others = [name for name in OTHER if name in dataset.labels]
    dataset = replace(dataset, clips=tuple(joined(dataset.clips)))
    return dataset, others[-1] if others and dataset.separator is None else ""
