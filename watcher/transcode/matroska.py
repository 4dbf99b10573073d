"""Matroska and WebM: do the elements tile the file? A bounded walk of segment and clusters. Pure.

What it can say: the file ends inside an element, a second file stands behind the first, bytes are
no element, a checksum is not that of its element, tracks are encrypted, the header claims more time
than there is. What it can't: whether blocks without a checksum are whole; a live recording of
unknown size has no end to compare with. Both are found by decoding.
"""

from watcher.transcode.clusters import IN_CLUSTER, Clusters
from watcher.transcode.ebml import Element, element_at
from watcher.transcode.findings import Budget, Malformed, Note, Problem, Read, TooLargeError, Walked
from watcher.transcode.mkv_notes import NOTED

MAX_ELEMENTS = 1_000_000
MAX_TRACKS_BYTES = 4 << 20

_INFO = 0x1549A966
_EBML, _SEGMENT, _CLUSTER, _TRACKS, _VOID = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1654AE6B, 0xEC
_CUES = 0x1C53BB6B
_TRACK_ENTRY, _ENCODINGS, _ENCODING, _ENCRYPTION = 0xAE, 0x6D80, 0x6240, 0x5035
_IN_SEGMENT = frozenset(
    {0x114D9B74, _INFO, _TRACKS, _CLUSTER, _CUES, 0x1941A469, 0x1043A770, 0x1254C367}
    | {_VOID, 0xBF}
)


def walk_matroska(read: Read, size: int, budget: Budget) -> Walked:
    """Walk a Matroska file of *size* bytes."""
    clusters = Clusters(read, budget)
    problems = _problems(clusters, size)
    problems += [one for one in clusters.found if isinstance(one, Problem)]
    problems += clusters.out_of_order()
    noted = tuple(one for one in clusters.found if isinstance(one, Note))
    return Walked(
        "matroska",
        tuple(problems),
        video_frames=clusters.video_frames() if not problems else None,
        tracks=len(clusters.tracks) if not problems else None,
        notes=noted,
    )


def _problems(clusters: Clusters, size: int) -> list[Problem]:
    read = clusters.read
    head = element_at(read, 0)
    if head is None or head.ident != _EBML or head.end is None:
        return [Problem("bad_box", "the file's first element is no header")]
    if bad := clusters.kind(head):
        return [bad]
    segment = element_at(read, head.end)
    if segment is None or segment.ident != _SEGMENT:
        return [Problem("no_segment", "behind the header there is no segment")]
    if segment.end is not None and segment.end > size:
        detail = f"the segment ends {segment.end - size} bytes after the end of file"
        return [Problem("truncated", detail)]
    end = size if segment.end is None else segment.end
    clusters.cues.origin = segment.payload
    try:
        problems = _segment_problems(clusters, segment.payload, end)
    except Malformed as why:
        name = "too_large" if isinstance(why, TooLargeError) else "bad_box"
        problems = [Problem(name, str(why))]
    if end < size:
        following = element_at(read, end)
        again = following is not None and following.ident == _EBML
        name = "several_ftyp" if again else "unknown_tail"
        problems.append(Problem(name, f"{size - end} bytes stand behind the segment"))
    return problems


def _segment_problems(clusters: Clusters, offset: int, end: int) -> list[Problem]:
    seen: set[int] = set()
    read = clusters.read
    while True:
        clusters.budget.check()
        clusters.budget.take_parts(1)
        if offset == end:
            if _CLUSTER not in seen:
                return [Problem("no_mdat", "the file holds no media data")]
            more = clusters.claims_more()
            return [more] if more else []
        element = element_at(read, offset)
        if element is None or not (known := _known(element, seen)):
            again = element is not None and element.ident == _EBML
            name = "several_ftyp" if again else "unknown_tail"
            return [Problem(name, f"at byte {offset} no known element begins")]
        if element.end is not None and element.end > end:
            detail = f"the element at byte {offset} ends {element.end - end} bytes after its parent"
            return [Problem("truncated", detail)]
        if element.ident == _TRACKS and (found := _encrypted(read, element)):
            return [found]
        if bad := _content(clusters, element, offset):
            return [bad]
        seen.add(known)
        # An element of unknown size: go on with what is inside it.
        offset = element.payload if element.end is None else element.end


def _content(clusters: Clusters, element: Element, offset: int) -> Problem | None:
    """Read what is inside an element of the segment, or of a cluster of unknown size."""
    if element.end is None:
        return None
    if element.ident in IN_CLUSTER:
        clusters.part(element)
        return None
    if bad := clusters.checked(element):
        return bad
    if element.ident in NOTED:
        clusters.noted(element)
    if element.ident == _INFO:
        clusters.header(element)
    elif element.ident == _TRACKS:
        clusters.track_list(element)
    elif element.ident == _CLUSTER:
        clusters.cluster(element, offset)
    elif element.ident == _CUES:
        clusters.cue_list(element)
    return None


def _known(element: Element, seen: set[int]) -> int:
    """Give the element's id if it may stand here, or in a cluster of unknown size; else 0."""
    if element.ident in _IN_SEGMENT:
        return element.ident
    return element.ident if _CLUSTER in seen and element.ident in IN_CLUSTER else 0


def _encrypted(read: Read, tracks: Element) -> Problem | None:
    if tracks.end is None or tracks.end - tracks.payload > MAX_TRACKS_BYTES:
        return Problem("too_large", "the list of tracks can't be judged")
    way: tuple[int, ...] = (_TRACK_ENTRY, _ENCODINGS, _ENCODING)
    levels = [(tracks.payload, tracks.end, way)]
    for _ in range(MAX_ELEMENTS):
        if not levels:
            return None
        offset, end, path = levels.pop()
        element = element_at(read, offset) if offset < end else None
        if element is None or element.end is None or element.end > end:
            continue
        levels.append((element.end, end, path))
        if element.ident == _ENCRYPTION and not path:
            return Problem("encrypted", "a track is encrypted")
        if path and element.ident == path[0]:
            levels.append((element.payload, element.end, path[1:]))
    return Problem("too_many_boxes", "the list of tracks has too many elements")
