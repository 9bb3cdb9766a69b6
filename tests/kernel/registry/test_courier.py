"""One receiver that nobody waits for."""

import threading

import pytest
from flk.registry import Courier
from flk.registry.courier import Overdue
from flk.world import RealWorld

SOON = 10.0
"""Deadline of what must happen."""


@pytest.fixture
def world():
    world = RealWorld()
    yield world
    world.close()


class Gate:
    """A call that blocks until it is let through; every blocked call ends with the test."""

    def __init__(self):
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, items):
        self.entered.set()
        assert self.open.wait(SOON)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def failures():
    return []


@pytest.fixture
def courier_to(world, failures):
    made = []

    def make(call, patience=SOON, limit=100, **options):
        def failed(items, error, dropped):
            failures.append((list(items), error, dropped))

        courier = Courier(world, "test", call, patience, limit, failed=failed, **options)
        made.append(courier)
        return courier

    yield make
    for courier in made:
        courier.close(0.1)


def test_items_arrive_one_by_one_in_order_and_in_one_thread(courier_to):
    seen, threads = [], set()

    def call(items):
        seen.append(list(items))
        threads.add(threading.get_ident())

    courier = courier_to(call)
    for number in range(3):
        courier.put(number)
        assert courier.flush(SOON)
    courier.put(3)
    assert courier.close(SOON)
    assert seen == [[0], [1], [2], [3]]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_no_thread_starts_before_the_first_item(courier_to):
    before = threading.active_count()
    courier = courier_to(print)
    assert courier.flush(SOON)
    assert courier.close(SOON)
    assert threading.active_count() == before


def test_what_waits_arrives_together_where_batches_are_asked_for(courier_to, gate):
    seen = []

    def call(items):
        gate(items)
        seen.append(list(items))

    courier = courier_to(call, batch=3)
    courier.put(0)
    gate.entered.wait(SOON)
    for number in range(1, 6):
        courier.put(number)
    gate.open.set()
    assert courier.flush(SOON)
    assert seen == [[0], [1, 2, 3], [4, 5]]


def test_a_full_queue_loses_the_oldest_and_counts(courier_to, gate):
    seen = []

    def call(items):
        gate(items)
        seen.extend(items)

    courier = courier_to(call, limit=2)
    courier.put("under way")
    gate.entered.wait(SOON)
    for item in "abcd":
        courier.put(item)
    gate.open.set()
    assert courier.flush(SOON)
    assert seen == ["under way", "c", "d"]
    assert courier.lost == 2


@pytest.mark.parametrize("error", [ValueError, SystemExit, StopIteration, KeyboardInterrupt])
def test_a_failure_of_any_kind_is_told_and_the_next_item_arrives(courier_to, failures, error):
    seen = []

    def call(items):
        seen.extend(items)
        if items == ["bad"]:
            raise error

    courier = courier_to(call)
    courier.put("bad")
    courier.put("good")
    assert courier.flush(SOON)
    assert seen == ["bad", "good"]
    ((items, told, dropped),) = failures
    assert (items, type(told), dropped) == (["bad"], error, False)


def test_the_third_failure_drops_the_receiver(courier_to, failures):
    def call(items):
        raise ValueError(items[0])

    courier = courier_to(call)
    for number in range(5):
        courier.put(number)
    courier.flush(SOON)
    assert courier.close(SOON) is False
    courier.put("later")
    assert courier.dropped
    assert [dropped for _, _, dropped in failures] == [False, False, True]


def test_a_call_that_takes_too_long_is_abandoned(world, gate):
    told = threading.Event()
    failures = []

    def failed(items, error, dropped):
        failures.append((items[0], type(error), dropped))
        told.set()

    courier = Courier(world, "test", gate, patience=0.05, failed=failed)
    courier.put("stuck")
    courier.put("never told")
    assert told.wait(SOON)
    assert failures == [("stuck", Overdue, True)]
    assert courier.flush(SOON) is False
    assert courier.close(SOON) is False
    assert courier.lost == 1


def test_an_abandoned_call_that_returns_after_all_changes_nothing(courier_to, failures, gate):
    ended = threading.Event()

    def call(items):
        gate.entered.set()
        gate.open.wait(SOON)
        ended.set()
        raise ValueError

    courier = courier_to(call, patience=0.05)
    courier.put("stuck")
    courier.flush(SOON)
    gate.open.set()
    assert ended.wait(SOON)
    assert courier.close(SOON) is False
    assert courier.failures == 0
    assert [type(error) for _, error, _ in failures] == [Overdue]


def test_many_short_calls_in_a_row_are_not_one_long_call(courier_to, failures):
    pause = threading.Event()
    courier = courier_to(lambda items: pause.wait(0.02), patience=0.1)
    for number in range(20):
        courier.put(number)
    assert courier.flush(SOON)
    assert failures == []


def test_flush_gives_up_in_time(courier_to, gate):
    courier = courier_to(gate)
    courier.put("stuck")
    assert courier.flush(0.02) is False


def test_close_gives_up_in_time_and_abandons_the_rest(courier_to, gate):
    courier = courier_to(gate)
    courier.put("stuck")
    gate.entered.wait(SOON)
    courier.put("waiting")
    assert courier.close(0.02) is False
    assert courier.dropped
    assert courier.lost == 1


def test_close_does_not_wait_for_a_receiver_that_was_dropped_meanwhile(courier_to, gate):
    courier = courier_to(gate, patience=0.05)
    courier.put("stuck")
    closing = threading.Thread(target=courier.close, args=[60], daemon=True)
    closing.start()
    closing.join(SOON)
    assert not closing.is_alive()


def test_closing_twice_is_closing_and_nothing_arrives_afterwards(courier_to):
    seen = []
    courier = courier_to(seen.extend)
    courier.put(1)
    assert courier.close(SOON)
    assert courier.close(SOON)
    courier.put(2)
    assert seen == [1]


def test_many_threads_may_put(courier_to):
    seen = []
    courier = courier_to(seen.extend, limit=10_000)

    def work():
        for number in range(500):
            courier.put(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert courier.flush(SOON)
    assert sorted(seen) == sorted([*range(500)] * 4)


def test_a_world_that_is_closed_first_ends_the_thread(failures):
    world = RealWorld()
    courier = Courier(world, "test", print, failed=lambda *told: failures.append(told))
    courier.put("")
    assert courier.flush(SOON)
    world.close()
    assert courier._join is not None
    assert courier._join(SOON)
    assert failures == []
