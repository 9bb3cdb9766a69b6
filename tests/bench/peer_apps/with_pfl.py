"""pfl's simulated backend: users who return the model as they got it.

    python with_pfl.py SITES ROUNDS

Prints `{"seconds": ...}` for each round. Runs in pfl's own interpreter.
"""

import json
import sys
import time

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel

PARAMETERS = 10_000


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.ones(PARAMETERS))

    def loss(self, x):
        raise NotImplementedError

    def metrics(self, x):
        return {}


class Unchanged(FederatedAveraging):
    def train_one_user(self, initial_model_state, model, user_dataset, central_context):
        return model.get_model_difference(initial_model_state), Metrics()


class Clock(TrainingProcessCallback):
    def __init__(self):
        self.last = time.perf_counter()

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        now = time.perf_counter()
        print(json.dumps({"seconds": now - self.last}), flush=True)
        self.last = now
        return False, Metrics()


def main(sites, rounds):
    module = Model()
    model = PyTorchModel(
        module, torch.optim.SGD, central_optimizer=torch.optim.SGD(module.parameters(), lr=1.0)
    )
    data = np.zeros((10, 1), np.float32)
    users = FederatedDataset(
        lambda user: Dataset([data], user_id=user),
        get_user_sampler("minimize_reuse", list(range(sites))),
    )
    Unchanged().run(
        NNAlgorithmParams(
            central_num_iterations=rounds,
            evaluation_frequency=rounds + 1,
            train_cohort_size=sites,
            val_cohort_size=None,
        ),
        SimulatedBackend(users, users),
        model,
        NNTrainHyperParams(local_num_epochs=1, local_learning_rate=0.1, local_batch_size=10),
        callbacks=[Clock()],
        send_metrics_to_platform=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
