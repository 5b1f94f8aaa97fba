"""The command line: parse, call one library function, print."""

from earmark.apps.cli.start import main

__all__ = ["main"]
