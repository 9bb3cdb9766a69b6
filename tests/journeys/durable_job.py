"""A job that says on stdout where it is, to be killed there. Arguments: folder, seed."""

from __future__ import annotations

import hashlib
import sys

import flk
import numpy as np

ROUNDS = 6


def say(*words: object) -> None:
    print(*words, flush=True)


class Site:
    @flk.collab
    def train(self, weights: np.ndarray) -> tuple[np.ndarray, int]:
        say("site", flk.site)
        rng = np.random.default_rng(flk.seed())
        flk.state["momentum"] = 0.5 * flk.state.get("momentum", np.zeros(5)) + rng.normal(size=5)
        flk.state["calls"] = flk.state.get("calls", 0) + 1
        return weights + flk.state["momentum"], 1 + flk.rng().randrange(10)

    @flk.collab
    def tell(self) -> list[object]:
        return [flk.state.get("calls", 0), flk.state.get("momentum", np.zeros(5)).tobytes().hex()]


class Server:
    @flk.algo
    def main(self) -> str:
        rounds = flk.rounds(ROUNDS, state={"weights": np.zeros(5), "sampled": []})
        for r in rounds:
            say("round", r.number)
            sample = sorted(flk.rng().sample(flk.clients.names, 3))
            r.state["weights"] = flk.clients[sample].train(r.state["weights"]).reduce("mean")
            r.state["sampled"] += [sample]
        say("second loop")
        more = flk.rounds(4, state={"draws": []})
        for r in more:
            r.state["draws"].append(flk.rng().random())
            say("more", r.number)
            if r.number == 1:
                r.stop()
        state = rounds.state
        facts = state["weights"].tobytes(), state["sampled"], more.state, list(flk.clients.tell())
        return hashlib.sha256(repr(facts).encode()).hexdigest()


if __name__ == "__main__":
    env = flk.env.sim(num_clients=5, seed=int(sys.argv[2]), folder=sys.argv[1])
    run = flk.Recipe("durable", Server, Site, trackers=[]).execute(env)
    if run.error is not None:
        raise run.error
    say("result", run.result, run.rounds)
