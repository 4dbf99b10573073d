"""Does the index of an MP4 or MOV file tell the truth? Judged on what `moov` has read. Pure.

No table's word is taken for another's: every chunk must lie inside the media data, the header must
not claim more time than the samples have, and no video frame may be hidden by an edit list. An
empty edit at the start, a media time within B-frame delay, and audio priming are ordinary: every
segment has them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from watcher.transcode.clocks import is_strange, unbent
from watcher.transcode.coding_order import order_problems
from watcher.transcode.findings import Budget, Problem
from watcher.transcode.tracks import Movie, Span, Track

PRIMING_S = 0.2  # what an audio codec may put before the first sound (AAC 0.05, Opus 0.08)
PRIMING_SAMPLES = 3 * 2048  # and in samples: two frames of HE-AAC before, one behind
SAMPLE_RATE = 8000  # the least clock that is taken for the sound's own
CLAIM_SLACK_S = 2.0  # a header may claim so much more than the samples have, and 5 %
FRAGMENT_SLACK_S = 1.0  # and so much where fragments follow, each of which has a second or more
SOUND_SLACK_S = 0.03  # by which two counts of the same sound differ: a packet at most
PCM_PACKET = 1024  # samples: ffmpeg counts one otherwise where the sound begins late, and says so
PACE_SLACK_S, PACE_SLACK = 0.2, 0.02  # recorders round and stop their tracks one by one
_BITE = 1 << 16  # frames between two looks whether to go on


def tables_problems(movie: Movie, mdats: list[Span], budget: Budget) -> Iterator[Problem]:
    """Give what is wrong, once fragments have been added; *mdats* sorted."""
    if movie.encrypted:
        yield Problem("encrypted", "the index carries a key system's header (pssh)")
    yield from (one for one in movie.found if isinstance(one, Problem))
    if movie.extended:
        yield from _fragments_claim(movie)
    for track in movie.tracks:
        yield from track.problems
        yield from _outside(track, mdats)
        yield from _claims(movie, track)
        if track.handler == b"vide":
            yield from order_problems(track.track_id, track.times)
        if track.handler in {b"vide", b"soun"}:
            yield from _clock(movie, track)
            if not movie.extended:
                yield from _durations(movie, track)
        yield from _edits(movie, track, budget)


def presented_frames(movie: Movie, budget: Budget) -> int | None:
    """Give how many frames the only video track presents; None where there is not one."""
    videos = [track for track in movie.tracks if track.handler == b"vide"]
    return len(videos[0].times) - _hidden(movie, videos[0], budget) if len(videos) == 1 else None


def presented_times(movie: Movie) -> Sequence[int]:
    """Give when each frame of the only video is shown, in order, from wherever it begins."""
    videos = [track for track in movie.tracks if track.handler == b"vide"]
    if len(videos) != 1 or sum(edit.media_time >= 0 for edit in videos[0].edits) > 1:
        return ()
    times = videos[0].times
    return times if isinstance(times, range) else sorted(times)


def _outside(track: Track, mdats: list[Span]) -> Iterator[Problem]:
    starts = [start for start, _ in mdats]
    lost = 0
    for start, end in zip(track.starts, track.ends, strict=True):
        at = bisect_right(starts, start) - 1
        if end > start and (at < 0 or end > mdats[at][1]):
            lost += 1
    if lost:
        detail = f"track {track.track_id}: {lost} of {len(track.starts)} chunks are not in the data"
        yield Problem("samples_outside", detail)


def _claims(movie: Movie, track: Track) -> Iterator[Problem]:
    have_s = track.end / track.timescale
    claims_s = track.claimed / track.timescale
    if movie.claimed_fragments and track.handler == b"vide":
        claims_s = max(claims_s, movie.claimed_fragments / movie.timescale)
    if claims_s > have_s * 1.05 + CLAIM_SLACK_S:
        detail = (
            f"track {track.track_id}: the header claims {claims_s:.1f} s, it has {have_s:.1f} s"
        )
        yield Problem("claims_more", detail)


def _fragments_claim(movie: Movie) -> Iterator[Problem]:
    """A file that was cut between two fragments is whole but for what its header promised."""
    claims_s = max(movie.claimed, movie.claimed_fragments) / movie.timescale
    have_s = max(
        sum(edit.duration for edit in track.edits if edit.media_time < 0) / movie.timescale
        + track.end / track.timescale
        for track in movie.tracks
    )
    if claims_s > have_s + FRAGMENT_SLACK_S:
        yield Problem(
            "claims_more", f"the header claims {claims_s:.1f} s, there are {have_s:.1f} s"
        )


def _durations(movie: Movie, track: Track) -> Iterator[Problem]:
    """Hold the headers against the tables: one bit in a delta moves all that follows.

    Whether the last sample lasts as long as the others, or at all, is told differently (Android).
    """
    frames, tick = len(track.times), track.timescale / movie.timescale
    lost = _lost_packets(movie, track)
    if track.claimed and frames and not lost:
        slack = max(track.claimed / max(1, frames - 1), _sound_slack(movie, track)) + tick + 2
        if abs(track.claimed - track.end) > slack:
            detail = f"the header says {track.claimed} ticks, the tables {track.end}"
            yield Problem("times_disagree", f"track {track.track_id}: {detail}")
    if not lost:
        yield from _pace(movie, track)
    if track.presented and track.edits and all(edit.duration for edit in track.edits):
        shown = sum(edit.duration for edit in track.edits)
        plays = sum(edit.duration for edit in track.edits if edit.media_time >= 0)
        slack = len(track.edits) + 1
        if min(abs(track.presented - shown), abs(track.presented - plays)) > slack:
            detail = f"the header says {track.presented} ticks, the edit list {shown}"
            yield Problem("times_disagree", f"track {track.track_id}: {detail}")


def _lost_packets(movie: Movie, track: Track) -> bool:
    """Say whether packets of PCM were lost on the way: ffmpeg writes how long it took, no pause.

    No single bit does that: header and edit list say the same, and each sample lasts a tick.
    """
    shown_s, _ = _lasts(movie, track)
    claimed_s = track.claimed / track.timescale
    is_pcm = track.packet[1] > 0 and track.rate == track.timescale
    is_even = is_pcm and track.end == len(track.times) < track.claimed
    return is_even and bool(track.edits) and _near(movie, shown_s, claimed_s)


def _sound_slack(movie: Movie, track: Track) -> float:
    """Give by how many ticks two counts of one sound may differ."""
    if track.handler != b"soun":
        return 0
    is_pcm = track.packet[1] > 0
    usual = track.timescale * SOUND_SLACK_S
    return max(usual, PCM_PACKET) if is_pcm and _counted_otherwise(movie, track) else usual


def _counted_otherwise(movie: Movie, track: Track) -> bool:
    """Say whether a header may count a packet of PCM otherwise, as ffmpeg does.

    It takes the pause before the sound off the last packet, or counts it twice; and its edit list
    ends by that, unless it was put right.
    """
    shown_s, _ = _lasts(movie, track)
    pause_s = sum(edit.duration for edit in track.edits if edit.media_time < 0) / movie.timescale
    short_s = (track.end - track.claimed) / track.timescale
    said = not shown_s or _near(movie, shown_s, track.claimed / track.timescale)
    return said or (pause_s > 0 and _near(movie, short_s, pause_s))


def _pace(movie: Movie, track: Track) -> Iterator[Problem]:
    """One bit in a timescale, and a track plays at another speed than its header says."""
    shown_s, have_s = _lasts(movie, track)
    told_s = [have_s, _spans_s(track)] if track.handler == b"vide" else [have_s]
    if shown_s and all(abs(shown_s - one) > PACE_SLACK_S + one * PACE_SLACK for one in told_s):
        detail = f"is said to last {shown_s:.2f} s, its samples last {have_s:.2f} s"
        yield Problem("times_disagree", f"track {track.track_id}: {detail}")


def _spans_s(track: Track) -> float:
    """Give from when to when frames are shown.

    Their decode times last longer where the second comes late: B-frames take that as their delay.
    """
    frames = len(track.times)
    if frames <= 1:
        return track.end / track.timescale
    return (track.last_time - track.first_time) * frames / (frames - 1) / track.timescale


def _lasts(movie: Movie, track: Track) -> tuple[float, float]:
    """Give how long a track is shown as the movie's clock says (0: not said), and its own."""
    plays = [edit for edit in track.edits if edit.media_time >= 0]
    shown = sum(edit.duration for edit in plays) if track.edits else track.presented
    # The delay of B-frames is media time too, but takes nothing away.
    begins = min((edit.media_time for edit in plays), default=0)
    primed = max(0, begins - track.first_time) if track.times else 0
    return shown / movie.timescale, (track.end - primed) / track.timescale


