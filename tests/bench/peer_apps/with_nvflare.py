"""NVFlare's simulator and its collab API: sites that return the model as they got it.

    python with_nvflare.py SITES ROUNDS

Prints `{"seconds": ...}` for each round. Runs in NVFlare's own interpreter.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from nvflare.collab import CollabRecipe, collab
from nvflare.recipe import SimEnv

PARAMETERS = 10_000


class Site:
    @collab.publish
    def train(self, weights):
        return weights


class Server:
    def __init__(self, rounds: int):
        self.rounds = rounds

    @collab.main
    def average(self):
        weights = np.ones(PARAMETERS, np.float32)
        for _ in range(self.rounds):
            start = time.perf_counter()
            total = np.zeros(PARAMETERS, np.float32)
            results = collab.clients.train(weights)
            for _, update in results:
                total += update
            weights = total / len(list(results))
            print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


def main(sites, rounds):
    recipe = CollabRecipe("bench", Server(rounds), Site(), min_clients=sites, sync_task_timeout=600)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        recipe.execute(SimEnv(num_clients=sites, workspace_root=folder)).get_result()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
