"""The suite of observers accepts a right one and names the fault of each wrong one."""

import threading

import pytest
from flk import hooks
from flk.testing import failing
from flk.testing.observer import ObserverSuite


class Right:
    def __init__(self):
        self.rounds = 0

    @hooks.impl
    def flk_on_round_committed(self, run, number):
        self.rounds += 1

    @hooks.impl
    def flk_on_metrics(self, records):
        for record in records:
            str(record.value)

    @hooks.impl
    def flk_admit_run(self, run):
        return True


class Deaf:
    """Marks nothing."""


class Misspelt:
    @hooks.impl
    def flk_on_round_comitted(self, number):
        pass


class Unmarked:
    def flk_on_round_committed(self, number):
        pass


class Greedy:
    @hooks.impl
    def flk_on_round_committed(self, number, total):
        pass


class NeedsTheBeginning:
    @hooks.impl
    def flk_on_run_started(self, run):
        self.rounds = 0

    @hooks.impl
    def flk_on_round_committed(self, number):
        self.rounds += 1


class Talkative:
    @hooks.impl
    def flk_on_round_committed(self, number):
        return number


class Meddler:
    @hooks.impl
    def flk_on_metrics(self, records):
        records.clear()


class Loud:
    @hooks.impl
    def flk_on_round_committed(self, number):
        print(number)


class Trusting:
    """Formats NaN and infinity as integers."""

    @hooks.impl
    def flk_on_metrics(self, records):
        [int(getattr(record, "value", 0)) for record in records if hasattr(record, "step")]


class Fickle:
    @hooks.impl
    def flk_admit_run(self, run):
        return None


class Sleepy:
    @hooks.impl
    def flk_on_run_finished(self, run):
        if threading.current_thread().name.startswith("flk-"):
            threading.Event().wait()


class Shared:
    """Keeps what belongs to a run in the class."""

    running = False

    @hooks.impl
    def flk_on_run_started(self, run):
        assert not Shared.running
        Shared.running = True

    @hooks.impl
    def flk_on_run_finished(self, run):
        Shared.running = False


class BoundToSuccess:
    @hooks.impl
    def flk_on_run_finished(self, status):
        assert status == "completed"


def suite(listener):
    class Suite(ObserverSuite):
        patience = 0.3

        def make(self):
            return listener()

    return Suite


def test_a_right_observer_passes():
    assert failing(suite(Right)) == {}


@pytest.mark.parametrize(
    ("listener", "test"),
    [
        (Deaf, "test_its_hooks_exist_and_take_known_arguments"),
        (Misspelt, "test_its_hooks_exist_and_take_known_arguments"),
        (Unmarked, "test_its_hooks_exist_and_take_known_arguments"),
        (Greedy, "test_its_hooks_exist_and_take_known_arguments"),
        (NeedsTheBeginning, "test_it_bears_a_run_of_which_it_missed_the_beginning"),
        (Talkative, "test_events_return_nothing"),
        (Meddler, "test_it_changes_nothing_that_it_is_given"),
        (Loud, "test_it_leaves_stdout_to_the_command"),
        (Trusting, "test_it_bears_a_completed_run"),
        (Fickle, "test_steps_answer_true_or_a_sentence"),
        (Sleepy, "test_no_call_takes_long"),
        (Shared, "test_two_instances_do_not_disturb_each_other"),
        (BoundToSuccess, "test_it_bears_a_failed_run"),
    ],
)
def test_a_faulty_observer_is_rejected_by_the_test_that_names_its_fault(listener, test):
    assert test in failing(suite(listener))