def _clock(movie: Movie, track: Track) -> Iterator[Problem]:
    """A clock one bit from a usual one: what the movie's clock says decides, or how strange it is.

    A movie's clock ticks in milliseconds as a rule, and both ends are rounded.
    """
    usual = unbent(track.timescale, track.rate)
    shown_s, have_s = _lasts(movie, track)
    is_told = bool(shown_s) and not movie.extended
    if not usual or (is_told and _near(movie, shown_s, have_s)):
        return
    ticks = have_s * track.timescale
    explains = is_told and any(_near(movie, shown_s, ticks / one) for one in usual)
    if explains or is_strange(track.timescale, track.rate):
        detail = f"its clock of {track.timescale} ticks a second is one bit from a usual one"
        yield Problem("times_disagree", f"track {track.track_id}: {detail}")


def _near(movie: Movie, shown_s: float, have_s: float) -> bool:
    return abs(shown_s - have_s) <= 2 / movie.timescale


def _edits(movie: Movie, track: Track, budget: Budget) -> Iterator[Problem]:
    shown = _shown(movie, track)
    name = f"track {track.track_id}"
    plays = [number for number, edit in enumerate(track.edits) if edit.media_time >= 0]
    pauses = [number for number, edit in enumerate(track.edits) if edit.media_time < 0]
    if any(track.edits[number].media_time < -1 for number in pauses):
        yield Problem(
            "times_disagree", f"{name}: a part of it begins before the first of all times"
        )
    if any(track.edits[number].rate != 1 << 16 for number in plays):
        yield Problem("edit_list", f"{name}: plays at another speed than recorded")
    if plays and pauses and max(pauses) > min(plays):
        yield Problem("edit_list", f"{name}: a pause between two parts can't be judged")
    if _repeats(track, shown):
        yield Problem("edit_list", f"{name}: parts are shown twice or out of order")
    if track.handler == b"vide" and (hidden := _hidden(movie, track, budget)):
        yield Problem("hidden_frames", f"{name}: the edit list hides {hidden} frames")
    if track.handler == b"soun" and (seconds := _unheard_s(shown, track)) > _priming_s(track):
        yield Problem("hidden_frames", f"{name}: the edit list hides {seconds:.2f} s of sound")


