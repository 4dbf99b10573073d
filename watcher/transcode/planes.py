"""By how much a copy's planes are off, seen from afar: what VMAF does not look at. Pure."""

import re
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Planes:
    """Mean squares over one sample, on the scale of 8 bits: see `quality.Sample`."""

    light_error: float
    color_error: float
    color_signal: float

    @classmethod
    def told(cls, stderr: str) -> Self:
        """Read what the filters psnr@error and psnr@signal say last; ValueError where none does."""
        light, *colors = _mean_squares(stderr, "error")
        return cls(light, sum(colors), sum(_mean_squares(stderr, "signal")[1:]))


def _mean_squares(stderr: str, which: str) -> list[float]:
    told = re.findall(rf"\[psnr@{which} @ [^\n]* y:(\S+) u:(\S+) v:(\S+)", stderr)
    if not told:
        raise ValueError(which)
    return [255.0**2 / 10 ** (float(decibels) / 10) for decibels in told[-1]]
