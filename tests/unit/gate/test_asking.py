"""What hangs is asked, and not waited for: work is held, and no thread is added at each look."""

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC

import pytest
from support.clock import ManualClock
from support.emitted import Emitted

from watcher.errors import Halt
from watcher.gate.asking import LATE_S, MOST, MOUNT_S, Asker, NoAnswer, patient
from watcher.gate.gate import CALM_S
from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.readings import GB, Go, Hold, Limits, Load, Reason, Space
from watcher.gate.recorder import Health
from watcher.gate.recorders import HOST, RecorderSettings, RecorderWatch
from watcher.gate.window import Window
from watcher.replace.originals import Originals
from watcher.segments.filesystems import parse_mountinfo
from watcher.tending import KeepRules, Tender


class Hanging:
    """A question that is answered when a test lets it be."""

    def __init__(self) -> None:
        self.answers, self.asked = threading.Event(), 0

    def __call__(self, *_about: object) -> bool:
        self.asked += 1
        self.answers.wait(60)
        return True


@pytest.fixture
def hangs() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.answers.set()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def asker(clock: ManualClock) -> Asker:
    return Asker(within_s=0.01, clock=clock)


def asking_threads() -> int:
    return sum(thread.name == "watcher-asks" for thread in threading.enumerate())


def wait_for(what: Callable[[], bool]) -> None:
    wake = threading.Event()
    for _ in range(12_000):
        if what():
            return
        wake.wait(0.005)
    raise AssertionError("it did not come true")


def test_an_answer_comes_back_and_so_does_what_a_question_raises() -> None:
    asker = Asker(within_s=60)
    assert asker.ask("a", lambda: 42) == 42
    with pytest.raises(FileNotFoundError):
        asker.ask("a", lambda: open("/no/such/file", "rb"))  # noqa: SIM115 - any OSError


def test_what_hangs_is_asked_once_however_often_and_tells_since_when(
    asker: Asker, clock: ManualClock, hangs: Hanging
) -> None:
    before = asking_threads()
    for _ in range(50):
        with pytest.raises(NoAnswer) as silence:
            asker.ask("share", hangs)
        clock.advance(0.5)
    assert silence.value.for_s == 24.5
    assert (hangs.asked, asking_threads() - before) == (1, 1)
    hangs.answers.set()
    wait_for(lambda: _answered(asker))


def _answered(asker: Asker) -> bool:
    try:
        return asker.ask("share", lambda: True)
    except NoAnswer:
        return False


def test_one_late_look_is_no_proof_that_a_disk_hangs(
    asker: Asker, clock: ManualClock, hangs: Hanging
) -> None:
    """Starved of CPU, who looks comes back after seconds, and who asks has not had its turn."""
    found = []
    for _ in range(3):
        with pytest.raises(NoAnswer) as silence:
            asker.ask("disk", hangs)
        clock.advance(5.0)
        found.append(silence.value.hangs(1.0))
    assert found == [False, False, True]


def test_what_hangs_keeps_nobody_elses_answer_back(hangs: Hanging) -> None:
    asker = Asker(within_s=60)
    with pytest.raises(NoAnswer):
        asker.ask("share", hangs, 0.01)
    assert asker.ask("disk", lambda: "fine") == "fine"


def test_where_too_many_hang_no_thread_is_added_and_nobody_is_asked(
    asker: Asker, hangs: Hanging
) -> None:
    before = asking_threads()
    for number in range(3 * MOST):
        with pytest.raises(NoAnswer):
            asker.ask(number, hangs)
    assert asking_threads() - before == MOST
    wait_for(lambda: hangs.asked == MOST)


def test_an_answer_that_comes_late_is_given_to_who_asks_next(
    clock: ManualClock, hangs: Hanging
) -> None:
    """Or of a disk that always takes longer than a moment nothing would ever be known."""
    asker = Asker(within_s=0.01, clock=clock)
    with pytest.raises(NoAnswer):
        asker.ask("slow", hangs)
    hangs.answers.set()
    wait_for(lambda: "slow" in asker._late)
    clock.advance(LATE_S - 1)
    assert asker.ask("slow", lambda: False)
    assert hangs.asked == 1
    assert not asker.ask("slow", lambda: False, 60)  # and once: the next is asked anew


