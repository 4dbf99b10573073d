"""The flat table behaves as a dict does, whatever the order of changes and however keys collide."""

import random

from hypothesis import given
from hypothesis import strategies as st

from watcher.ledger.table import Table

# Few keys, and keys that share their low bits: collisions and wrap-around in every run.
KEYS = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([n * 1024 + low for n in range(6) for low in (0, 1, 1022, 1023)]),
    st.integers(-(2**63), 2**64 - 1),
)
STEPS = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.integers(0, 2**32 - 2))), max_size=80)


@given(STEPS)
def test_it_is_a_dict_of_64_bit_keys(steps: list[tuple[int, int | None]]) -> None:
    table, model = Table(), dict[int, int]()
    for key, value in steps:
        key64 = key & (2**64 - 1)
        if value is None:
            assert table.remove(key) == (model.pop(key64, None) is not None)
        else:
            table.put(key, value)
            model[key64] = value
        assert len(table) == len(model)
    for key, _ in steps:
        assert table.get(key) == model.get(key & (2**64 - 1))


def test_it_grows_and_keeps_everything() -> None:
    table = Table()
    keys = [hash(("grow", n)) for n in range(5000)]
    for number, key in enumerate(keys):
        table.put(key, number)
    random.Random(7).shuffle(keys)
    gone, kept = keys[:2500], keys[2500:]
    assert all(table.remove(key) for key in gone)
    assert not any(table.remove(key) for key in gone)
    assert len(table) == 2500
    assert all(table.get(key) is not None for key in kept)
    assert all(table.get(key) is None for key in gone)


def test_room_for_what_is_expected_is_made_at_once() -> None:
    table = Table(10_000)
    size = len(table._keys)
    for key in range(10_000):
        table.put(key, 0)
    assert len(table._keys) == size
