"""Work that is done ahead of its reader."""

import threading

import pytest

from stylegan_eval.images.files import prefetched


def test_the_next_item_is_made_while_the_reader_works():
    made = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(made):
            event.set()
            yield number

    read = []
    for number in prefetched(items()):
        read.append(number)
        assert number == 3 or made[number + 1].wait(60)
        assert number > 1 or not made[number + 2].is_set()  # and no further
    assert read == [0, 1, 2, 3]


def test_an_exception_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("the second")

    found = prefetched(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="the second"):
        next(found)


def test_a_reader_that_stops_closes_what_makes_the_items():
    closed = threading.Event()

    def items():
        try:
            yield from range(10)
        finally:
            closed.set()

    found = prefetched(items())
    assert next(found) == 0
    found.close()
    assert closed.is_set()
    before = threading.active_count()
    assert list(prefetched(iter(range(3)))) == [0, 1, 2]
    assert threading.active_count() == before
