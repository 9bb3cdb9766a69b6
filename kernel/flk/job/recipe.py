"""Recipe: what a user writes down to have a job run anywhere: server code, site code, settings. It
runs nothing."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from flk.calls.app import App, ClientApp, ModuleWrapper, ServerApp, instance
from flk.calls.decorators import mark_of
from flk.errors import ConfigError, UsageError
from flk.spi.workflow import Workflow
from flk.wire import Codecs

if TYPE_CHECKING:
    from flk.job.run import Run
    from flk.spi.environment import Environment
    from flk.spi.tracker import Tracker

__all__ = ["Recipe"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

loading: ContextVar[str] = ContextVar("flk_loading", default="")
"""The file or module that is being searched for a recipe: nothing may be executed meanwhile."""


class Recipe:
    """A federated job, ready to run anywhere: `flk.Recipe("digits").execute(flk.env.sim(5))`.

    job_name: letters, digits, `.`, `_`, `-`; at most 63 characters.
    server: an object, class or module with one `@flk.algo` function, or a workflow.
    client: an object, class, module or factory with `@flk.collab` functions; each site gets an
        instance of its own. What is not given is looked for in the calling module.
    min_clients: fewest sites that must start; an environment with fewer is refused.
    server_objects, client_objects: named child objects, called by `flk.clients(target="name")`.
    trackers: names or Tracker objects; None takes `jsonl` if it is installed.
    config: settings with their defaults, read by everybody as `flk.props`; parameters of the
        algorithm that have the name of a setting are filled from it.
    site_config: site name to settings that only this site sees.
    types: dataclasses, namedtuples and enums that shall travel, by the name they travel under:
        `{"acme.Point/1": Point}`.
    """

    def __init__(
        self,
        job_name: str,
        server: Any = None,
        client: Any = None,
        *,
        min_clients: int = 1,
        server_objects: Mapping[str, Any] | None = None,
        client_objects: Mapping[str, Any] | None = None,
        trackers: Sequence[str | Tracker] | None = None,
        config: Mapping[str, Any] | None = None,
        site_config: Mapping[str, Mapping[str, Any]] | None = None,
        types: Mapping[str, type] | None = None,
    ) -> None:
        if not isinstance(job_name, str) or not _NAME.fullmatch(job_name):
            raise UsageError(
                f"{job_name!r} is not a job name",
                cure="Use at most 63 letters, digits, '.', '_' and '-', a letter or digit first",
            )
        if not isinstance(min_clients, int) or min_clients < 1:
            raise UsageError(f"min_clients={min_clients!r} is not a count of at least 1")
        here = _calling_module() if server is None or client is None else None
        self.job_name = job_name
        self.min_clients = min_clients
        self.server = server if server is not None else _need(here, "algo", "server")
        self.client = client if client is not None else _need(here, "collab", "client")
        self.server_objects = dict(server_objects or {})
        self.client_objects = dict(client_objects or {})
        self.trackers = None if trackers is None else list(trackers)
        self.config = dict(config or {})
        self.site_config = {site: dict(values) for site, values in (site_config or {}).items()}
        self.types = dict(types or {})
        self.codecs()

    def codecs(self) -> Codecs:
        """What travels in this job: the kernel's types, those of `types`, and those of serializers,
        which join when they are first met."""
        codecs = Codecs()
        for name, cls in self.types.items():
            codecs.register(cls, name)
        return codecs

    def server_app(self) -> ServerApp:
        """The server's code, made anew: one run never sees what another left in it."""
        made = self.server
        made = made.server() if isinstance(made, Workflow) else instance(made, maker="")
        objects = self.server_objects.items()
        return ServerApp(made, {name: instance(part, maker="") for name, part in objects})

    def client_app(self) -> ClientApp:
        """The sites' code; `for_site()` makes each site's own."""
        if not isinstance(self.server, Workflow):
            return ClientApp(self.client, self.client_objects)
        workflow, user = self.server, ClientApp(self.client)
        app = ClientApp(_SiteHalf(workflow, user), self.client_objects)
        missing = [name for name in workflow.calls if name not in app.exports]
        if missing:
            raise UsageError(
                f"the workflow calls {missing[0]}() at the sites, which do not export it",
                cure=f"Write there: @flk.collab def {missing[0]}(...)",
            )
        return app

    def settings(self) -> dict[str, Any]:
        """Every setting with its value: those of `config` and the algorithm's parameters;
        `inspect.Parameter.empty` where one still needs a value."""
        parameters = inspect.signature(self.server_app().algo).parameters
        return {name: p.default for name, p in parameters.items()} | self.config

    def check_sites(self, sites: Sequence[str]) -> None:
        """For environments, before anything runs: ConfigError if the job cannot run with these
        sites."""
        if len(sites) < self.min_clients:
            raise ConfigError(
                f"the job needs {self.min_clients} sites, and there are {len(sites)}",
                cure="Give the environment more sites or the recipe fewer min_clients",
            )
        unknown = sorted(set(self.site_config).difference(sites))
        if unknown:
            raise ConfigError(f"site_config names {unknown[0]!r}, which is not a site here")

    def set(self, values: Mapping[str, Any]) -> None:
        """Change settings; one that neither `config` nor the algorithm's parameters know is a
        ConfigError."""
        known = self.settings()
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise ConfigError(
                    f"the job {self.job_name!r} has no setting {name!r}",
                    cure=f"Did you mean {near[0]!r}?"
                    if near
                    else f"It has: {', '.join(known) or 'none'}",
                )
        self.config.update(values)

    def arguments(self, app: ServerApp) -> dict[str, Any]:
        """What the algorithm is called with: the settings of the names of its parameters."""
        found = {}
        parameters = inspect.signature(app.algo).parameters
        for name in set(self.config) - set(parameters):
            near = difflib.get_close_matches(name, set(parameters) - set(self.config), 1, 0.8)
            if near:
                raise ConfigError(
                    f"the algorithm has no parameter {name!r}", cure=f"Did you mean {near[0]!r}?"
                )
        for name, parameter in parameters.items():
            if name in self.config:
                found[name] = self.config[name]
            elif parameter.default is parameter.empty and parameter.kind in (
                parameter.POSITIONAL_OR_KEYWORD,
                parameter.KEYWORD_ONLY,
            ):
                raise ConfigError(
                    f"the algorithm needs a setting {name!r}",
                    cure=f"Give it a default, or Recipe(config={{{name!r}: ...}})",
                )
        return found

    def execute(self, env: Environment, wait: bool = True) -> Run:
        """Run in an environment. With `wait` until the end: Ctrl-C then aborts the run in good
        order and waits for it; a second one ends at once. Raises what keeps the run from starting;
        how it went is in the Run."""
        if searched := loading.get():
            raise UsageError(
                f"{searched} executes its recipe while it is loaded",
                cure='Put that under: if __name__ == "__main__":',
            )
        if not hasattr(env, "deploy"):
            raise UsageError(f"{env!r} is no environment", cure="Give one, such as flk.env.sim(5)")
        run = env.deploy(self)
        if wait:
            try:
                run.wait()
            except KeyboardInterrupt:
                print("Stopping in good order; Ctrl-C again ends at once.", file=sys.stderr)
                run.abort("interrupted by the user")
                run.wait()
        return run

    def __repr__(self) -> str:
        return f"<Recipe {self.job_name}>"


class _SiteHalf:
    """Makes each site's half of a workflow around the user's instance of that site."""

    def __init__(self, workflow: Workflow, user: ClientApp) -> None:
        self._workflow, self._user = workflow, user

    def make_client_app(self) -> Any:
        user = self._user.for_site()
        return App(self._workflow.client(user.target), user.children)


def _calling_module() -> ModuleWrapper | None:
    frame = sys._getframe(2)
    spec = frame.f_globals
    return ModuleWrapper.of(spec, spec.get("__name__", "__main__"))


def _need(module: ModuleWrapper | None, mark: str, word: str) -> ModuleWrapper:
    if module is None or not any(mark_of(getattr(module, name)) == mark for name in dir(module)):
        raise UsageError(
            f"the recipe has no {word} code",
            cure=f"Give Recipe({word}=...) or decorate a function of this module with @flk.{mark}",
        )
    return module
