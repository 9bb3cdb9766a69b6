"""Flower's simulation: clients that return the model as they got it.

    python with_flower.py SITES ROUNDS

Prints `{"seconds": ...}` for each round. Runs in Flower's own interpreter.
"""

import json
import sys
import time

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

PARAMETERS = 10_000

client = ClientApp()


@client.train()
def train(message, context):
    reply = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 10})}
    return Message(content=RecordDict(reply), reply_to=message)


class Clock:
    def __init__(self):
        self.last = None

    def __call__(self, number, arrays):
        now = time.perf_counter()
        if self.last is not None:
            print(json.dumps({"seconds": now - self.last}), flush=True)
        self.last = now


def main(sites, rounds):
    server = ServerApp()

    @server.main()
    def average(grid, context):
        strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=sites)
        strategy.start(
            grid,
            initial_arrays=ArrayRecord([np.ones(PARAMETERS, np.float32)]),
            num_rounds=rounds,
            evaluate_fn=Clock(),
        )

    run_simulation(
        server,
        client,
        num_supernodes=sites,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0}},
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
