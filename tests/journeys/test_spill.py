"""A slow first site does not make the others' results pile up in memory."""

from __future__ import annotations

import tempfile
import threading

import flk
import numpy as np

SITES = 12


class Site:
    answered = threading.Semaphore(0)

    @flk.collab
    def train(self, weights):
        number = int(flk.site.split("-")[1])
        if number == 1:
            for _ in range(SITES - 1):
                assert self.answered.acquire(timeout=30)
        weights += number / 7
        return weights, number


class Server:
    @flk.algo
    def mean(self):
        weights = np.zeros(400_000, np.float32)
        results = flk.clients(blocking=False).train(weights)
        return results.reduce("mean")


class Releasing(Site):
    @flk.collab
    def train(self, weights):
        value = super().train(weights)
        Site.answered.release()
        return value


def test_early_results_wait_on_disk_and_are_summed_in_the_order_of_the_sites(tmp_path, monkeypatch):
    aside = []
    real = tempfile.TemporaryFile
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda **options: aside.append(options) or real(**options)
    )
    spilled = flk.Recipe("spilled", Server, Releasing, trackers=[])
    early = spilled.execute(flk.env.sim(SITES, executor="threads", folder=tmp_path)).value()
    assert {options["dir"] for options in aside} == {tmp_path}
    for _ in range(SITES):
        Site.answered.release()
    in_turn = spilled.execute(flk.env.sim(SITES, executor="serial")).value()
    assert np.array_equal(early, in_turn)
