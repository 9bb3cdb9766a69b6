"""Federated averaging (McMahan et al. 2017, Algorithm 1), with sampling and a server optimiser
(Reddi et al. 2021).

The sites' half is the user's own code: one exported function `train(model)`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flk
from flk.calls import Guard, Reduction
from flk.calls.trees import arrays_of, flatten, unflatten
from flk.errors import UsageError
from flk.model import FLModel, ParamsType
from flk.spi.aggregator import Aggregator
from flk.spi.workflow import Workflow

__all__ = ["FedAvg"]

_log = logging.getLogger("flk")
ServerOptimizer = Callable[[Any, Any, dict[str, Any]], Any]


class FedAvg(Workflow):
    """`flk.workflow.fedavg(initial, rounds=10)`.

    Each round sends `FLModel(params, current_round, total_rounds)` to `train(model)` of the sampled
    sites and expects back an FLModel (`meta["weight"]` its number of samples, `metrics` if any;
    `params_type` FULL, or DIFF if its params are to be added to those received),
    `(params, samples)` or params alone. Results are added as they arrive and freed; one that the
    guard refuses is left out, named in the log, and the round goes on with the others. The sites'
    metrics are averaged by weight and logged at the server. The result of the run is the final
    FLModel.

    initial: parameters to start from: nested dicts, lists or tuples of arrays; or a function that
        returns them, called at the server.
    rounds: how many.
    sample: how many sites a round asks, as a count or as a share of those present (rounded, at
        least one); drawn from the run's seed and the round.
    min_results, grace, timeout: see CallOption; a share is one of the sites that were asked.
    aggregator: name or class of an aggregator.
    server_optimizer: `f(params, average, state) -> new params`, of the same keys, shapes and
        dtypes; it may change what it is given. `state` is a dict of its own that survives crashes:
        what the serializers carry. Without it the average is the new model.
    evaluate: `f(params) -> metrics` at the server after each round; logged with the sites' metrics,
        which they replace where they have the same name.
    max_norm, staleness: see Guard.
    """

    calls: ClassVar[tuple[str, ...]] = ("train",)

    def __init__(
        self,
        initial: Any,
        rounds: int = 5,
        *,
        sample: int | float = 1.0,
        min_results: int | float | None = None,
        grace: float | None = None,
        timeout: float | None = None,
        aggregator: str | type[Aggregator] = "mean",
        server_optimizer: ServerOptimizer | None = None,
        evaluate: Callable[[Any], Mapping[str, float]] | None = None,
        max_norm: float = 1e18,
        staleness: int = 0,
    ) -> None:
        is_count = type(sample) is int and sample > 0
        if not is_count and not (isinstance(sample, float) and 0.0 < sample <= 1.0):
            raise UsageError(
                f"sample={sample!r} is neither a count nor a share of the sites",
                cure="Give an integer of at least 1, or a float above 0 and at most 1",
            )
        self.initial = initial
        self.rounds = rounds
        self.sample = sample
        self.options = {"min_results": min_results, "grace": grace, "timeout": timeout}
        self.aggregator = aggregator
        self.server_optimizer = server_optimizer
        self.evaluate = evaluate
        self.max_norm = max_norm
        self.staleness = staleness

    def server(self) -> Any:
        return _Server(self)


class _Server:
    def __init__(self, plan: FedAvg) -> None:
        self._plan = plan

    @flk.algo
    def fed_avg(self, rounds: int | None = None) -> FLModel:
        plan = self._plan
        total = plan.rounds if rounds is None else rounds
        durable = flk.rounds(
            total,
            state={
                "params": plan.initial() if callable(plan.initial) else plan.initial,
                "optimizer": {},
                "metrics": {},
            },
        )
        for r in durable:
            self._turn(r.number, total, r.state)
        state = durable.state
        return FLModel(state["params"], metrics=state["metrics"], total_rounds=total)

    def _turn(self, number: int, total: int, state: dict[str, Any]) -> None:
        """One round; nothing of it but the state is held during the next."""
        average = self._average(FLModel(state["params"], current_round=number, total_rounds=total))
        metrics = dict(average.metrics)
        state["params"] = self._step(state, average)
        if self._plan.evaluate is not None:
            metrics.update(self._plan.evaluate(state["params"]))
        state["metrics"] = {name: float(value) for name, value in metrics.items()}
        flk.log(state["metrics"])

    def _average(self, model: FLModel) -> FLModel:
        plan = self._plan
        guard = Guard(
            model.params,
            max_norm=plan.max_norm,
            round=model.current_round,
            staleness=plan.staleness,
        )
        reduction = Reduction(plan.aggregator, model.params, guard)
        results = self._sampled()(blocking=False, **plan.options).train(model)
        average = results.reduce(reduction)
        for site, error in results.failures.items():
            _log.warning("round %s goes on without %s: %s", model.current_round, site, error)
        return average if isinstance(average, FLModel) else FLModel(average)

    def _sampled(self) -> Any:
        present, sample = flk.clients.names, self._plan.sample
        count = max(1, round(sample * len(present))) if isinstance(sample, float) else sample
        if count >= len(present):
            return flk.clients
        drawn = set(flk.rng().sample(present, count))
        return flk.clients[[name for name in present if name in drawn]]

    def _step(self, state: dict[str, Any], average: FLModel) -> Any:
        params = average.params
        if average.params_type is ParamsType.DIFF:
            params = _sum(state["params"], params)
        if self._plan.server_optimizer is None:
            return params
        guard = Guard(params, max_norm=self._plan.max_norm)
        stepped = self._plan.server_optimizer(state["params"], params, state["optimizer"])
        return guard.admit("the server's optimizer", FLModel(stepped))[0]


def _sum(left: Any, right: Any) -> Any:
    """left + right, leaf by leaf, in the dtypes of `left`."""
    leaves, structure = flatten(left)
    sums = []
    for x, y in zip(leaves, structure.leaves(right), strict=True):
        arrays = arrays_of(type(x))
        assert arrays is not None
        total = arrays.accumulator(x)
        arrays.axpy(total, x, 1.0)
        arrays.axpy(total, y, 1.0)
        sums.append(arrays.cast(total, arrays.dtype(x)))
    return unflatten(sums, structure)
