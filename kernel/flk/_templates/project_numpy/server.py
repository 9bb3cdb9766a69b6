"""The server: federated averaging."""

import data
import flk
import numpy as np


@flk.algo
def average(rounds: int = 10, epochs: int = 2, lr: float = 0.5) -> np.ndarray:
    """The parameters are settings; the weights that are returned are the result of the run."""
    images, labels = data.held_out()
    loop = flk.rounds(rounds, state={"weights": np.zeros((data.FEATURES, data.CLASSES))})
    for r in loop:
        results = flk.clients(min_results=0.8).train(r.state["weights"], epochs, lr)
        r.state["weights"] = results.reduce("mean")
        scores = images @ r.state["weights"]
        flk.log({"accuracy": float(np.mean(scores.argmax(axis=1) == labels))})
    if flk.context.folder:
        np.save(flk.context.folder / "weights.npy", loop.state["weights"])
    return loop.state["weights"]
