"""Which languages of a track MP4 and MOV can say, by ffmpeg's muxers. Pure.

Both keep a track's language in 16 bits: below 1,024 the number of a language of the Macintosh, from
there on three letters of five bits. The MOV muxer writes numbers alone, that of MP4 letters.
"""

from typing import Final

_LISTED: Final = """
    eng fra ger ita dut sve spa dan por nor heb jpn ara fin gre ice mlt tur chi urd hin tha kor lit
    pol hun est lav smi per rus iri alb ron ces slk slv yid mac bul ukr bel uzb kaz aze arm geo mol
    kir tgk tuk mon pus kur kas snd tib nep san mar ben asm guj ori mal kan tam tel sin bur khm lao
    vie ind tgl may amh tir orm som swa kin run nya mlg epo wel baq cat lat que grn aym tat uig dzo
    jav
"""
NUMBERED: Final = frozenset(_LISTED.split()) | {"hr ", "fo ", "sr ", "pa "}
"""Those that have a number, as libavformat calls them: some with a blank for want of a letter."""


UNSAID: Final = frozenset({"und", "\x7f\x7f\x7f"})
"""Undetermined, and all bits set: ffmpeg's muxers may write both as not said."""


def is_kept(container: str, language: str) -> bool:
    """Say whether a copy in *container* says the same *language*, or need not."""
    if language in UNSAID:
        return True
    if container == "mov":
        return language in NUMBERED
    # A first letter before "a" leaves less than 1,024, which is read as a number.
    return all("`" <= letter <= "\x7f" for letter in language) and not language.startswith("`")
