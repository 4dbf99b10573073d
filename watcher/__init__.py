"""Watcher: last week's camera recordings become HEVC overnight, unnoticed by the recorder.

For a host application: `BackgroundTranscoder(load_config("watcher.yaml")).start()`.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["BackgroundTranscoder", "__version__", "load_config"]

if TYPE_CHECKING:
    from watcher.background import BackgroundTranscoder
    from watcher.config import load_config


def __getattr__(name: str) -> object:
    """Load the public names when they are first used: a probe worker needs none of them."""
    if name == "load_config":
        from watcher.config import load_config  # noqa: PLC0415 - that is the point

        return load_config
    if name == "BackgroundTranscoder":
        from watcher.background import BackgroundTranscoder  # noqa: PLC0415 - that is the point

        return BackgroundTranscoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
