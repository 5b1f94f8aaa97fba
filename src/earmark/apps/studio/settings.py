"""Where a studio listens, and how much it takes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from earmark.apps.service.settings import Limits, Settings, is_loopback
from earmark.apps.studio.bodies import BODY_BYTES
from earmark.errors import EarmarkError

LIMITS = Limits(body_bytes=BODY_BYTES, drain_s=2.0)


@dataclass(frozen=True)
class StudioSettings(Settings):
    """What one studio does, of what a service can.

    Attributes
    ----------
    token : str or None
        A token that works any number of times; others work once.
    recordings : tuple of Path
        Folders of long recordings that may be searched and played besides the folder itself.
    """

    models: dict[str, Path] = field(default_factory=dict)  # those of the folder, as they come
    recordings: tuple[Path, ...] = ()
    port: int = 0
    log: str = "text"
    limits: Limits = LIMITS

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and self.certificate is None:
            raise EarmarkError(
                f"--host {self.host} can be reached from other machines, and they could listen in."
                " Give --tls-cert and --tls-key, or leave out --host."
            )
        if self.key is not None and self.certificate is None:
            raise EarmarkError("--tls-key needs --tls-cert. Give both.")
