"""A reduction: the guard in front of an aggregator. Every tier sums through it; it knows nothing of
calls or transport.
"""

from __future__ import annotations

import math
from typing import Any

from flk.calls.guard import Guard, of_site
from flk.errors import ContributionRefused
from flk.model import FLModel
from flk.spi.aggregator import Aggregator

__all__ = ["Reduction"]


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

            aggregator = load("aggregator", aggregator)
        self._aggregator: Aggregator = aggregator() if isinstance(aggregator, type) else aggregator  # type: ignore[operator]
        self._guard = Guard(reference) if guard is None else guard
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
        tree, weight, schema = self._guard.check(site, value, norms=self._norms)
        model = self._model_of(site, value) if type(value) is not dict else None
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
            self._note(model, weight)

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

    def _model_of(self, site: str, value: Any) -> FLModel | None:
        model = value[0] if type(value) is tuple and len(value) == 2 else value
        if not isinstance(model, FLModel):
            return None
        if self._model is not None and model.params_type != self._model.params_type:
            raise _refused(
                site,
                f"params_type should be {self._model.params_type.value} and is "
                f"{model.params_type.value}",
            )
        for name, number in model.metrics.items():
            if not isinstance(number, (int, float)):
                raise _refused(site, f"metric {name!r} should be a number")
        return model

    def _note(self, model: FLModel, weight: float) -> None:
        if self._model is None:
            self._model = FLModel(
                params_type=model.params_type,
                current_round=model.current_round,
                total_rounds=model.total_rounds,
            )
        for name, number in model.metrics.items():
            if math.isfinite(number):
                total, weights = self._metrics.get(name, (0.0, 0.0))
                self._metrics[name] = total + weight * number, weights + weight


def _refused(site: str, what: str) -> ContributionRefused:
    return of_site(site, ContributionRefused(what, reason="type"))
