"""The job, in the simulator."""

import flk
from recipe import recipe


def test_three_rounds_teach_most_digits(tmp_path) -> None:
    recipe.set({"rounds": 3})
    run = recipe.execute(flk.env.sim(num_clients=4, folder=tmp_path))
    assert run.status == "completed", run.error
    assert run.last()["accuracy"] > 0.8
