"""Recordings drawn and cut by processes that can be ended."""
