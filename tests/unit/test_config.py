"""A configuration is whole and possible, or every mistake in it is told at once."""

import pickle
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.config import (
    LATER,
    Camera,
    Config,
    ConfigError,
    Logging,
    Mistake,
    Transcoding,
    _looked,
    _Place,
    changed_keys,
    config_for_directories,
    load_config,
    parse_config,
    resolve_state_dir,
)

RECORDINGS = "recordings: {cam1: /srv/recordings/cam1}\n"
EXAMPLE = Path(__file__).parents[2] / "etc" / "watcher.example.yaml"


def mistakes(text: str) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "watcher.yaml")
    return caught.value.mistakes


def mistake(text: str) -> Mistake:
    found = mistakes(text)
    assert len(found) == 1, found
    return found[0]


def read(text: str) -> tuple[Mistake, ...]:
    """Give the mistakes of *text*, none where it gives a whole configuration."""
    try:
        assert parse_config(text).cameras
    except ConfigError as error:
        return error.mistakes or (Mistake(None, "", "", "", ""),)
    return ()


def whole(found: tuple[Mistake, ...]) -> bool:
    return all(each.key and each.problem and each.remedy for each in found)


def of_transcoding(line: str) -> Mistake:
    return mistake(f"{RECORDINGS}transcoding:\n  {line}\n")


def transcoding(line: str) -> Transcoding:
    return parse_config(f"{RECORDINGS}transcoding:\n  {line}\n").transcoding


class TestWhatIsTaken:
    def test_the_recordings_are_enough(self) -> None:
        config = parse_config(RECORDINGS)
        assert config.transcoding == Transcoding()
        assert config.logging == Logging()
        assert config.cameras == (Camera(name="cam1", path="/srv/recordings/cam1"),)

    def test_short_and_long_form_are_the_same(self) -> None:
        long = "recordings:\n  cam1:\n    path: /srv/recordings/cam1/\n"
        assert parse_config(long) == parse_config(RECORDINGS)

    def test_the_cameras_keep_the_files_order(self) -> None:
        config = parse_config("recordings: {z: /srv/z, a: /srv/a, m: /srv/m}")
        assert [camera.name for camera in config.cameras] == ["z", "a", "m"]

    @pytest.mark.parametrize("name", ["on", "1", "no", "null", "front door", "Küche", "22:00"])
    def test_a_camera_may_be_called_anything(self, name: str) -> None:
        config = parse_config(f"recordings:\n  {name}: /srv/x\n")
        assert list(config.recordings) == [name]

    def test_hours_without_quotes_stay_hours(self) -> None:
        assert transcoding("run_schedule: 22:00-04:00").run_schedule == "22:00-04:00"

    def test_a_whole_number_is_a_number(self) -> None:
        assert transcoding("min_age_days: 3").min_age_days == 3
        assert transcoding("min_age_days: 0.5").min_age_days == 0.5

    def test_every_key_of_a_camera(self) -> None:
        config = parse_config(
            "recordings:\n  a:\n    path: /srv/a\n    patterns: ['*.mp4', 'x-*.MKV']\n"
            "    segment_seconds: auto\n    health_command: systemctl is-active nvr\n"
            "    retention_days: 14\n    watch: poll\n"
        )
        assert config.recordings["a"] == Camera(
            name="a",
            path="/srv/a",
            patterns=("*.mp4", "x-*.MKV"),
            segment_seconds="auto",
            health_command="systemctl is-active nvr",
            retention_days=14,
            watch="poll",
        )

    def test_the_safety_period_is_never_under_an_hour(self) -> None:
        assert transcoding("keep_original_days: 0").keep_original_s == 3600
        assert transcoding("keep_original_days: 2").keep_original_s == 2 * 86400

    def test_anchors_may_be_used_within_reason(self) -> None:
        config = parse_config(
            "recordings:\n  a: {path: /a, patterns: &p ['*.mkv']}\n  b: {path: /b, patterns: *p}\n"
        )
        assert config.recordings["b"].patterns == ("*.mkv",)

    def test_a_config_is_frozen(self) -> None:
        config = parse_config(RECORDINGS)
        with pytest.raises(ValueError, match="frozen"):
            config.transcoding.quality = 1


