from typing import Any

import pytest
from flk.spi.aggregator import Aggregator
from flk.spi.workflow import Workflow
from flk.testing.aggregator import AggregatorSuite
from flk.testing.workflow import WorkflowSuite
from flk_workflow_fedavg import FedAvg, Mean


def momentum(params: Any, average: Any, state: dict[str, Any]) -> Any:
    state["step"] = 0.9 * state.get("step", 0.0) + average["w"] - params["w"]
    return {"w": params["w"] + state["step"]}


class TestFedAvg(WorkflowSuite):
    capabilities = frozenset({"durable", "tolerant"})

    def make(self) -> Workflow:
        return FedAvg({"w": 1.0}, rounds=3)


class TestFedAvgWithASampleAndAnOptimiser(WorkflowSuite):
    def make(self) -> Workflow:
        return FedAvg({"w": 1.0}, rounds=3, sample=2, server_optimizer=momentum)


class TestMean(AggregatorSuite):
    def make(self) -> Aggregator:
        return Mean()


class TestMeanOfNumpy(TestMean):
    def setup_method(self) -> None:
        pytest.importorskip("flk_serializer_numpy")
        super().setup_method()

    def array(self, values: Any, dtype: str = "float32") -> Any:
        import numpy as np

        return np.array(values, dtype)

    def codecs(self) -> Any:
        from flk.wire import Codecs

        codecs = Codecs()
        codecs.add("numpy")
        return codecs


class TestMeanOfTorch(TestMean):
    def setup_method(self) -> None:
        pytest.importorskip("flk_serializer_torch")
        super().setup_method()

    def array(self, values: Any, dtype: str = "float32") -> Any:
        import torch

        return torch.tensor(values, dtype=getattr(torch, dtype))

    def dtype(self, array: Any) -> str:
        return str(array.dtype).removeprefix("torch.")

    def codecs(self) -> Any:
        from flk.wire import Codecs

        codecs = Codecs()
        codecs.add("torch")
        return codecs
