"""The version of earmark, which nothing has to be imported for."""

__version__ = "0.2.0"
