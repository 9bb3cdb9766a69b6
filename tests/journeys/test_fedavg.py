"""Federated averaging with real arrays in the simulator: poison, crashes, late sites and memory."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flk
import numpy as np
import pytest
from flk.errors import QuorumError

BAD = "site-2"


def initial() -> dict[str, Any]:
    return {
        "body": {"w": np.ones((3, 2), np.float32), "half": np.ones(2, np.float16)},
        "heads": [np.zeros(2), np.array(1.5)],
        "steps": np.array(7),
        "mask": np.array([True, False, True]),
    }


def trained(model: flk.FLModel) -> flk.FLModel:
    """A site's honest work: the float leaves move by an amount of its own, the counter by one."""
    rng = np.random.default_rng(flk.seed())
    params = model.params
    params["body"]["w"] += rng.normal(size=(3, 2)).astype(np.float32)
    params["heads"][0] += rng.normal(size=2)
    params["steps"] += 1
    return flk.FLModel(
        params, current_round=model.current_round, meta={"weight": int(flk.site[5:])}
    )


class Honest:
    @flk.collab
    def train(self, model: flk.FLModel) -> Any:
        return trained(model)


class OneBad:
    """The bad site does to its honest work what `deed` says."""

    def __init__(self, deed: Callable[[flk.FLModel], Any]) -> None:
        self.deed = deed

    @flk.collab
    def train(self, model: flk.FLModel) -> Any:
        mine = trained(model)
        return self.deed(mine) if flk.site == BAD else mine


def run(client: Any, rounds: int = 2, sites: int = 4, env: Any = None, **options: Any) -> Any:
    workflow = flk.workflow.fedavg(initial(), rounds, **options)
    recipe = flk.Recipe("journey", workflow, client, trackers=[])
    return recipe.execute(flk.env.sim(sites, **(env or {})))


def leaves(params: dict[str, Any]) -> list[np.ndarray]:
    return [*params["body"].values(), *params["heads"], params["steps"], params["mask"]]


def assert_same(one: flk.FLModel, other: flk.FLModel) -> None:
    for left, right in zip(leaves(one.params), leaves(other.params), strict=True):
        assert left.dtype == right.dtype
        assert left.tobytes() == right.tobytes()


# what comes back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(flk.ParamsType))
@pytest.mark.parametrize("env", [{}, {"strict": True}, {"executor": "threads"}])
def test_every_leaf_keeps_its_dtype_its_shape_and_stays_an_array(kind: Any, env: Any) -> None:
    class Site:
        @flk.collab
        def train(self, model: flk.FLModel) -> Any:
            mine = trained(model)
            if kind is flk.ParamsType.DIFF:
                mine.params_type = kind
                mine.params["body"]["w"] -= 1
                mine.params["steps"] = np.array(1)
                mine.params["mask"] &= False
            return mine

    result = run(Site(), env=env).value()
    for got, wanted in zip(leaves(result.params), leaves(initial()), strict=True):
        assert type(got) is np.ndarray
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    assert result.params["steps"] == 9
    assert result.params["mask"].tolist() == [True, False, True]


def test_the_result_is_the_weighted_mean_that_numpy_computes() -> None:
    class Site:
        @flk.collab
        def train(self, model: flk.FLModel) -> Any:
            return np.random.default_rng(flk.seed()).normal(size=500), int(flk.site[5:])

    workflow = flk.workflow.fedavg(np.zeros(500), rounds=1)
    done = flk.Recipe("mean", workflow, Site, trackers=[]).execute(flk.env.sim(9))

    class Collects:
        @flk.algo
        def ask(self) -> Any:
            for _ in flk.rounds(1):
                return list(flk.clients.train(flk.FLModel()))

    pairs = flk.Recipe("mean", Collects, Site, trackers=[]).execute(flk.env.sim(9)).value()
    values, weights = zip(*pairs, strict=True)
    assert np.allclose(done.result.params, np.average(values, axis=0, weights=weights), rtol=1e-14)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    assert_same(run(Honest()).value(), run(Honest(), env={"executor": "threads"}).value())


