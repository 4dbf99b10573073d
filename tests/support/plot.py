"""A plot in text: how costs grow with size, both axes logarithmic."""

import math
from collections.abc import Mapping

_COLUMN = 11
_ROWS_PER_DECADE = 4


def plot(costs: Mapping[str, Mapping[int, float]], unit: str) -> str:
    """Draw each of *costs* (name → size → cost) under a letter of its own.

    What is flat stays on its row; what grows with the size climbs `_ROWS_PER_DECADE` rows a column
    where sizes are ten times the last.
    """
    letters = {name: chr(ord("a") + number) for number, name in enumerate(costs)}
    sizes = sorted({size for one in costs.values() for size in one})
    values = [cost for one in costs.values() for cost in one.values()]
    lowest, highest = _row(min(values)), _row(max(values))
    lines = []
    for row in range(highest, lowest - 1, -1):
        cells = (
            "".join(letters[name] for name, one in costs.items() if _is_at(one.get(size), row))
            for size in sizes
        )
        axis = f"{10 ** (row / _ROWS_PER_DECADE):>8.2f} |"
        lines.append((axis + "".join(f"{cell:>{_COLUMN}}" for cell in cells)).rstrip())
    lines.append(" " * 8 + " +" + "-" * (_COLUMN * len(sizes)))
    lines.append(f"{unit:>8}  " + "".join(f"{size:>{_COLUMN},}" for size in sizes))
    lines.append("  " + ", ".join(f"{letter} {name}" for name, letter in letters.items()))
    return "\n".join(lines)


def _row(cost: float) -> int:
    return round(_ROWS_PER_DECADE * math.log10(max(cost, 1e-3)))


def _is_at(cost: float | None, row: int) -> bool:
    return cost is not None and _row(cost) == row
