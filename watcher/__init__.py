"""Watcher: last week's camera recordings become HEVC overnight, unnoticed by the recorder."""

__version__ = "0.1.0"
