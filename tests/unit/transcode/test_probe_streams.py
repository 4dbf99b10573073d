"""What a frame tells, whatever a damaged file gives in its place."""

import av

from watcher.transcode.probe_streams import note_frame


def test_sound_where_a_picture_should_be_tells_nothing_and_breaks_nothing() -> None:
    video = {"interlaced": False, "rotation": 0}
    note_frame([av.AudioFrame()], video)
    note_frame([], video)
    assert video == {"interlaced": False, "rotation": 0}
