"""The command line: parse, call one library function, print."""

from earmark.apps.cli.app import main

__all__ = ["main"]