class TestWhatIsRefused:
    def test_all_mistakes_at_once_each_with_its_line(self) -> None:
        found = mistakes(
            "recordings:\n"
            "  cam1: /srv/a\n"
            "  cam2: srv/b\n"
            "transcoding:\n"
            "  min_agedays: 3\n"
            "  codec: hevc_qvs\n"
            '  max_cpu_percent: "15"\n'
            "  min_space_savings: 50\n"
            "  run_schedule: 22:00-26:00\n"
        )
        assert [(each.line, each.key) for each in found] == [
            (3, "recordings.cam2.path"),
            (5, "transcoding.min_agedays"),
            (6, "transcoding.codec"),
            (7, "transcoding.max_cpu_percent"),
            (8, "transcoding.min_space_savings"),
            (9, "transcoding.run_schedule"),
        ]
        assert found[1].remedy == "did you mean min_age_days?"
        assert found[2].remedy.startswith("did you mean hevc_qsv?")
        assert found[3].remedy.endswith("unquoted")
        assert all(each.problem and each.remedy for each in found)

    def test_the_message_is_for_reading(self) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_config(RECORDINGS + "transcoding: {quality: 99}\n", "watcher.yaml")
        assert caught.value.message == "watcher.yaml: 1 mistake"
        assert str(caught.value) == (
            "watcher.yaml: 1 mistake\n"
            "  line 2: transcoding.quality: 99: is out of range;"
            " a whole number from 1 to 51 (lower is better; 23 is usual) is right"
        )

    @pytest.mark.parametrize(
        ("line", "key"),
        [
            ("enabled: 1", "enabled"),
            ('enabled: "yes"', "enabled"),
            ("min_age_days: -1", "min_age_days"),
            ("min_age_days: true", "min_age_days"),
            ("min_age_days: null", "min_age_days"),
            ("min_age_days: .nan", "min_age_days"),
            ("min_age_days: 1_000", "min_age_days"),
            ("run_schedule: 2-6", "run_schedule"),
            ("run_schedule: ''", "run_schedule"),
            ("run_schedule: 1320", "run_schedule"),
            ("timezone: Europe", "timezone"),
            ("timezone: ../../etc/passwd", "timezone"),
            ("timezone: ''", "timezone"),
            ("max_cpu_percent: 0", "max_cpu_percent"),
            ("max_cpu_percent: 101", "max_cpu_percent"),
            ("max_temperature_c: 20", "max_temperature_c"),
            ("max_threads: 1.5", "max_threads"),
            ("max_threads: 0", "max_threads"),
            ("codec: h265", "codec"),
            ("qsv_mode: slow", "qsv_mode"),
            ("preset: 5", "preset"),
            ("quality: 0", "quality"),
            ("quality: 23.5", "quality"),
            ("min_vmaf: 101", "min_vmaf"),
            ("verify_decode: none", "verify_decode"),
            ("damaged_sources: delete", "damaged_sources"),
            ("min_free_space_gb: 100 GB", "min_free_space_gb"),
            ("source_codecs: h264", "source_codecs"),
            ("source_codecs: []", "source_codecs"),
            ("source_codecs: [h264, hevc]", "source_codecs"),
            ("source_codecs: [vp10]", "source_codecs"),
            ("ffmpeg: ffmpeg", "ffmpeg"),
            ("ffmpeg: /no/such/ffmpeg", "ffmpeg"),
        ],
    )
    def test_an_impossible_value(self, line: str, key: str) -> None:
        found = of_transcoding(line)
        assert (found.line, found.key) == (3, f"transcoding.{key}")
        assert found.problem
        assert found.remedy

    def test_a_min_above_a_max_at_the_later_of_the_two(self) -> None:
        found = mistake(
            RECORDINGS + "transcoding:\n  critical_free_space_gb: 50\n  min_free_space_gb: 20\n"
        )
        assert found.line == 4
        assert "critical_free_space_gb (50) is above min_free_space_gb (20)" in found.problem

    @pytest.mark.parametrize(("key", "of"), [("quality: auto", "quality"), ("target_vmaf: 95", "")])
    def test_what_comes_later_is_refused_until_then(self, key: str, of: str) -> None:
        found = of_transcoding(key)
        assert "later version" in found.problem
        assert found.key == f"transcoding.{of or key.split(':', maxsplit=1)[0]}"

    def test_every_later_key_is_refused(self) -> None:
        for place in LATER:
            text = ": {".join(map(str, place)) + ": null" + "}" * (len(place) - 1)
            assert "later version" in mistake(RECORDINGS + text).problem

    @pytest.mark.parametrize("pattern", ["*", "*.ts", "*.original", "*.mp4*", "a/*.mp4", "*.avi"])
    def test_a_pattern_that_could_match_what_is_no_recording(self, pattern: str) -> None:
        found = mistake(f"recordings:\n  a:\n    path: /a\n    patterns: ['{pattern}']\n")
        assert (found.line, found.key) == (4, "recordings.a.patterns")

    @pytest.mark.parametrize(
        ("first", "second", "word"),
        [
            ("/srv/a", "/srv/a/", "too"),
            ("/srv/a", "/srv/b/../a", "too"),
            ("/srv/a", "/srv/a/b", "in the other"),
            ("/srv/a/b", "/srv/a", "in the other"),
            ("/srv/a", "/", "in the other"),
        ],
    )
    def test_two_cameras_in_one_place(self, first: str, second: str, word: str) -> None:
        found = mistake(f"recordings:\n  a: {first}\n  b: {second}\n")
        assert found.line == 3
        assert word in found.problem

    def test_names_that_merely_begin_alike_are_two_places(self) -> None:
        assert len(parse_config("recordings: {a: /srv/cam1, b: /srv/cam10}").cameras) == 2

    def test_the_state_directory_is_not_among_recordings(self) -> None:
        found = mistake(RECORDINGS + "state_dir: /srv/recordings/cam1/state\n")
        assert (found.line, found.key) == (2, "state_dir")

    @pytest.mark.parametrize("key", ["name: x", "source: x", "paths: /x"])
    def test_a_camera_has_no_such_key(self, key: str) -> None:
        found = mistake(f"recordings:\n  a:\n    path: /srv/a\n    {key}\n")
        assert (found.line, found.problem) == (4, "no such key")

    def test_a_key_in_the_wrong_place_is_told_its_right_one(self) -> None:
        assert mistake(RECORDINGS + "min_age_days: 3").remedy == "it belongs under `transcoding:`"

    def test_a_key_given_twice(self) -> None:
        found = of_transcoding("quality: 23\n  quality: 24")
        assert (found.line, found.problem) == (4, "given twice, first in line 3")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "# nothing\n",
            "null",
            "just words",
            "- a\n- b\n",
            "recordings:\n",
            "recordings: {}\n",
            "recordings: /srv\n",
            "recordings: {a: {}}\n",
            "recordings: {a: null}\n",
            "recordings: {a: 3}\n",
            "recordings: {'': /srv}\n",
            "recordings: {a: /srv\n",
            "a: b: c",
            "\t",
            "recordings: {a: /x}\n---\nrecordings: {a: /x}\n",
            "recordings: &r {a: *r}",
            "recordings: {? [a]: /x}",
            "recordings: {a: !!python/object:os.system /x}",
            "recordings: {a: !!int x}",
            "recordings: {a: !!binary x}",
            "recordings: !!set {a}",
            "<<: {recordings: {a: /x}}",
            "x: \0",
            "[" * 3000,
            "recordings: {a: /x}\nx: " + "{a: " * 100 + "}" * 100,
        ],
    )
    def test_what_is_no_configuration_at_all(self, text: str) -> None:
        assert mistakes(text)

    def test_aliases_that_multiply_are_stopped(self) -> None:
        layers = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 12))
        assert mistakes(f"x0: &x0 [a]\n{layers}\n")

    def test_mistakes_survive_a_process_boundary(self) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_config("")
        again = pickle.loads(pickle.dumps(caught.value))
        assert again.mistakes == caught.value.mistakes
        assert str(again) == str(caught.value)


