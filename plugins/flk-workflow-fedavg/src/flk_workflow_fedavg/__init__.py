"""Federated averaging: the aggregator `mean`."""

from flk_workflow_fedavg.mean import Mean

__all__ = ["Mean"]
