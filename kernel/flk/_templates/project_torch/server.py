"""The server: federated averaging of a state dict."""

import data
import flk
import torch
from network import accuracy, network


@flk.algo
def average(rounds: int = 10, epochs: int = 2, lr: float = 0.05) -> dict[str, torch.Tensor]:
    """The parameters are settings; the state dict that is returned is the result of the run."""
    images, labels = data.held_out()
    model = network(flk.seed())
    loop = flk.rounds(rounds, state={"weights": model.state_dict()})
    for r in loop:
        results = flk.clients(min_results=0.8).train(r.state["weights"], epochs, lr)
        r.state["weights"] = results.reduce("mean")
        model.load_state_dict(r.state["weights"])
        flk.log({"accuracy": accuracy(model, images, labels)})
    if flk.context.folder:
        torch.save(loop.state["weights"], flk.context.folder / "weights.pt")
    return loop.state["weights"]
