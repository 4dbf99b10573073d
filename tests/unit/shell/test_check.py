"""`check` concludes rightly from what the machine answers; what fails says how to mend it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import ManualClock

from watcher.check import Tools, examine
from watcher.check_camera import CameraTools
from watcher.config import Config, parse_config
from watcher.errors import Halt, Refused
from watcher.gate.readings import GB, Space
from watcher.ledger.ledger import Ledger
from watcher.replace.preflight import Ability, Method
from watcher.replace.steps import Policy
from watcher.report.tables import Row
from watcher.segments.filesystems import FileSystem, Mount
from watcher.survey import Leftover, Survey
from watcher.transcode.diagnosis import DeviceLook, Diagnosis, Kind, Look
from watcher.transcode.encoders import ENCODERS, Settings
from watcher.transcode.ffmpeg import Ffmpeg
from watcher.transcode.trial import Choice, Trial

DAY_S = 86_400.0
NOW_S = 1_700_000_000.0
FFMPEG = Ffmpeg("/usr/bin/ffmpeg", "9.0", frozenset(ENCODERS), frozenset({"libvmaf"}))
EXT4 = Mount("/", "/", "8:1", "ext4", "/dev/sda1")
ME, SOMEBODY = 1000, 4242


def seen() -> Survey:
    """A camera as it should be: a hundred recordings of ours, the oldest nine days old."""
    return Survey(
        directories=11,
        recordings=100,
        size_bytes=50 * GB,
        oldest_s=NOW_S - 9 * DAY_S,
        newest_s=NOW_S,
        owners={ME: 100},
    )


def choose(_ffmpegs: Sequence[Ffmpeg], codec: str, _settings: Settings, _mode: str) -> Choice:
    rung = ENCODERS[codec][0]
    return Choice(FFMPEG, rung, Trial(FFMPEG.path, rung, speed=2.0))


def choose_none(_ffmpegs: Sequence[Ffmpeg], codec: str, _settings: Settings, _mode: str) -> Choice:
    raise Halt("encoder_unavailable", f"{codec} does not work here", remedy="buy another machine")


def camera_tools(**changes: object) -> CameraTools:
    tools = CameraTools(
        survey=lambda _camera: seen(),
        file_system_of=lambda _path: FileSystem(EXT4, None, None),
        try_out=lambda _path, _policy: Ability(Method.EXCHANGE, leases=True),
        space=lambda _path: Space(500 * GB, 1000 * GB),
        user=lambda: ME,
        clock=ManualClock(NOW_S),
    )
    return replace(tools, **changes)  # type: ignore[arg-type] # each test knows what it changes


def tools(tmp_path: Path, camera: CameraTools | None = None, **changes: object) -> Tools:
    clock = ManualClock(NOW_S)
    clock.is_synchronised = True
    whole = Tools(
        find=lambda _configured: [FFMPEG],
        look=lambda: DeviceLook("/dev/dri/renderD128", Look.OPENS),
        choose=choose,
        limit=lambda _name: 1_048_576,
        clock=clock,
        env={"STATE_DIRECTORY": str(tmp_path / "state")},
        camera=camera or camera_tools(),
    )
    return replace(whole, **changes)  # type: ignore[arg-type] # each test knows what it changes


def config(tmp_path: Path, transcoding: str = "", camera: str = "") -> Config:
    (tmp_path / "cam1").mkdir(exist_ok=True)
    return parse_config(
        f"recordings: {{cam1: {{path: {tmp_path / 'cam1'}, {camera}}}}}\n"
        f"transcoding: {{{transcoding}}}\n"
    )


def by_title(rows: Sequence[Row]) -> Mapping[str, Row]:
    return {row.title: row for row in rows}


def test_a_machine_with_everything_has_nothing_to_mend(tmp_path: Path) -> None:
    rows = examine(config(tmp_path), tools(tmp_path))
    assert {row.status for row in rows} == {"ok"}
    assert {"ffmpeg", "GPU", "encoder hevc_qsv", "encoder libx265", "inotify", "window"} < set(
        by_title(rows)
    )


def test_whatever_is_not_ok_says_how_to_mend_it(tmp_path: Path) -> None:
    broken = camera_tools(
        survey=lambda _camera: replace(
            seen(),
            unwritable=["/x"],
            owners={SOMEBODY: 1},
            leftovers=[Leftover("/x/a.mp4", "blocked", for_a_person=True)],
        ),
        file_system_of=lambda _path: FileSystem(EXT4, "is a share", None),
        space=lambda _path: Space(1 * GB, 1000 * GB),
    )
    clock = ManualClock(NOW_S)
    rows = examine(
        config(tmp_path, camera="retention_days: 3"),
        tools(
            tmp_path,
            broken,
            look=lambda: DeviceLook(None, Look.ABSENT),
            choose=choose_none,
            limit=lambda _name: 5,
            clock=clock,
        ),
    )
    wrong = [row for row in rows if row.status != "ok"]
    assert len(wrong) >= 9
    assert all(row.remedy for row in wrong)


class TestEncoders:
    def test_no_ffmpeg_is_one_row_not_ten(self, tmp_path: Path) -> None:
        def find(_configured: str | None) -> Sequence[Ffmpeg]:
            raise Halt("no_ffmpeg", "no ffmpeg that runs", remedy="install one")

        rows = by_title(examine(config(tmp_path), tools(tmp_path, find=find)))
        assert rows["ffmpeg"].status == "fail"
        assert rows["ffmpeg"].remedy == "install one"
        assert not any(title.startswith("encoder") for title in rows)

    def test_the_configured_encoder_fails_and_another_one_is_only_told_of(
        self, tmp_path: Path
    ) -> None:
        rows = by_title(examine(config(tmp_path), tools(tmp_path, choose=choose_none)))
        assert rows["encoder hevc_qsv"].status == "fail"
        assert rows["encoder hevc_qsv"].remedy == "buy another machine"
        assert rows["encoder libx265"].status == "ok"

    def test_what_had_to_be_passed_over_is_said(self, tmp_path: Path) -> None:
        def second(ffmpegs: Sequence[Ffmpeg], codec: str, s: Settings, mode: str) -> Choice:
            choice = choose(ffmpegs, codec, s, mode)
            problem = Diagnosis(Kind.RUNTIME, "no VPL runtime", "install it")
            failed = (replace(choice.trial, problem=problem),)
            return replace(choice, failed=failed)

        rows = by_title(examine(config(tmp_path), tools(tmp_path, choose=second)))
        assert "no VPL runtime" in rows["encoder hevc_qsv"].finding

    def test_an_untried_encoder_is_to_be_looked_at(self, tmp_path: Path) -> None:
        rows = by_title(examine(config(tmp_path, "codec: hevc_nvenc"), tools(tmp_path)))
        assert rows["encoder hevc_nvenc"].status == "warn"

    @pytest.mark.parametrize(("codec", "level"), [("hevc_qsv", "fail"), ("libx265", "ok")])
    def test_a_missing_gpu_matters_to_those_who_need_it(
        self, tmp_path: Path, codec: str, level: str
    ) -> None:
        absent = tools(tmp_path, look=lambda: DeviceLook(None, Look.ABSENT))
        rows = by_title(examine(config(tmp_path, f"codec: {codec}"), absent))
        assert rows["GPU"].status == level

    def test_quality_that_can_not_be_measured(self, tmp_path: Path) -> None:
        old = replace(FFMPEG, filters=frozenset())
        without = tools(tmp_path, find=lambda _configured: [old])
        assert by_title(examine(config(tmp_path), without))["quality"].status == "fail"
        rows = examine(config(tmp_path, "verify_quality: false"), without)
        assert "quality" not in by_title(rows)


class TestInotify:
    @pytest.mark.parametrize(("watches", "level"), [(10, "fail"), (13, "fail"), (14, "ok")])
    def test_watches_are_held_against_directories_with_some_to_spare(
        self, tmp_path: Path, watches: int, level: str
    ) -> None:
        rows = by_title(examine(config(tmp_path), tools(tmp_path, limit=lambda _name: watches)))
        assert rows["inotify"].status == level

    def test_a_polled_camera_needs_none(self, tmp_path: Path) -> None:
        polled = config(tmp_path, camera="watch: poll")
        rows = by_title(examine(polled, tools(tmp_path, limit=lambda _name: 0)))
        assert rows["inotify"].status == "ok"

    def test_a_kernel_without_it(self, tmp_path: Path) -> None:
        rows = by_title(examine(config(tmp_path), tools(tmp_path, limit=lambda _name: None)))
        assert rows["inotify"].status == "fail"

    def test_a_queue_shorter_than_the_list_of_directories(self, tmp_path: Path) -> None:
        many = camera_tools(survey=lambda _camera: replace(seen(), directories=20_000))
        limits = {"max_user_watches": 1_048_576, "max_queued_events": 16_384}
        rows = by_title(examine(config(tmp_path), tools(tmp_path, many, limit=limits.get)))
        assert rows["inotify queue"].status == "warn"


class TestCameras:
    def row(self, tmp_path: Path, what: str, tried: CameraTools, /, **texts: str) -> Row | None:
        rows = by_title(examine(config(tmp_path, **texts), tools(tmp_path, tried)))
        return rows.get(f"camera cam1{what}")

    def level(self, tmp_path: Path, what: str, tried: CameraTools, /, **texts: str) -> str:
        row = self.row(tmp_path, what, tried, **texts)
        assert row is not None
        return row.status

    def test_one_that_is_not_there_is_waited_for(self, tmp_path: Path) -> None:
        absent = parse_config(f"recordings: {{cam1: {tmp_path / 'missing'}}}")
        rows = by_title(examine(absent, tools(tmp_path)))
        assert rows["camera cam1"].status == "warn"

    def test_files_of_another_user(self, tmp_path: Path) -> None:
        theirs = camera_tools(survey=lambda _camera: replace(seen(), owners={SOMEBODY: 100}))
        row = self.row(tmp_path, ": owner", theirs)
        assert row is not None
        assert row.status == "fail"
        assert "uid 4242" in (row.remedy or "")
        assert self.row(tmp_path, ": owner", replace(theirs, user=lambda: 0)) is None

    def test_a_network_share(self, tmp_path: Path) -> None:
        share = FileSystem(replace(EXT4, kind="nfs4"), "is an NFS share", "set `watch: poll`")
        on_share = camera_tools(file_system_of=lambda _path: share)
        assert self.level(tmp_path, ": events", on_share) == "fail"
        assert self.level(tmp_path, ": events", on_share, camera="watch: poll") == "ok"

    def test_the_cost_of_polling_is_stated(self, tmp_path: Path) -> None:
        polled = camera_tools(survey=lambda _camera: replace(seen(), directories=1_234))
        row = self.row(tmp_path, ": events", polled, camera="watch: poll")
        assert row is not None
        assert "each of 1,234 directories is listed and each file looked at every 60 s" in (
            row.finding
        )

    def test_an_unknown_file_system(self, tmp_path: Path) -> None:
        unknown = camera_tools(file_system_of=lambda _path: None)
        assert self.level(tmp_path, ": events", unknown) == "warn"

    def test_snapshots_that_hold_what_is_freed(self, tmp_path: Path) -> None:
        (tmp_path / ".snapshots").mkdir()
        system = FileSystem(replace(EXT4, kind="btrfs", point=str(tmp_path)), None, None)
        on_btrfs = camera_tools(file_system_of=lambda _path: system)
        assert self.level(tmp_path, ": snapshots", on_btrfs) == "warn"
        (tmp_path / ".snapshots").rmdir()
        assert self.row(tmp_path, ": snapshots", on_btrfs) is None

    def test_a_file_system_that_can_not_exchange(self, tmp_path: Path) -> None:
        def refuse(_path: str, policy: Policy) -> Ability:
            if policy.allow_non_exchange:
                return Ability(Method.LINK, leases=True)
            raise Refused("exchange_unsafe", "is on vfat")

        on_vfat = camera_tools(try_out=refuse)
        assert self.level(tmp_path, ": replacing", on_vfat) == "fail"
        allowed = {"transcoding": "allow_non_exchange: true"}
        assert self.level(tmp_path, ": replacing", on_vfat, **allowed) == "warn"

    def test_a_disk_that_fails_while_it_is_tried(self, tmp_path: Path) -> None:
        def fail(_path: str, _policy: Policy) -> Ability:
            raise OSError(5, "Input/output error")

        assert self.level(tmp_path, ": replacing", camera_tools(try_out=fail)) == "fail"

    @pytest.mark.parametrize(("free", "level"), [(4, "fail"), (99, "warn"), (100, "ok")])
    def test_room(self, tmp_path: Path, free: int, level: str) -> None:
        little = camera_tools(space=lambda _path: Space(free * GB, 1000 * GB))
        assert self.level(tmp_path, ": space", little) == level

    @pytest.mark.parametrize(
        ("lives", "level"),
        [("3", "fail"), ("7", "fail"), ("7.5", "fail"), ("8.5", "ok"), ("30", "ok")],
    )
    def test_recordings_that_never_come_of_age(
        self, tmp_path: Path, lives: str, level: str
    ) -> None:
        found = self.level(tmp_path, ": age", camera_tools(), camera=f"retention_days: {lives}")
        assert found == level

    def test_what_recovery_will_mend_is_no_warning(self, tmp_path: Path) -> None:
        left = camera_tools(
            survey=lambda _camera: replace(seen(), leftovers=[Leftover("/x/a.mp4", "half done")])
        )
        assert self.level(tmp_path, ": our files", left) == "ok"

    def rows_of(self, tmp_path: Path, title: str, found: Survey) -> list[Row]:
        camera = camera_tools(survey=lambda _camera: found)
        clock = ManualClock(NOW_S)
        rows = examine(config(tmp_path), tools(tmp_path, camera, clock=clock))
        return [row for row in rows if row.title == f"camera cam1: {title}"]

    @pytest.mark.parametrize(("asking", "last"), [(3, "ok"), (14, "warn")])
    def test_what_needs_a_person_comes_first_and_is_never_hidden_in_what_does_not(
        self, tmp_path: Path, asking: int, last: str
    ) -> None:
        half_done = [Leftover(f"/x/{n}.mp4", "half done") for n in range(12)]
        blocked = [Leftover(f"/x/b{n}.mp4", "blocked", for_a_person=True) for n in range(asking)]
        rows = self.rows_of(tmp_path, "our files", replace(seen(), leftovers=half_done + blocked))
        assert [row.status for row in rows[:3]] == ["warn"] * 3
        assert (len(rows), rows[-1].status) == (11, last)
        assert ("4 of which only a person can judge" in rows[-1].finding) == (last == "warn")

    def test_an_original_that_is_overdue_is_named(self, tmp_path: Path) -> None:
        """`stats` counts it, and sends whoever reads that here."""
        held = [(NOW_S - 3 * DAY_S, "/x/old.mp4"), (NOW_S - 2 * DAY_S, "/x/b.mp4"), (NOW_S, "/x/c")]
        (row,) = self.rows_of(tmp_path, "originals", replace(seen(), held=held))
        assert row.status == "warn"
        assert "/x/old.mp4 and 1 more is kept though its safety period is over" in row.finding
        assert self.rows_of(tmp_path, "originals", replace(seen(), held=held[2:])) == []


class TestWhatTheLedgerKnows:
    def test_how_long_recordings_live_and_how_many_are_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir()
        with Ledger(str(tmp_path / "state" / "ledger.sqlite"), clock=ManualClock(NOW_S)) as ledger:
            for _ in range(30):
                ledger.observe_deletion("cam1", 4.2 * DAY_S, GB)
        rows = by_title(examine(config(tmp_path), tools(tmp_path)))
        age = rows["camera cam1: age"]
        assert age.status == "fail"
        assert "4.2 days (as seen)" in age.finding


class TestTheRest:
    def test_switched_off_in_the_file(self, tmp_path: Path) -> None:
        rows = by_title(examine(config(tmp_path, "enabled: false"), tools(tmp_path)))
        assert rows["configuration"].status == "warn"

    def test_a_state_directory_that_can_not_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        env = {"STATE_DIRECTORY": str(tmp_path / "file" / "state")}
        rows = by_title(examine(config(tmp_path), tools(tmp_path, env=env)))
        assert rows["state directory"].status == "fail"

    def test_a_clock_that_nobody_sets(self, tmp_path: Path) -> None:
        rows = by_title(examine(config(tmp_path), tools(tmp_path, clock=ManualClock(NOW_S))))
        assert rows["clock"].status == "warn"

    def test_the_window_in_hours_a_week(self, tmp_path: Path) -> None:
        weekend = 'run_schedule: "Sat-Sun 00:00-08:00", timezone: UTC'
        rows = by_title(examine(config(tmp_path, weekend), tools(tmp_path)))
        assert "16 hours a week" in rows["window"].finding

    def test_nothing_is_made_by_looking(self, tmp_path: Path) -> None:
        examine(config(tmp_path), tools(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["cam1"]
