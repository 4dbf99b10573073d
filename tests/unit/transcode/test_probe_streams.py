"""What a frame tells, whatever a damaged file gives in its place; what PCM's packets tell."""

import os
from itertools import pairwise

import av
from support.clips import clip

from watcher.transcode.probe import Prober
from watcher.transcode.probe_streams import note_frame


def test_sound_where_a_picture_should_be_tells_nothing_and_breaks_nothing() -> None:
    video = {"interlaced": False, "rotation": 0}
    note_frame([av.AudioFrame()], video)
    note_frame([], video)
    assert video == {"interlaced": False, "rotation": 0}


def test_pcm_is_followed_by_its_bytes_however_it_is_cut() -> None:
    """Millisecond clocks round each packet's time: that is no pause."""
    for container, codec in (("mov", "pcm_s16le"), ("mkv", "pcm_alaw")):
        with Prober() as prober:
            sound = prober.probe(os.fspath(clip(container=container, audio=codec))).streams[1]
        assert sound.packets is not None
        assert len(sound.packets.runs) == 1
        steps = [after - before for before, after in pairwise(sound.packets.timestamps)]
        assert sound.packets.least_step == min(steps)
