"""A track's language stands in its copy as it was, or is refused before the encode."""

from pathlib import Path

import av
from support.clips import clip, ffmpeg

from watcher.transcode.languages import NUMBERED, is_kept


def read_back(target: Path, languages: list[str]) -> list[str]:
    """Give what ffmpeg's muxer makes of *languages*, each of a track of its own."""
    words = [word for _ in languages for word in ("-map", "0:v")]
    for number, language in enumerate(languages):
        words += [f"-metadata:s:v:{number}", f"language={language}"]
    ffmpeg("-i", clip(seconds=1, audio=None), *words, "-c", "copy", target)
    with av.open(str(target)) as container:
        return [stream.metadata.get("language", "und") for stream in container.streams]


def test_a_language_is_said_to_be_kept_where_ffmpeg_keeps_it(tmp_path: Path) -> None:
    said = [*sorted(NUMBERED), "und", "bos", "deu", "a``", "```", "`bc", "zzz"]
    for container in ("mov", "mp4"):
        kept = read_back(tmp_path / f"said.{container}", said)
        for language, after in zip(said, kept, strict=True):
            assert is_kept(container, language) == (after == language), (container, language, after)