def test_a_state_dict_of_torch_is_averaged_with_its_counters_and_loads_again() -> None:
    torch = pytest.importorskip("torch")

    def network() -> Any:
        return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).double()

    class Site:
        @flk.collab
        def train(self, model: flk.FLModel) -> Any:
            net = network()
            net.load_state_dict(model.params)
            torch.manual_seed(flk.seed())
            net.train()(torch.randn(8, 4, dtype=torch.float64)).square().sum().backward()
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.1 * p.grad
            return flk.FLModel(net.state_dict(), meta={"weight": int(flk.site[5:])})

    torch.manual_seed(0)
    start = network().state_dict()
    workflow = flk.workflow.fedavg(start, rounds=2)
    result = flk.Recipe("torch", workflow, Site, trackers=[]).execute(flk.env.sim(3)).value()
    network().load_state_dict(result.params, strict=True)
    assert {k: v.dtype for k, v in result.params.items()} == {k: v.dtype for k, v in start.items()}
    assert result.params["1.num_batches_tracked"] == 2
    assert not torch.equal(result.params["0.weight"], start["0.weight"])


# poison -------------------------------------------------------------------------------------------


def with_leaf(value: Any) -> Callable[[flk.FLModel], flk.FLModel]:
    def deed(model: flk.FLModel) -> flk.FLModel:
        model.params["body"]["w"] = value
        return model

    return deed


def with_weight(value: Any) -> Callable[[flk.FLModel], flk.FLModel]:
    return lambda model: flk.FLModel(model.params, meta={"weight": value})


def in_round(shift: int) -> Callable[[flk.FLModel], flk.FLModel]:
    return lambda model: flk.FLModel(model.params, current_round=model.current_round + shift)


def poke(value: float) -> Callable[[flk.FLModel], flk.FLModel]:
    def deed(model: flk.FLModel) -> flk.FLModel:
        model.params["heads"][0][1] = value
        return model

    return deed


def without_key(model: flk.FLModel) -> flk.FLModel:
    del model.params["steps"]
    return model


def with_key(model: flk.FLModel) -> flk.FLModel:
    model.params["backdoor"] = np.ones(3)
    return model


