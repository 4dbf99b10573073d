"""What has to be read again, what is known of directories, and jobs in their order."""

import threading
from collections.abc import Callable

import pytest
from support.clock import ManualClock
from support.trees import CameraOf

from watcher.segments.reconcile import is_unchanged
from watcher.segments.segment import NS_PER_S
from watcher.segments.tree import Directory, Root, Tree, root_of
from watcher.segments.worker import Worker


def directory(**known: object) -> Directory:
    root = root_of(CameraOf("cam", "/c"))
    return Directory(root, None, "", "/c", (1, 2), **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "ctime_s", "read_up_to_s", "expected"),
    [
        pytest.param({"ctime_ns": 50 * NS_PER_S}, 50, None, True, id="as it was when read"),
        pytest.param({"ctime_ns": 50 * NS_PER_S}, 60, None, False, id="changed, who knows when"),
        pytest.param({"ctime_ns": 50 * NS_PER_S}, 60, 99, True, id="changed, but heard of"),
        pytest.param({"ctime_ns": 50 * NS_PER_S}, 97, 99, False, id="changed too close to tell"),
        pytest.param({"ctime_ns": 50 * NS_PER_S}, 100, 99, False, id="changed after the loss"),
        pytest.param({"ctime_ns": -1}, 50, None, False, id="too fresh when it was read"),
        pytest.param({"ctime_ns": -1}, 50, 99, True, id="too fresh then, all heard since"),
        pytest.param({"listed": False}, 50, 99, False, id="never read"),
        pytest.param({"lost": "watch_limit"}, 50, 99, False, id="not heard of at all"),
        pytest.param(
            {"lost": "watch_limit", "ctime_ns": 50 * NS_PER_S}, 50, 99, True, id="not heard, same"
        ),
    ],
)
def test_only_what_may_have_changed_unheard_is_read(
    known: dict[str, object], ctime_s: float, read_up_to_s: float | None, expected: bool
) -> None:
    one = directory(**{"listed": True, **known})
    assert is_unchanged(one, int(ctime_s * NS_PER_S), read_up_to_s) is expected


class TestTree:
    @pytest.fixture
    def root(self) -> Root:
        return root_of(CameraOf("cam", "/c/"))

    def add(self, tree: Tree, root: Root, path: str, wd: int) -> Directory:
        above, _, name = path.rpartition("/")
        one = Directory(root, tree.by_path.get(above), name, path, (1, wd), wd)
        tree.add(one)
        return one

    def test_a_moved_tree_takes_all_below_it_along(self, root: Root) -> None:
        tree = Tree()
        for wd, path in enumerate(["/c", "/c/d", "/c/d/e", "/c/d/e/f", "/c/x"]):
            self.add(tree, root, path, wd)

        moved = tree.move(tree.by_path["/c/d"], tree.by_path["/c/x"], "y")

        assert [(old, one.path) for old, one in moved] == [
            ("/c/d", "/c/x/y"),
            ("/c/d/e", "/c/x/y/e"),
            ("/c/d/e/f", "/c/x/y/e/f"),
        ]
        assert set(tree.by_path) == {"/c", "/c/x", "/c/x/y", "/c/x/y/e", "/c/x/y/e/f"}
        assert list(tree.by_path["/c"].children) == ["x"]
        assert tree.by_wd[3].path == "/c/x/y/e/f"

    def test_a_removed_tree_is_forgotten_whole(self, root: Root) -> None:
        tree = Tree()
        for wd, path in enumerate(["/c", "/c/d", "/c/d/e"]):
            self.add(tree, root, path, wd)
        gone = tree.by_path["/c/d"]
        assert [one.path for one in tree.remove(gone)] == ["/c/d", "/c/d/e"]
        assert set(tree.by_path) == {"/c"}
        assert set(tree.by_wd) == {0}
        assert not tree.holds(gone)
        tree.remove(tree.by_path["/c"])
        assert root.directory is None


class TestWorker:
    @pytest.fixture
    def failures(self) -> list[str]:
        return []

    def run(self, failures: list[str], fill: Callable[[Worker], None]) -> None:
        worker = Worker("test", ManualClock(), lambda _, error: failures.append(str(error)))
        fill(worker)
        done = threading.Event()
        worker.soon(done.set, 100.0)
        worker.start()
        assert done.wait(30)
        worker.stop()
        assert not worker.is_alive()

    def test_jobs_are_done_in_the_order_of_their_time(self, failures: list[str]) -> None:
        did: list[int] = []

        def fill(worker: Worker) -> None:
            worker.soon(lambda: did.append(3), 7.0)
            worker.soon(lambda: did.append(1))
            worker.soon(lambda: did.append(2))
            worker.soon(lambda: did.append(4), 7.0)

        self.run(failures, fill)
        assert did == [1, 2, 3, 4]

    def test_a_failing_job_ends_nothing(self, failures: list[str]) -> None:
        did: list[int] = []

        def fail() -> None:
            raise RuntimeError("no")

        def fill(worker: Worker) -> None:
            worker.soon(fail)
            worker.soon(lambda: did.append(1))

        self.run(failures, fill)
        assert (failures, did) == (["no"], [1])