def _shown(movie: Movie, track: Track) -> list[Span]:
    """Give the spans of media time that the edit list shows; everything where there is none."""
    spans = []
    plays = [edit for edit in track.edits if edit.media_time >= 0]
    for edit in plays:
        # Where another part follows, its first frame decides. At the end one tick of the movie
        # clock is rounding, and 0 means "to the end" (fragmented files).
        ticks = (2 * edit.duration * track.timescale + movie.timescale) // (2 * movie.timescale)
        if edit is plays[-1]:
            ticks = (edit.duration + 1) * track.timescale // movie.timescale + 1
        spans.append((edit.media_time, edit.media_time + ticks if edit.duration else 1 << 62))
    return spans or [(-(1 << 62), 1 << 62)]


def _repeats(track: Track, shown: list[Span]) -> bool:
    """Say whether any sample is shown again: parts may touch, and overlap where none begins."""
    seams = [(start, end) for (start, _), (_, end) in zip(shown[1:], shown, strict=False)]
    if any(later < before for (before, _), (later, _) in pairwise(shown)):
        return True
    overlaps = [(start, end) for start, end in seams if start < end]
    times = track.times if isinstance(track.times, range) or not overlaps else sorted(track.times)
    return any(bisect_left(times, start) < bisect_left(times, end) for start, end in overlaps)


def _hidden(movie: Movie, track: Track, budget: Budget) -> int:
    shown, times = sorted(_shown(movie, track)), track.times
    if not times:
        return 0
    first, last = shown[0] if len(shown) == 1 else (0, 0)
    if first <= track.first_time and track.last_time < last:
        return 0
    # Parts that overlap are refused by themselves: here the last one that has begun decides.
    starts, ends = [-(1 << 63), *(s for s, _ in shown)], [-(1 << 63), *(e for _, e in shown)]
    hidden = 0
    for at in range(0, len(times), _BITE):
        budget.check()
        hidden += sum(t >= ends[bisect_right(starts, t) - 1] for t in times[at : at + _BITE])
    return hidden


def _priming_s(track: Track) -> float:
    """Give how much sound may be hidden: frames count in samples, and last longest at 8 kHz."""
    counted = PRIMING_SAMPLES / track.timescale if track.timescale >= SAMPLE_RATE else 0.0
    return max(PRIMING_S, counted)


def _unheard_s(shown: list[Span], track: Track) -> float:
    if not track.times:
        return 0.0
    first, last = track.first_time, track.end
    heard = sum(max(0, min(end, last) - max(start, first)) for start, end in shown)
    return (last - first - heard) / track.timescale
