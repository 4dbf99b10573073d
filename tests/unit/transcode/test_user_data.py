"""Which encoder carries which user data: refused by name, or told to keep it."""

import re
from dataclasses import replace

import pytest
from support.ffmpeg_help import problems
from support.media_values import info, video

from watcher.errors import Refused
from watcher.transcode.command import Job, argv
from watcher.transcode.encoders import ENCODERS, Settings, video_words
from watcher.transcode.media import UserData, VideoInfo
from watcher.transcode.user_data import CARRIERS, ensure_carried

BOTH = {"captions": UserData(30, "c"), "unregistered": UserData(1800, "u")}
OPTIONS = frozenset({"a53cc", "udu_sei", "sei"})


def refused(encoder: str, read: VideoInfo) -> Refused | None:
    """Why *encoder* may not have it; None: it carries all that is there."""
    try:
        ensure_carried(encoder, read, lambda: OPTIONS)
    except Refused as why:
        return why
    return None


def holding(*kinds: str) -> VideoInfo:
    return video(user_data={kind: BOTH.get(kind, UserData(7, "x")) for kind in kinds})


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
@pytest.mark.parametrize("kind", ["captions", "unregistered", "registered", "timecode"])
def test_what_an_encoder_does_not_carry_is_refused_with_how_many(encoder: str, kind: str) -> None:
    why = refused(encoder, holding(kind))
    assert (why is None) is (kind in CARRIERS.get(encoder, {}))
    assert why is None or why.reason == "user_data_not_carried"
    assert why is None or re.search(rf"[0-9]+ of {kind}", str(why))


@pytest.mark.parametrize("encoder", sorted(CARRIERS))
def test_what_an_encoder_is_told_is_in_ffmpegs_own_help(encoder: str) -> None:
    media = info(video=holding("captions", "unregistered"))
    for rung in (rung for rungs in ENCODERS.values() for rung in rungs):
        if rung.encoder == encoder:
            words = argv("/usr/bin/ffmpeg", rung, Job(media, "/r/s.mp4", "/r/o", Settings()))
            assert problems(words) == []
            assert all(words.count(told[0]) == 1 for told in CARRIERS[encoder].values())


def test_a_build_without_the_option_carries_nothing() -> None:
    with pytest.raises(Refused):
        ensure_carried("libx265", holding("captions"), frozenset)


def test_where_there_is_nothing_to_carry_nobody_is_asked() -> None:
    asked = []

    def options() -> frozenset[str]:
        asked.append("libx265")
        return OPTIONS

    for one in (video(), video(user_data={})):
        ensure_carried("libx265", one, options)
    assert asked == []
    ensure_carried("libx265", holding("captions"), options)
    assert asked == ["libx265"]


def test_an_encoder_is_told_only_where_there_is_something_to_keep() -> None:
    rung = ENCODERS["libx265"][0]
    told = video_words(rung, Settings(), holding("captions"), None)
    assert told[told.index("-a53cc") + 1] == "1"
    dropping = replace(Settings(), keep_user_data=False)
    assert "-a53cc" not in video_words(rung, dropping, holding("captions"), None)
    assert "-a53cc" not in video_words(rung, Settings(), video(), None)
