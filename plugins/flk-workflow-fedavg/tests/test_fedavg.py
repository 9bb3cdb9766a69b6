"""What the workflow promises, with arrays that need no library. Crashes, faults and real arrays are
in the journeys."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import flk
import pytest
from flk.errors import QuorumError, UsageError
from flk.testing.fake_arrays import FakeArray, fake_arrays
from flk.testing.local import LocalEnv, Memory
from flk_workflow_fedavg import FedAvg


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with fake_arrays():
        yield


def run(
    workflow: FedAvg, client: Any, sites: int = 4, memory: Memory | None = None, **config: Any
) -> Any:
    """One run to its end."""
    environment = LocalEnv(sites, checkpoints=memory)
    try:
        recipe = flk.Recipe("test", workflow, client, trackers=[], config=config)
        return recipe.execute(environment)
    finally:
        environment.stop()


def number() -> int:
    return int(flk.site.removeprefix("site-"))


class ReturnsModel:
    """Site n moves every weight by n, and has n samples."""

    kind = flk.ParamsType.FULL

    @flk.collab
    def train(self, model: flk.FLModel) -> Any:
        start = [0.0] if self.kind is flk.ParamsType.DIFF else model.params["w"].tolist()
        return flk.FLModel(
            {"w": FakeArray([x + number() for x in start])},
            params_type=self.kind,
            metrics={"loss": float(number())},
            current_round=model.current_round,
            meta={"weight": number()},
        )


class ReturnsDifference(ReturnsModel):
    kind = flk.ParamsType.DIFF


class ReturnsPair:
    @flk.collab
    def train(self, model: flk.FLModel) -> Any:
        return {"w": FakeArray([x + number() for x in model.params["w"].tolist()])}, number()


class ReturnsParams:
    @flk.collab
    def train(self, model: flk.FLModel) -> Any:
        return {"w": FakeArray([x + number() for x in model.params["w"].tolist()])}


def initial() -> dict[str, Any]:
    return {"w": FakeArray([1.0])}


def weight_after(rounds: int, client: Any, **options: Any) -> float:
    done = run(FedAvg(initial(), rounds, **options), client)
    assert done.error is None
    (value,) = done.result.params["w"].tolist()
    return float(value)


# what a site may return ---------------------------------------------------------------------------


@pytest.mark.parametrize("client", [ReturnsModel, ReturnsDifference, ReturnsPair])
def test_the_average_is_weighted_by_samples(client: Any) -> None:
    assert weight_after(2, client) == 1.0 + 2 * 3.0  # (1*1 + 2*2 + 3*3 + 4*4) / 10


def test_params_alone_weigh_the_same_everywhere() -> None:
    assert weight_after(2, ReturnsParams) == 1.0 + 2 * 2.5


def test_a_difference_keeps_the_dtypes_of_the_model() -> None:
    class Counts:
        @flk.collab
        def train(self, model: flk.FLModel) -> Any:
            steps = {"steps": FakeArray([2, 3], "int64"), "half": FakeArray([0.5], "float16")}
            return flk.FLModel(steps, flk.ParamsType.DIFF)

    start = {"steps": FakeArray([1, 2**40], "int64"), "half": FakeArray([1.0], "float16")}
    params = run(FedAvg(start, 2), Counts).result.params
    assert (params["steps"].dtype, params["steps"].tolist()) == ("int64", [5, 2**40 + 6])
    assert (params["half"].dtype, params["half"].tolist()) == ("float16", [2.0])


def test_sites_that_differ_about_what_they_return_are_refused_and_named() -> None:
    class Mixed:
        @flk.collab
        def train(self, model: flk.FLModel) -> Any:
            kind = flk.ParamsType.DIFF if number() == 3 else flk.ParamsType.FULL
            return flk.FLModel(model.params, kind)

    done = run(FedAvg(initial(), 1), Mixed)
    assert done.result.params["w"].tolist() == [1.0]
    (line,) = [line.text for line in done.logs]
    assert "site-3" in line and "params_type should be FULL and is DIFF" in line


# rounds -------------------------------------------------------------------------------------------


def test_a_site_is_told_the_round_and_how_many_there_are() -> None:
    told = []

    class Listens:
        @flk.collab
        def train(self, model: flk.FLModel) -> Any:
            told.append((model.current_round, model.total_rounds))
            return model.params

    run(FedAvg(initial(), 3), Listens, sites=1)
    assert told == [(0, 3), (1, 3), (2, 3)]


def test_the_number_of_rounds_is_a_setting() -> None:
    done = run(FedAvg(initial(), 5), ReturnsParams, rounds=2)
    assert (done.rounds, done.result.total_rounds) == (2, 2)


def test_no_rounds_give_the_initial_model() -> None:
    assert weight_after(0, ReturnsParams) == 1.0


def test_the_initial_model_may_come_from_a_function_that_runs_at_the_server() -> None:
    def make() -> Any:
        assert flk.site == "server"
        return initial()

    assert run(FedAvg(make, 1), ReturnsParams).result.params["w"].tolist() == [3.5]


def test_what_was_given_as_initial_is_left_alone() -> None:
    given = initial()
    run(FedAvg(given, 2, server_optimizer=_in_place), ReturnsParams)
    assert given["w"].tolist() == [1.0]


def _in_place(params: Any, average: Any, state: dict[str, Any]) -> Any:
    params["w"].set([x + 1 for x in average["w"].tolist()])
    return params


# metrics ------------------------------------------------------------------------------------------


def test_metrics_of_the_sites_are_averaged_by_weight_and_logged_each_round() -> None:
    done = run(FedAvg(initial(), 2), ReturnsModel)
    assert done.series("loss") == [(0, 3.0), (1, 3.0)]
    assert done.result.metrics == {"loss": 3.0}


def test_evaluate_measures_the_new_model_at_the_server() -> None:
    def evaluate(params: Any) -> dict[str, float]:
        return {"w": params["w"].tolist()[0], "loss": -1.0}

    done = run(FedAvg(initial(), 2, evaluate=evaluate), ReturnsModel)
    assert done.series("w") == [(0, 4.0), (1, 7.0)]
    assert done.result.metrics == {"loss": -1.0, "w": 7.0}


def test_a_metric_that_is_not_finite_somewhere_is_averaged_over_the_others() -> None:
    class Divides:
        @flk.collab
        def train(self, model: flk.FLModel) -> Any:
            loss = math.nan if number() == 2 else 1.0
            return flk.FLModel(model.params, metrics={"loss": loss})

    assert run(FedAvg(initial(), 1), Divides).result.metrics == {"loss": 1.0}


# sampling -----------------------------------------------------------------------------------------


class Attends:
    """Every site that is asked adds 2**n, so that the weight tells who was asked."""

    @flk.collab
    def train(self, model: flk.FLModel) -> Any:
        flk.log({"asked": 1})
        return model.params


def asked(sample: float, rounds: int = 1, sites: int = 20) -> list[set[str]]:
    done = run(FedAvg(initial(), rounds, sample=sample), Attends, sites)
    found: list[set[str]] = [set() for _ in range(rounds)]
    for metric in done.metrics:
        found[metric.round].add(metric.site)
    return found


@pytest.mark.parametrize(
    ("sample", "expected"), [(3, 3), (1, 1), (100, 20), (0.25, 5), (0.001, 1), (1.0, 20)]
)
def test_a_round_asks_the_wanted_number_of_sites(sample: float, expected: int) -> None:
    assert [len(sites) for sites in asked(sample)] == [expected]


def test_each_round_draws_anew_and_the_same_run_draws_the_same() -> None:
    first = asked(5, rounds=4)
    assert len({frozenset(sites) for sites in first}) > 1
    assert asked(5, rounds=4) == first


@pytest.mark.parametrize("sample", [0, -1, 0.0, 1.5, math.nan, True, "all", None])
def test_what_is_no_sample_is_refused_at_once(sample: Any) -> None:
    with pytest.raises(UsageError, match="neither a count nor a share"):
        FedAvg(initial(), sample=sample)


# failures -----------------------------------------------------------------------------------------


class FailsBelow:
    """Sites up to `bad` fail."""

    @flk.collab
    def train(self, model: flk.FLModel) -> Any:
        if number() <= flk.props["bad"]:
            raise RuntimeError("the disk is full")
        return {"w": FakeArray([float(number())])}


def test_a_round_goes_on_without_a_site_that_failed_and_names_it() -> None:
    done = run(FedAvg(initial(), 1), FailsBelow, bad=1)
    assert done.result.params["w"].tolist() == [3.0]
    assert "site-1" in done.logs[-1].text and "the disk is full" in done.logs[-1].text


def test_too_few_results_end_the_run_with_every_reason() -> None:
    done = run(FedAvg(initial(), 1, min_results=3), FailsBelow, bad=2)
    assert isinstance(done.error, QuorumError)
    assert list(done.error.failures) == ["site-1", "site-2"]


def test_a_share_of_results_is_one_of_the_sites_that_were_asked() -> None:
    workflow = FedAvg(initial(), 1, sample=2, min_results=1.0)
    assert run(workflow, FailsBelow, bad=0).status == "completed"


def test_no_result_at_all_is_an_error_even_where_none_is_demanded() -> None:
    done = run(FedAvg(initial(), 1, min_results=0), FailsBelow, bad=4)
    assert isinstance(done.error, QuorumError)
    assert len(done.error.failures) == 4


def test_refused_results_do_not_count_towards_the_quorum() -> None:
    class Poisons:
        @flk.collab
        def train(self, model: flk.FLModel) -> Any:
            return {"w": FakeArray([math.nan if number() < 3 else 1.0])}

    assert run(FedAvg(initial(), 1, min_results=2), Poisons).status == "completed"
    done = run(FedAvg(initial(), 1, min_results=3), Poisons)
    assert isinstance(done.error, QuorumError)
    assert list(done.error.failures) == ["site-1", "site-2"]


# the server's optimiser ---------------------------------------------------------------------------


def momentum(params: Any, average: Any, state: dict[str, Any]) -> Any:
    velocity = state.get("velocity", 0.0)
    (old,), (new,) = params["w"].tolist(), average["w"].tolist()
    state["velocity"] = 0.5 * velocity + (new - old)
    return {"w": FakeArray([old + state["velocity"]])}


@pytest.mark.parametrize("client", [ReturnsModel, ReturnsDifference])
def test_an_optimiser_gets_the_average_model_and_keeps_state_of_its_own(client: Any) -> None:
    assert weight_after(2, client, server_optimizer=momentum) == 1.0 + 3.0 + (1.5 + 3.0)


def test_a_run_that_failed_goes_on_with_model_optimiser_and_sample() -> None:
    fails_in = [2]

    def fragile(params: Any, average: Any, state: dict[str, Any]) -> Any:
        if flk.context.round in fails_in:
            raise OSError("the disk is full")
        return momentum(params, average, state)

    workflow = FedAvg(initial(), 5, sample=2, server_optimizer=fragile)
    memory = Memory()
    assert run(workflow, ReturnsModel, memory=memory).rounds == 2
    fails_in.clear()
    again, undisturbed = run(workflow, ReturnsModel, memory=memory), run(workflow, ReturnsModel)
    assert again.result.params["w"].tolist() == undisturbed.result.params["w"].tolist()
    assert again.series("loss") == undisturbed.series("loss")[2:]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (FakeArray([1.0], "float64"), "dtype float32 and has float64"),
        (FakeArray([1.0, 2.0]), "shape"),
        (FakeArray([math.nan]), "NaN"),
        (None, "NoneType"),
    ],
)
def test_an_optimiser_that_spoils_the_model_is_blamed_and_no_site(
    wrong: Any, complaint: str
) -> None:
    workflow = FedAvg(initial(), 3, server_optimizer=lambda *_: {"w": wrong})
    done = run(workflow, ReturnsParams)
    assert (done.status, done.rounds) == ("failed", 0)
    assert "the server's optimizer" in str(done.error) and complaint in str(done.error)


# configuration ------------------------------------------------------------------------------------


def test_sites_that_do_not_export_train_are_refused_before_the_run() -> None:
    class Idle:
        @flk.collab
        def work(self) -> None:
            return None

    with pytest.raises(UsageError, match=r"train\(\)"):
        run(FedAvg(initial()), Idle)


def test_another_aggregator_takes_the_place_of_the_mean() -> None:
    from flk_workflow_fedavg import Mean

    class Doubled(Mean):
        def finish(self) -> Any:
            (value,) = super().finish()["w"].tolist()
            return {"w": FakeArray([2 * value])}

    assert weight_after(1, ReturnsParams, aggregator=Doubled) == 7.0


def test_one_workflow_serves_many_runs() -> None:
    workflow = FedAvg(initial(), 2, server_optimizer=momentum)
    first, second = (run(workflow, ReturnsModel).result.params["w"] for _ in "ab")
    assert first.tolist() == second.tolist()
