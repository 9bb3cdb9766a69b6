"""A reduction: the guard in front of an aggregator. Every tier sums through it; it knows nothing of
calls or transport.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, cast

from flk.calls.guard import Guard, as_float, of_site, unreadable
from flk.errors import ContributionRefused
from flk.model import FLModel, ParamsType
from flk.spi.aggregator import Aggregator

__all__ = ["Reduction"]

_HUGE = 1e280
"""A metric beyond it counts as not finite: its weighted sum could leave float64."""


class Reduction:
    """One aggregation of guarded contributions. Used by one thread at a time.

    aggregator: the name of a plugin, a class, or an instance that was not used yet.
    reference: the value that the sites started from; see Guard. `guard` replaces the default one.

    Contributions are what `flk.calls.guard.split` takes. FLModels give an FLModel: parameters
    aggregated, each metric averaged by weight over the sites that report a finite number for it,
    `meta["weight"]` the total; `extra` is left behind.
    """

    def __init__(
        self,
        aggregator: str | Aggregator | type[Aggregator],
        reference: Any = None,
        guard: Guard | None = None,
    ) -> None:
        if isinstance(aggregator, str):
            from flk.registry import load

            aggregator = cast("type[Aggregator]", load("aggregator", aggregator))
        self._aggregator = aggregator() if isinstance(aggregator, type) else aggregator
        self._guard = Guard(reference) if guard is None else guard
        self.keeps = "needs_all" in self._aggregator.capabilities
        """Whether contributions are kept until the end, so that nobody may change them."""
        self._norms = "checks" not in self._aggregator.capabilities
        self.count = 0
        """Contributions so far."""
        self.weight = 0.0
        """The sum of their weights."""
        self._model: FLModel | None = None
        self._metrics: dict[str, tuple[float, float]] = {}
        tree = reference.params if isinstance(reference, FLModel) else reference
        self._aggregator.init(tree, max_norm=self._guard.max_norm)

    def add(self, site: str, value: Any, owned: bool = False) -> None:
        """Take a site's contribution. With `owned` its arrays may be overwritten and kept. Raises
        ContributionRefused, after which everything is as before."""
        tree, weight, model, schema = self._guard.check(site, value, norms=self._norms)
        metrics = {} if model is None else self._checked(site, model)
        if self.count and (model is None) is not (self._model is None):
            raise _refused(site, "all contributions should be FLModels, or none")
        try:
            self._aggregator.add(tree, weight, owned=owned)
        except ContributionRefused as refusal:
            raise of_site(site, refusal) from refusal.__cause__
        self._guard.heard(site, schema)
        self.count += 1
        self.weight += weight
        if model is not None:
            self._note(model, metrics, weight)

    def finish(self) -> Any:
        """The result. Raises ValueError if nothing was added."""
        result = self._aggregator.finish()
        model = self._model
        if model is None:
            return result
        number = model.current_round if self._guard.round is None else self._guard.round
        return FLModel(
            params=result,
            params_type=model.params_type,
            metrics={name: total / weight for name, (total, weight) in self._metrics.items()},
            current_round=number,
            total_rounds=model.total_rounds,
            meta={"weight": self.weight},
        )

    def _checked(self, site: str, model: FLModel) -> dict[str, float]:
        """The model's metrics, each as a float that is infinite or NaN if it was."""
        kind = model.params_type
        if not isinstance(kind, ParamsType):
            raise _refused(
                site, f"params_type should be a ParamsType and is a {type(kind).__name__}"
            )
        if self._model is not None and kind is not self._model.params_type:
            expected = self._model.params_type.value
            raise _refused(site, f"params_type should be {expected} and is {kind.value}")
        if not isinstance(model.metrics, dict) or not isinstance(model.meta, dict):
            raise _refused(site, "metrics and meta should be dicts")
        for name, number in model.metrics.items():
            if not isinstance(name, str) or not isinstance(number, Real):
                raise _refused(site, f"the metric {ascii(name)[:80]} should be a real number")
        try:
            return {name: as_float(number) for name, number in model.metrics.items()}
        except Exception as error:  # of the numbers that the site sent
            raise of_site(site, unreadable(error)) from error

    def _note(self, model: FLModel, metrics: dict[str, float], weight: float) -> None:
        if self._model is None:
            self._model = FLModel(
                params_type=model.params_type,
                current_round=model.current_round,
                total_rounds=model.total_rounds,
            )
        for name, number in metrics.items():
            if -_HUGE < number < _HUGE:
                total, weights = self._metrics.get(name, (0.0, 0.0))
                self._metrics[name] = total + weight * number, weights + weight


def _refused(site: str, what: str) -> ContributionRefused:
    return of_site(site, ContributionRefused(what, reason="type"))