class Sly(np.ndarray[Any, Any]):
    """Writes into what it is added to."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        for target in options.get("out", ()):
            target[...] = math.nan
        return options["out"][0]


class Unreadable(float):
    def __float__(self) -> float:
        raise ZeroDivisionError("never")


POISON = {
    "a NaN": (poke(math.nan), "NaN"),
    "an infinity": (poke(math.inf), "infinite"),
    "a huge number": (poke(1e30), "norm"),
    "another shape": (with_leaf(np.ones((2, 3), np.float32)), "shape"),
    "another dtype": (with_leaf(np.ones((3, 2))), "dtype"),
    "a leaf of text": (with_leaf("ones"), "str"),
    "a missing key": (without_key, "lacks the key 'steps'"),
    "an unknown key": (with_key, "unknown key 'backdoor'"),
    "no parameters": (lambda model: flk.FLModel(), "NoneType"),
    "nothing": (lambda model: None, "NoneType"),
    "a sentence": (lambda model: "no", "str"),
    "a negative weight": (with_weight(-5), "weight"),
    "a weight of nothing": (with_weight(0), "weight"),
    "a huge weight": (with_weight(1e15), "weight"),
    "a weight that is NaN": (with_weight(math.nan), "weight"),
    "a weight of text": (with_weight("many"), "weight"),
    "a stale round": (in_round(-1), "round"),
    "a round to come": (in_round(1), "round"),
    "another kind of parameters": (
        lambda model: flk.FLModel(model.params, flk.ParamsType.DIFF),
        "params_type",
    ),
    "an array with a mask": (with_leaf(np.ma.ones((3, 2), np.float32)), "MaskedArray"),
    "an array that adds itself up": (with_leaf(np.ones((3, 2), np.float32).view(Sly)), "Sly"),
    "a weight in an array": (with_weight(np.array([1, 2])), "weight"),
    "a weight that raises": (with_weight(Unreadable(3)), "ZeroDivisionError"),
    "a metric that raises": (
        lambda m: flk.FLModel(m.params, metrics={"loss": Unreadable(3)}),
        "ZeroDivisionError",
    ),
    "a metric of text": (lambda m: flk.FLModel(m.params, metrics={"loss": "low"}), "metric"),
}


def gives_up(model: flk.FLModel) -> Any:
    raise RuntimeError("gave up")


@pytest.fixture(scope="module")
def without_the_bad_site() -> flk.FLModel:
    result: flk.FLModel = run(OneBad(gives_up)).value()
    return result


@pytest.mark.parametrize("kind", POISON)
def test_poison_is_refused_by_name_and_the_others_are_averaged(
    kind: str, without_the_bad_site: flk.FLModel
) -> None:
    deed, complaint = POISON[kind]
    done = run(OneBad(deed))
    assert_same(done.value(), without_the_bad_site)
    refusals = [line.text for line in done.logs if line.site == "server"]
    assert len(refusals) == 2  # one a round
    assert all(BAD in text and "refused" in text and complaint in text for text in refusals)


@pytest.mark.parametrize("dtype", [object, "M8[s]", "m8[s]", "U3", [("a", "f8")]])
def test_what_holds_no_numbers_is_not_averaged_though_nothing_else_was_declared(dtype: Any) -> None:
    class Site:
        @flk.collab
        def train(self) -> Any:
            return np.zeros(2, dtype) if flk.site == "site-1" else np.full(2, float(flk.site[5:]))

    class Server:
        @flk.algo
        def algo(self) -> Any:
            results = flk.clients.train()
            return results.reduce("mean").tolist(), str(results.failures["site-1"])

    mean, refusal = flk.Recipe("form", Server, Site, trackers=[]).execute(flk.env.sim(3)).value()
    assert mean == [2.5, 2.5]
    assert "holds no numbers" in refusal


def test_a_number_of_numpy_is_a_number_whoever_answers_first() -> None:
    class Site:
        @flk.collab
        def train(self, model: Any) -> Any:
            loss = 0.25 * int(flk.site[5:])
            return {"w": model["w"], "loss": np.float64(loss) if loss < 0.5 else loss}

    class Server:
        @flk.algo
        def algo(self) -> Any:
            sent = {"w": np.zeros(2), "loss": 0.0}
            return flk.clients.train(sent).reduce("mean")["loss"]

    assert flk.Recipe("mixed", Server, Site, trackers=[]).execute(flk.env.sim(3)).value() == 0.5


def test_a_stale_result_is_welcome_where_staleness_is_allowed() -> None:
    done = run(OneBad(in_round(-1)), staleness=1)
    assert done.status == "completed"
    assert [line.text for line in done.logs] == []


def test_poison_from_the_site_that_answers_first_does_not_set_the_form_for_the_others() -> None:
    class FirstBad:
        @flk.collab
        def train(self, model: flk.FLModel) -> Any:
            return {"wrong": np.ones(1)} if flk.site == "site-1" else trained(model)

    done = run(FirstBad())
    assert done.status == "completed"
    assert done.result.params["steps"] == 9


def test_a_second_result_of_a_site_does_not_count() -> None:
    repeated = run(Honest(), env={"faults": {BAD: {"repeat": [0, 1]}}})
    assert_same(repeated.value(), run(Honest()).value())


def test_poison_from_everybody_ends_the_run_with_every_site_named() -> None:
    done = run(Honest(), env={"faults": {"nan": 1.0}})
    assert isinstance(done.error, QuorumError)
    assert list(done.error.failures) == ["site-1", "site-2", "site-3", "site-4"]


# late and lost sites ------------------------------------------------------------------------------


def test_a_site_that_is_late_is_not_waited_for_longer_than_the_grace() -> None:
    faults = {"site-4": {"delay": 50.0}}
    done = run(Honest(), min_results=3, grace=10.0, env={"faults": faults})
    assert done.status == "completed"
    assert all("site-4" in line.text for line in done.logs)
    assert len(done.logs) == 2


def test_a_site_beyond_the_timeout_is_named_and_left_out() -> None:
    done = run(Honest(), rounds=1, timeout=60.0, env={"faults": {"site-4": {"late": 0}}})
    assert done.status == "completed"
    assert ["site-4" in line.text for line in done.logs] == [True]


def test_fewer_results_than_wanted_end_the_run() -> None:
    done = run(Honest(), min_results=1.0, env={"faults": {"site-4": {"drop": 1}}})
    assert isinstance(done.error, QuorumError)
    assert done.rounds == 1


# death of the server ------------------------------------------------------------------------------

RESUMES = """
    import os, signal, sys
    import flk, numpy as np

    folder, where = sys.argv[1:]

    def die(place):
        if place == where and flk.context.round == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    class Site:
        @flk.collab
        def train(self, model):
            flk.state["seen"] = flk.state.get("seen", 0) + 1
            die("train")
            params = model.params
            params["w"] += np.random.default_rng(flk.seed()).normal(size=5) * flk.state["seen"]
            return flk.FLModel(params, metrics={"seen": flk.state["seen"]})

    def adam(params, average, state):
        die("optimizer")
        m = state["m"] = 0.9 * state.get("m", 0) + 0.1 * (average["w"] - params["w"])
        v = state["v"] = 0.99 * state.get("v", 0) + 0.01 * (average["w"] - params["w"]) ** 2
        state["t"] = state.get("t", 0) + 1
        return {"w": params["w"] + 0.3 * m / (np.sqrt(v) + 1e-3)}

    def evaluate(params):
        die("evaluate")
        return {"norm": np.linalg.norm(params["w"])}

    workflow = flk.workflow.fedavg(
        {"w": np.zeros(5)}, rounds=6, sample=3, server_optimizer=adam, evaluate=evaluate
    )
    run = flk.Recipe("resumes", workflow, Site, trackers=[]).execute(
        flk.env.sim(7, folder=folder)
    )
    print(run.rounds, run.value().params["w"].tobytes().hex(), run.result.metrics)