YAMLISH = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    [*Config.model_fields, *Transcoding.model_fields, *Camera.model_fields]
                ),
                st.text(max_size=4),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def as_yaml(value: object) -> str:
    """Write a value as flow-style YAML, without a library's care for what is sensible."""
    if isinstance(value, dict):
        inner = ", ".join(f"{as_yaml(key)}: {as_yaml(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return {None: "null", True: "true", False: "false"}.get(value) or str(value)  # type: ignore[call-overload] # a leaf


class TestWhateverIsWritten:
    @given(
        st.text(alphabet=st.sampled_from("recodings: {}[]&*!,\n-\t'\"#|>%@`?~<a1.\0é"), max_size=60)
    )
    def test_any_text_is_a_config_or_a_list_of_mistakes(self, text: str) -> None:
        assert whole(read(text))

    @given(YAMLISH, YAMLISH, YAMLISH)
    def test_any_values_are_a_config_or_a_list_of_mistakes(
        self, recordings: object, transcoding: object, rest: object
    ) -> None:
        text = f"recordings: {as_yaml(recordings)}\ntranscoding: {as_yaml(transcoding)}\n"
        text += f"logging: {as_yaml(rest)}\n"
        assert whole(read(text))

    @given(st.integers(), st.sampled_from(sorted(Transcoding.model_fields)))
    def test_a_mistake_in_one_key_is_about_that_key(self, value: int, key: str) -> None:
        found = read(f"{RECORDINGS}transcoding: {{{key}: {value}}}")
        assert {each.key for each in found} <= {f"transcoding.{key}"}


class TestFinding:
    def test_the_named_file_and_no_other(self, tmp_path: Path) -> None:
        (tmp_path / "watcher.yaml").write_text(RECORDINGS, encoding="utf-8")
        with pytest.raises(ConfigError, match="No such file"):
            load_config(str(tmp_path / "missing.yaml"), env={}, cwd=str(tmp_path))
        with pytest.raises(ConfigError, match="No such file"):
            load_config(env={"WATCHER_CONFIG": "missing.yaml"}, cwd=str(tmp_path))

    def test_the_order_of_search(self, tmp_path: Path) -> None:
        here, home = tmp_path / "here", tmp_path / "home"
        names = (home / "watcher/watcher.yaml", here / "watcher.yaml", tmp_path / "named.yaml")
        for name in names:  # the last written wins over those before it
            name.parent.mkdir(parents=True, exist_ok=True)
            name.write_text(RECORDINGS, encoding="utf-8")
            env = {"XDG_CONFIG_HOME": str(home)}
            if name.name == "named.yaml":
                env["WATCHER_CONFIG"] = str(name)
            here.mkdir(exist_ok=True)
            assert load_config(env=env, cwd=str(here)).source == str(name)

    def test_no_file_anywhere_says_where_it_was_looked_for(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"watcher\.yaml.*watcher run DIR"):
            load_config(env={"XDG_CONFIG_HOME": str(tmp_path)}, cwd=str(tmp_path))

    @pytest.mark.parametrize("raw", [b"recordings:\n  a: /\xff\n", b"\xff\xfe", b"\x00"])
    def test_what_is_no_text(self, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / "w.yaml").write_bytes(raw)
        with pytest.raises(ConfigError):
            load_config(str(tmp_path / "w.yaml"))

    def test_a_byte_order_mark_is_ignored(self, tmp_path: Path) -> None:
        (tmp_path / "w.yaml").write_bytes(b"\xef\xbb\xbf" + RECORDINGS.encode())
        assert load_config(str(tmp_path / "w.yaml")).cameras

    def test_a_camera_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        assert mistake(f"recordings:\n  a: {tmp_path}/x\n").problem == "is no directory"

    def test_one_camera_through_a_link_to_another(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").symlink_to("a")
        assert "too" in mistake(f"recordings: {{a: {tmp_path}/a, b: {tmp_path}/b}}").problem


class TestDirectories:
    def test_each_is_a_camera_with_a_name_of_its_own(self, tmp_path: Path) -> None:
        directories = [tmp_path / "x/cam", tmp_path / "y/cam", tmp_path / "z"]
        for directory in directories:
            directory.mkdir(parents=True)
        config = config_for_directories(["x/cam", "y/cam/", str(tmp_path / "z")], cwd=str(tmp_path))
        assert {name: camera.path for name, camera in config.recordings.items()} == {
            "cam": str(directories[0]),
            "cam-2": str(directories[1]),
            "z": str(directories[2]),
        }
        assert config.transcoding == Transcoding()

    @pytest.mark.parametrize("name", ["\udcff\udcfe", "two\nlines", "-rf", "ä"])
    def test_any_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        (camera,) = config_for_directories([name], cwd=str(tmp_path)).cameras
        assert camera.path == str(tmp_path / name)
        assert camera.name.encode()

    @pytest.mark.parametrize("given_", [[], ["missing"], ["a", "a"], ["a", "a/b"]])
    def test_what_can_be_no_cameras(self, tmp_path: Path, given_: list[str]) -> None:
        (tmp_path / "a/b").mkdir(parents=True)
        with pytest.raises(ConfigError) as caught:
            config_for_directories(given_, cwd=str(tmp_path))
        assert all(each.line is None for each in caught.value.mistakes)


class TestStateDirectory:
    CONFIG = parse_config(RECORDINGS)

    def test_the_configured_one_first(self) -> None:
        config = parse_config(RECORDINGS + "state_dir: /srv/state\n")
        assert resolve_state_dir(config, {"STATE_DIRECTORY": "/var/lib/x"}) == "/srv/state"

    def test_then_systemds(self) -> None:
        env = {"STATE_DIRECTORY": "/var/lib/x:/var/lib/y", "HOME": "/home/a"}
        assert resolve_state_dir(self.CONFIG, env) == "/var/lib/x"

    def test_then_the_hosts_where_there_is_one(self, tmp_path: Path) -> None:
        env = {"HOME": "/home/a"}
        assert resolve_state_dir(self.CONFIG, env, host=str(tmp_path)) == str(tmp_path)

    def test_then_ones_own(self, tmp_path: Path) -> None:
        host = str(tmp_path / "missing")
        env = {"HOME": "/home/a"}
        assert resolve_state_dir(self.CONFIG, env, host=host) == "/home/a/.local/state/watcher"
        env["XDG_STATE_HOME"] = "/x"
        assert resolve_state_dir(self.CONFIG, env, host=host) == "/x/watcher"


class TestReload:
    def test_what_changed_is_named_by_its_keys(self) -> None:
        old = parse_config(RECORDINGS)
        new = parse_config(
            "recordings: {cam1: /srv/recordings/cam1, b: /srv/b}\ntranscoding: {quality: 24}\n"
        )
        assert "transcoding.quality" in changed_keys(old, new)
        assert "recordings.b.path" in changed_keys(old, new)
        assert not any(key.startswith("recordings.cam1") for key in changed_keys(old, new))
        assert changed_keys(old, old) == ()
        assert changed_keys(old, old.model_copy(update={"source": "/x"})) == ()


class TestTheExampleFile:
    def test_it_says_exactly_the_defaults(self) -> None:
        config = parse_config(EXAMPLE.read_text(encoding="utf-8"))
        assert config.transcoding == Transcoding()
        assert config.logging == Logging()
        assert config.state_dir is None
        cam1, cam2 = config.cameras
        assert cam2 == Camera(name="cam2", path=cam2.path)
        assert cam1 == Camera(name="cam1", path=cam1.path)


def test_a_share_that_hangs_is_taken_by_its_name_and_keeps_nobody_from_starting() -> None:
    over = threading.Event()

    def look(path: str) -> _Place:
        if path.startswith("/hangs"):
            over.wait()
        return _Place(f"/real{path}")

    try:
        found = _looked(["/hangs/cam1/.", "/disk"], look)
    finally:
        over.set()
    assert found == {"/hangs/cam1/.": _Place("/hangs/cam1"), "/disk": _Place("/real/disk")}
