"""What is received or stored is data: Python itself is asked whether any of it was executed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHILD = """
import random, sys

import flk, numpy as np, torch
from flk.errors import FlkError
from flk.testing.collab import Algorithm
from flk.wire import Codecs, decode, encode

EVENTS = {"pickle.find_class", "marshal.loads", "exec", "compile", "import", "open",
          "os.system", "subprocess.Popen", "socket.connect", "ctypes.dlopen"}
watched, seen = set(), set()
sys.addaudithook(lambda event, args: seen.add(event) if event in watched else None)

sparse, parameter = torch.ones(3).to_sparse(), torch.nn.Parameter(torch.ones(1))
model = {"w": np.ones((2, 3)), "t": sparse, "p": parameter}


class Site:
    @flk.collab
    def train(self, model):
        flk.state["last"] = model
        return model


def algo():
    for r in flk.rounds(3, state={"model": model}):
        r.state["model"] = flk.clients[0].train(r.state["model"])
        if r.number == 1 and not flk.clients[1].train(len(sys.argv) == 3):
            raise ConnectionError("the process died here")


def run():
    environment = flk.env.sim(2, folder=sys.argv[1], strict=True)
    return flk.Recipe("data", Algorithm(algo), Site, trackers=[]).execute(environment).status


watched = {"pickle.find_class"}
assert run() == "failed"
sys.argv.append("again")
assert run() == "completed"

codecs, draw = Codecs(), random.Random(7)
values = [model, flk.FLModel(model), ValueError("x"), {1: (b"x", None, 1 << 99)}]
messages = [encode(value, codecs) for value in values]
for message in messages:
    decode(message.skeleton, message.owned().buffers, codecs)
watched = EVENTS
outcomes = set()
for _ in range(20_000):
    message = draw.choice(messages)
    skeleton = bytearray(message.skeleton)
    for _ in range(draw.randint(1, 3)):
        skeleton[draw.randrange(len(skeleton))] = draw.randrange(256)
    try:
        decode(bytes(skeleton), message.owned().buffers, codecs)
        outcomes.add("decoded")
    except FlkError as error:
        outcomes.add(error.code)
watched = set()
print(sorted(seen), sorted(outcomes))
"""


def test_no_message_and_no_checkpoint_is_unpickled_imported_or_opened(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith("[] ["), child.stdout
    assert "DECODE" in child.stdout and "decoded" in child.stdout
