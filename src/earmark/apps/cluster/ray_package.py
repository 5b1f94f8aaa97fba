"""The package ray, imported with our settings."""

from __future__ import annotations

import os
from typing import Any

from earmark.system import extras


def load_ray(address: str) -> Any:
    """Import and return ray for the cluster at ``address``; empty means one on this machine alone.

    Ray reads its settings when it is imported: it must send no statistics of usage, and a cluster
    on this machine must listen on the loopback interface only. Raises EarmarkError if Ray is not
    installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray prints a warning
    if not address:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # its address is then 127.0.0.1
    return extras.load("ray", "ray", "--on ray")