def test_an_answer_that_came_long_ago_is_none(clock: ManualClock, hangs: Hanging) -> None:
    asker = Asker(within_s=0.01, clock=clock)
    with pytest.raises(NoAnswer):
        asker.ask("slow", hangs)
    hangs.answers.set()
    wait_for(lambda: "slow" in asker._late)
    clock.advance(LATE_S)
    assert not asker.ask("slow", lambda: False, 60)


MOUNTS = parse_mountinfo(
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "30 22 0:50 / /share rw - nfs4 nas:/ rw\n"
    "31 22 8:2 / /disk rw - ext4 /dev/sda2 rw\n"
)


def test_the_directories_of_one_share_that_hangs_take_no_other_disks_turn(
    clock: ManualClock, hangs: Hanging
) -> None:
    asker = Asker(within_s=0.01, mounts=lambda: MOUNTS, clock=clock)

    def space(path: str) -> str:
        if path.startswith("/share/"):
            hangs()
        return path

    ask, asked_before = patient(space, asker=asker), asking_threads()
    for day in range(3 * MOST):
        with pytest.raises(NoAnswer) as silence:
            ask(f"/share/day{day}")
        clock.advance(0.5)
    assert silence.value.hangs(MOUNT_S)
    assert asking_threads() - asked_before <= 3
    assert patient(space, 60, asker)("/disk/day1") == "/disk/day1"


def test_the_shares_of_one_server_that_is_off_take_no_other_disks_turn(
    clock: ManualClock, hangs: Hanging
) -> None:
    """The more hang, the shorter each is waited for, and the more could be asked meanwhile."""
    shares = [f"/share{number}" for number in range(6)]
    lines = (f"{40 + n} 22 0:{60 + n} / {at} rw - nfs4 nas:/ rw\n" for n, at in enumerate(shares))
    mounts = (*MOUNTS, *parse_mountinfo("".join(lines)))
    asker = Asker(within_s=0.001, mounts=lambda: mounts, clock=clock)

    def space(path: str) -> str:
        if path.startswith("/share"):
            hangs()
        return path

    ask = patient(space, asker=asker)
    for share in shares:
        for day in range(20):
            with pytest.raises(NoAnswer):
                ask(f"{share}/day{day}")
            clock.advance(0.05)
    assert patient(space, 60, asker)("/disk/day1") == "/disk/day1"


def test_what_hangs_behind_a_link_on_the_root_does_not_speak_for_the_root(
    clock: ManualClock, hangs: Hanging
) -> None:
    asker = Asker(within_s=0.01, mounts=lambda: MOUNTS, clock=clock)
    for _ in range(4):
        with pytest.raises(NoAnswer):
            asker.ask("link", hangs, path="/srv/link")
        clock.advance(1.0)
    assert asker.ask("fine", lambda: True, 60, path="/srv/fine")


class Quiet:
    def sample(self) -> Load:
        return Load(interval_s=0.5, others_cpu_percent=1.0)


def test_a_disk_that_hangs_freezes_the_running_child_within_two_seconds(
    asker: Asker, clock: ManualClock, hangs: Hanging
) -> None:
    answers = [Space(70 * GB, 100 * GB)]

    def space(_path: str) -> Space:
        if not answers:
            hangs()
        return answers.pop()

    recorders = RecorderWatch({}, clock=clock, emit=Emitted())
    gauge = Gauge(
        meter=Quiet(),
        recorders=recorders,
        window=Window.parse("always", UTC),
        space=patient(space, 60, asker),
        clock=clock,
    )
    keeper = GateKeeper(gauge, Limits(), clock=clock)
    assert isinstance(keeper.look(child=True, directory="/share")[0], Go)
    gauge._space = patient(space, asker=asker)
    said = []
    for _ in range(4):
        said.append(keeper.look(child=True, directory="/share")[0])
        clock.advance(0.5)
    assert [type(one) for one in said[:2]] == [Go, Go]  # a busy disk may take a moment
    assert isinstance(said[-1], Hold)
    assert (said[-1].reason, "/share does not answer" in said[-1].detail) == (Reason.DISK, True)


