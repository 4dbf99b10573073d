"""The forecast in sentences: how far back recordings reach, and what would change it. Pure."""

from collections.abc import Mapping

from watcher.ledger.forecast import Forecast, Limit
from watcher.ledger.stats import DAY_S, nothing_comes_of_age
from watcher.report import forms

_LITTLE_LOST = 0.005
_LONG_NIGHTS = 7


def lines(forecast: Forecast | None) -> list[str]:
    """Say when the backlog clears, or why never; at least one line."""
    if forecast is None or forecast.can_do_bytes_per_night is None:
        return ["not known before the first file has been transcoded"]
    flow = (
        f"{forms.amount(forecast.inflow_bytes_per_day)} a day come in,"
        f" {forms.amount(forecast.can_do_bytes_per_night)} a night can be done"
    )
    if forecast.never:
        said = [f"never: {flow}", *_wider(forecast)]
    elif not forecast.nights_to_clear:
        said = [f"nothing waits: {flow}"]
    else:
        nights = forecast.nights_to_clear
        said = [f"cleared in {nights} night{'s' if nights > 1 else ''}: {flow}"]
        if nights > _LONG_NIGHTS and forecast.days_around_the_clock:
            said.append(
                f"around the clock: cleared in {forms.days(forecast.days_around_the_clock)}"
            )
    if forecast.lost_share is not None and forecast.lost_share > _LITTLE_LOST:
        said.append(
            f"retention deletes {forms.percent(100 * forecast.lost_share)} of what comes due in a"
            " month before its turn"
        )
    return said


def headline(
    forecast: Forecast | None,
    retention_days: Mapping[str, float],
    min_age_days: float,
    keep_original_days: float = 0.0,
) -> list[str]:
    """Say in days what it is all for; empty where nothing is known."""
    said = [
        never_of_age(retention, min_age_days, camera, keep_original_days)
        for camera, retention in sorted(retention_days.items())
        if nothing_comes_of_age(retention, min_age_days, keep_original_days)
    ]
    if said:
        said.append(
            "What would change that: a lower `min_age_days`, or a longer retention in the recorder."
        )
    if forecast is None or forecast.reach_days is None:
        return said
    reach = f"Recordings reach back {forms.days(forecast.reach_days)}"
    if forecast.could_reach_days is None or forecast.limit is Limit.AGE:
        return [f"{reach}.", *said]
    said.insert(0, f"{reach}; they could reach back {forms.days(forecast.could_reach_days)}.")
    if forecast.limit is Limit.WINDOW:
        said.append(_what_window(forecast))
    elif forecast.limit is Limit.RETENTION:
        said.append(
            "What would change that: the recorder deletes by age; a longer retention there would"
            " use the space."
        )
    return said


def never_of_age(
    retention_days: float,
    min_age_days: float,
    camera: str | None = None,
    keep_original_days: float = 0.0,
) -> str:
    """Say that retention comes before `min_age_days`, or before a saving would count."""
    where = f"{camera}: " if camera else ""
    said = f"{where}recordings live {forms.days(retention_days)}, min_age_days is {min_age_days:g}"
    if nothing_comes_of_age(retention_days, min_age_days):
        return f"{said}: nothing will ever come of age"
    kept = forms.days(keep_original_days)
    return f"{said} and originals stay {kept}: no saving will ever count, so none is made"


def _what_window(forecast: Forecast) -> str:
    needed_s, reach_days = forecast.window_needed_s, forecast.reach_in_time_days
    if needed_s is None:
        return (
            "What would change that: other hours in `run_schedule`; in these, work was held"
            " all the time."
        )
    if needed_s >= DAY_S or reach_days is None:
        return "What would change that: a faster encoder."
    return (
        f"What would change that: a window of {forms.duration(needed_s)} a night"
        f" ({forms.days(reach_days)}), or a faster encoder."
    )


def _wider(forecast: Forecast) -> list[str]:
    needed_s = forecast.window_needed_s
    if needed_s is None:
        return []
    if needed_s >= DAY_S:
        return ["no window is wide enough: a faster encoder, or fewer cameras, would be needed"]
    said = f"a window of {forms.duration(needed_s)} a night would keep up"
    if forecast.days_around_the_clock:
        days = forms.days(forecast.days_around_the_clock)
        said += f"; around the clock: cleared in {days}"
    return [said]
