"""``python -m earmark``."""

from earmark.apps.cli import main

main()