def test_a_disk_that_answers_after_a_second_every_time_makes_no_change_in_ten_seconds(
    clock: ManualClock,
) -> None:
    """It would be held and let go twice a second, and each be told."""
    looks = itertools.count()

    def space(_path: str) -> Space:
        if (late := next(looks) % 4) < 3:
            raise NoAnswer(0.5 * late, late + 1)
        return Space(70 * GB, 100 * GB)

    gauge = Gauge(
        meter=Quiet(),
        recorders=RecorderWatch({}, clock=clock, emit=Emitted()),
        window=Window.parse("always", UTC),
        space=space,
        clock=clock,
    )
    keeper = GateKeeper(gauge, Limits(), clock=clock)
    said = []
    for _ in range(40):
        said.append(type(keeper.look(child=True, directory="/share")[0]))
        clock.advance(0.5)
    assert sum(before is not after for before, after in itertools.pairwise(said)) == 1
    gauge._space = lambda _: Space(70 * GB, 100 * GB)
    clock.advance(CALM_S)
    assert isinstance(keeper.look(child=True, directory="/share")[0], Go)


def test_a_camera_whose_disk_hangs_is_unhealthy_told_once_and_well_again(
    asker: Asker, clock: ManualClock, hangs: Hanging
) -> None:
    emitted = Emitted()
    watch = RecorderWatch(
        {"cam": RecorderSettings()},
        stat=hangs,  # type: ignore[arg-type] # what it gives is not looked at
        asker=asker,
        clock=clock,
        emit=emitted,
    )
    watch.opened("cam", "/share/a.mp4")
    for _ in range(20):
        watch.tick()
        clock.advance(0.5)
    trouble = watch.trouble()
    assert trouble is not None
    assert "does not answer" in trouble.reason
    assert len(emitted.named("recorder_unhealthy")) == 1
    assert hangs.asked == 1
    watch.closed("cam", "/share/a.mp4")
    hangs.answers.set()
    watch.tick()
    assert watch.health("cam") is Health.HEALTHY


def test_a_host_that_does_not_answer_is_taken_to_say_no_until_it_answers_in_time(
    asker: Asker, clock: ManualClock, hangs: Hanging
) -> None:
    emitted = Emitted()
    watch = RecorderWatch({}, host_healthy=hangs, asker=asker, clock=clock, emit=emitted)
    for _ in range(20):
        watch.tick()
        clock.advance(0.5)
    trouble = watch.trouble()
    assert trouble is not None
    assert (trouble.camera, hangs.asked) == (HOST, 1)
    assert len(emitted.named("recorder_unhealthy")) == 1
    hangs.answers.set()

    def recovers() -> bool:
        watch.tick()
        return watch.trouble() is None

    wait_for(recovers)
    assert len(emitted.named("recorder_recovered")) == 1


def test_a_disk_that_hangs_bars_its_own_place_for_the_shift(asker: Asker, hangs: Hanging) -> None:
    def space(path: str) -> Space:
        return Space(1, 1) if path == "/disk" or hangs() else Space(0, 0)

    tender = Tender(
        Originals(),
        remember=lambda *_: None,
        rules=KeepRules(),
        space=lambda path: patient(space, 60 if path == "/disk" else 0.01, asker)(path),
    )
    with pytest.raises(Halt) as halt:
        tender.space("/share")
    assert (halt.value.reason, "/share: no answer" in halt.value.message) == ("io_error", True)
    assert tender.space("/disk") == Space(1, 1)
