"""Others' GPU use, in a /proc made by hand: who counts, and who does not."""

from pathlib import Path

import pytest

from watcher.gate.gpu import GpuMeter


class Machine:
    """A /proc and a /dev/dri of files."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.devices = root / "dri"
        self.proc.mkdir()
        self.devices.mkdir()

    def open(self, pid: int, number: int, client: int, video_s: float) -> None:
        """Let a process have the GPU open, its video engine having worked for so long."""
        (self.proc / f"{pid}/fd").mkdir(parents=True, exist_ok=True)
        (self.proc / f"{pid}/fdinfo").mkdir(exist_ok=True)
        link = self.proc / f"{pid}/fd/{number}"
        if not link.is_symlink():
            link.symlink_to(self.devices / "renderD128")
        (self.proc / f"{pid}/fdinfo/{number}").write_text(
            f"drm-driver:\ti915\ndrm-client-id:\t{client}\ndrm-pdev:\t0000:00:02.0\n"
            f"drm-engine-render:\t0 ns\ndrm-engine-video:\t{round(video_s * 1e9)} ns\n",
            encoding="ascii",
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_others_are_counted_once_and_ours_not_at_all(machine: Machine) -> None:
    meter = GpuMeter(machine.proc, machine.devices)
    for at_s, used_s in ((100.0, 0.0), (101.0, 0.3)):
        machine.open(20, 5, client=1, video_s=used_s)
        machine.open(20, 6, client=1, video_s=used_s)  # the same client, duplicated
        machine.open(21, 5, client=1, video_s=used_s)  # and inherited
        machine.open(22, 5, client=2, video_s=used_s)
        machine.open(30, 5, client=3, video_s=used_s * 3)  # ours
        share = meter.sample(at_s, own=[30])
    assert share is not None
    assert share.engine == "video"
    assert share.percent == pytest.approx(60.0)


def test_a_client_that_we_opened_stays_ours_in_other_hands(machine: Machine) -> None:
    meter = GpuMeter(machine.proc, machine.devices)
    for at_s, used_s in ((100.0, 0.0), (101.0, 0.9)):
        machine.open(30, 5, client=3, video_s=used_s)
        machine.open(40, 9, client=3, video_s=used_s)
        share = meter.sample(at_s, own=[30])
    assert share is not None
    assert share.percent == 0.0


def test_a_machine_without_a_gpu_has_no_figure(tmp_path: Path) -> None:
    assert GpuMeter(tmp_path, tmp_path / "dri").sample(1.0, own=[]) is None


def test_a_gpu_that_nobody_can_be_seen_using_has_no_figure(machine: Machine) -> None:
    (machine.proc / "20/fd").mkdir(parents=True)
    assert GpuMeter(machine.proc, machine.devices).sample(1.0, own=[]) is None


def test_a_process_that_ends_or_closes_the_gpu_is_forgotten(machine: Machine) -> None:
    meter = GpuMeter(machine.proc, machine.devices)
    machine.open(20, 5, client=1, video_s=1.0)
    assert meter.sample(100.0, own=[]) is not None
    (machine.proc / "20/fdinfo/5").unlink()
    (machine.proc / "20/fd/5").unlink()
    assert meter.sample(100.5, own=[]) is None


def test_a_new_process_is_seen_at_once_and_an_old_one_within_two_seconds(machine: Machine) -> None:
    meter = GpuMeter(machine.proc, machine.devices)
    (machine.proc / "20/fd").mkdir(parents=True)
    for tick in range(20):
        assert meter.sample(100.0 + tick / 2, own=[]) is None
    machine.open(20, 5, client=1, video_s=0.0)  # a process long there opens the GPU
    found = [meter.sample(110.0 + tick / 2, own=[]) is not None for tick in range(4)]
    assert found[-1]
    machine.open(21, 5, client=2, video_s=0.0)
    meter.sample(112.0, own=[])
    machine.open(21, 5, client=2, video_s=0.4)
    share = meter.sample(112.5, own=[])
    assert share is not None
    assert share.percent == pytest.approx(80.0)
