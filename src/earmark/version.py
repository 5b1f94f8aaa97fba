"""The version of earmark; reading it imports nothing else."""

__version__ = "0.2.0"