"""


def child(code: str, *arguments: Any, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = child(RESUMES, tmp_path_factory.mktemp("run"), "nowhere")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("where", ["train", "optimizer", "evaluate"])
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(
    where: str, undisturbed: str, tmp_path: Path
) -> None:
    killed = child(RESUMES, tmp_path, where)
    assert killed.returncode == -signal.SIGKILL
    assert not killed.stdout
    again = child(RESUMES, tmp_path, "nowhere")
    assert again.stdout == undisturbed, again.stderr


# memory -------------------------------------------------------------------------------------------

MEMORY = """
    import sys
    import flk, numpy as np

    family, kind, size, sites, rounds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    before, kept = [], []

    def resident(field):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))

    class Site:
        @flk.collab
        def train(self, model):
            if flk.site == "site-1" and model.current_round == rounds - 1:
                before.append(resident("VmRSS") - size)  # without the copy that came here
            model.params["w"] *= 0.5
            if family == "kept":
                kept.append(model.params)
            return flk.FLModel(model.params, flk.ParamsType(kind), meta={"weight": 3})

    if family == "torch":
        import torch
        torch.set_num_threads(1)
        initial = {"w": torch.ones(size // 4)}
    else:
        initial = {"w": np.ones(size // 4, np.float32)}
    workflow = flk.workflow.fedavg(initial, rounds)
    flk.Recipe("memory", workflow, Site, trackers=[]).execute(flk.env.sim(sites)).value()
    print((resident("VmHWM") - before[0]) / size)
"""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak from /proc"
)


def peak_in_models(family: str, kind: str, size: int, sites: int) -> float:
    """What the last of two rounds takes beside the model that it began with, over the size of a
    result. The bound leaves room for the allocator; keeping results would take as many as sites."""
    done = child(MEMORY, family, kind, size, sites, 2)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@needs_proc
@pytest.mark.parametrize("family", ["numpy", "torch"])
@pytest.mark.parametrize("kind", list(flk.ParamsType))
def test_a_round_takes_two_models_however_many_sites_there_are(family: str, kind: str) -> None:
    pytest.importorskip(family)
    assert peak_in_models(family, kind, 40_000_000, sites=16) < 2.5


@needs_proc
def test_the_measure_of_memory_sees_results_that_are_kept() -> None:
    assert peak_in_models("kept", "FULL", 10_000_000, sites=16) > 12.0


@needs_proc
@pytest.mark.slow
def test_64_results_of_100_megabytes_are_averaged_in_the_memory_of_two() -> None:
    assert peak_in_models("numpy", "FULL", 100_000_000, sites=64) < 2.5
