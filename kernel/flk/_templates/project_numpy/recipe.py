"""The job: server code, site code, settings. `flk run` looks for `recipe`."""

import client
import flk
import server

recipe = flk.Recipe("PROJECT", server=server, client=client.Site, min_clients=2)

if __name__ == "__main__":
    run = recipe.execute(flk.env.sim(num_clients=5))
    print(run.status, run.last())
