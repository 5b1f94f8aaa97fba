"""Options of the commands that compute a folder of parts, by one job or by many."""

from __future__ import annotations

import os
import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from typer import Option

from earmark.apps.cluster.ray_package import load_ray
from earmark.embeddings.shares import ALL, Share
from earmark.errors import EarmarkError
from earmark.system import extras

LOCAL, RAY = "local", "ray"  # values of --on


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """What computes the parts of a folder, and which of them."""

    on: str | None = Option(
        None, help="With a folder: what computes the parts: local, ray or ray:ADDRESS."
    )
    share: str | None = Option(
        None, help="With a folder: compute only the parts of job I of N, written I/N."
    )
    retry_failed: bool = Option(
        False,
        "--retry-failed",
        help="With a folder: compute parts again in which a recording could not be read.",
    )

    def check(self, output: Path, is_folder: bool) -> None:
        """Refuse wrong values, and these options where the output is not a folder."""
        check_on(self.on)
        if self.are_given and not is_folder:
            raise EarmarkError(
                f"--share, --on and --retry-failed need a folder, and {output} is a file. Name a"
                " folder with -o."
            )
        _ = self.own_share

    def check_no_output(self) -> None:
        """Refuse these options where there is no output."""
        if self.are_given:
            raise EarmarkError("--share, --on and --retry-failed need -o. Name a folder with it.")

    def load(self) -> None:
        """Load the packages that parts need; EarmarkError if one is missing."""
        extras.load("pyarrow", "parquet", "writing parts")
        if not self.is_local:
            load_ray(self.address)

    @property
    def are_given(self) -> bool:
        """Whether any of the options was given."""
        return self.share is not None or self.on is not None or self.retry_failed

    @property
    def own_share(self) -> Share:
        """The share of this job."""
        return ALL if self.share is None else Share.parse(self.share)

    @property
    def is_local(self) -> bool:
        """Whether this process computes the parts."""
        return self.on in (None, LOCAL)

    @property
    def address(self) -> str:
        """The address of a cluster; empty for one on this machine."""
        return address_of(self.on)


def check_on(on: str | None) -> None:
    """Refuse a wrong value of ``--on``."""
    if on is not None and not re.fullmatch(rf"{LOCAL}|{RAY}(:.+)?", on):
        raise EarmarkError(
            f"--on is {on!r}. Give local or ray, which are this machine, or ray:ADDRESS."
        )


def address_of(on: str | None) -> str:
    """Return the address of a cluster; empty for one on this machine."""
    return (on or "").partition(":")[2]


def is_folder(output: Path, suffixes: Container[str]) -> bool:
    """Return whether an output is a folder: one that exists, or has no suffix.

    A name with one of the ``suffixes`` is a file.
    """
    return output.suffix not in suffixes and (os.path.isdir(output) or not output.suffix)
