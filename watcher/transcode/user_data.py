"""What a recording's stream carries beside its pictures, and which encoder carries it over. Pure.

Captions and a camera's own notes (times, detections, serial numbers) stand in SEI messages between
the pictures. An encoder that is not told to, or can't, drops them without a word; so what would be
lost is refused by name, unless `sei_user_data: drop` says that it may go.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final

from watcher.errors import Refused
from watcher.transcode.media import VideoInfo

_A53: Final = {"captions": ("-a53cc", "1")}

CARRIERS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        # x265 puts its own UUID before unregistered data: whoever looks for it by its maker's does
        # not find it (x265 pull request 860), so it is not carried
        "libx265": _A53,
        "hevc_nvenc": {**_A53, "unregistered": ("-udu_sei", "1")},
        "hevc_vaapi": {"captions": ("-sei", "hdr+a53_cc")},
    }
)
"""Encoder → kind of user data → the words that have it carried over; all others carry none."""


def held(video: VideoInfo) -> dict[str, int]:
    """Give how many messages of each kind of user data *video* holds."""
    return {kind: one.messages for kind, one in sorted((video.user_data or {}).items())}


def carrying_words(encoder: str, video: VideoInfo) -> list[str]:
    """Give what *encoder* is told so that the user data of *video* is carried over."""
    words = CARRIERS.get(encoder, {})
    return [word for kind in held(video) for word in words.get(kind, ())]


def ensure_carried(encoder: str, video: VideoInfo, options: Callable[[], Collection[str]]) -> None:
    """Raise `Refused` where *encoder* would lose user data of *video*.

    *options* gives what this build of the encoder knows; it is asked only where there is need.
    """
    found = held(video)
    carriers = CARRIERS.get(encoder, {})
    known = options() if found.keys() & carriers.keys() else ()
    kept = {kind for kind, words in carriers.items() if words[0].removeprefix("-") in known}
    lost = {kind: count for kind, count in found.items() if kind not in kept}
    if lost:
        told = ", ".join(f"{count} of {kind}" for kind, count in lost.items())
        raise Refused(
            "user_data_not_carried",
            f"its stream holds user data that {encoder} can't carry over: {told}",
            user_data=lost,
        )
