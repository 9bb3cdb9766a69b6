"""Federated averaging: the workflow `fedavg` and the aggregator `mean`."""

from flk_workflow_fedavg.fedavg import FedAvg
from flk_workflow_fedavg.mean import Mean

__all__ = ["FedAvg", "Mean"]
