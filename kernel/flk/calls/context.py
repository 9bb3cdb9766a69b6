"""Where am I: the context of running user code, and the names that read it (`flk.site`,
`flk.rng()`, `flk.log`).

A context variable, so it follows coroutines and `asyncio.to_thread` by itself, and a thread of the
user's own by `flk.carry`. Not for state of the kernel: whatever is not about the code that runs now
lives elsewhere.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from flk.calls import trees
from flk.errors import CallError, NotInRun, UsageError
from flk.spi.records import Fact, Metric, RunRecord
from flk.world import World

if TYPE_CHECKING:
    from flk.calls.app import App
    from flk.calls.dispatch import Dispatcher

__all__ = [
    "Context",
    "Participant",
    "RunScope",
    "carry",
    "current",
    "describe",
    "entered",
    "log",
    "rng",
    "seed",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_current: ContextVar[Context] = ContextVar("flk_context")


class RunScope:
    """What all participants of one run in this process share. The job layer fills it in.

    `emit` takes metrics and facts, `notify` and `listens` reach the bus.
    """

    def __init__(
        self,
        record: RunRecord,
        world: World,
        *,
        emit: Callable[[Metric | Fact], None] | None = None,
        notify: Callable[..., None] | None = None,
        listens: Callable[[str], bool] | None = None,
    ) -> None:
        self.record = record
        self.world = world
        self.emit = emit or (lambda record: None)
        self.notify = notify or (lambda hook, **arguments: None)
        self.listens = listens or (lambda hook: False)
        self.dispatcher: Dispatcher
        self.durable = False
        """Whether commits are stored, and with them what sites keep."""
        self.ledger: Any = None
        """The job layer's account of committed rounds."""
        self.seed: int = (
            record.seed if record.seed is not None else int.from_bytes(world.secret(8), "big") >> 1
        )
        self.round: int | None = None
        self.total_rounds: int | None = None
        self.rounds_done = 0
        self.aborted = ""
        """Why the run is to end; empty while it goes on."""
        self.numbers = itertools.count(1)
        self.steps: dict[tuple[str, str], int] = {}
        self.failures: deque[CallError] = deque(maxlen=1000)
        """What went wrong in calls of the algorithm; the oldest are dropped."""


class Participant:
    """One site, or the server, in this process: its code, what it may read and what it keeps.

    `state` is the site's durable dict (`flk.state`); `answers` remembers outcomes of calls that may
    be repeated.
    """

    __slots__ = (
        "_before", "_lock", "_rng", "_working", "answers", "app", "broken", "name", "props",
        "state",
    )  # fmt: skip

    REMEMBERED = 16

    def __init__(self, name: str, app: App, props: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.app = app
        self.props = MappingProxyType(trees.copy(dict(props or {})))
        self.state: dict[str, Any] = {}
        self.answers: OrderedDict[object, Any] = OrderedDict()
        self.broken: BaseException | None = None
        self._rng: tuple[int | None, random.Random] | None = None
        self._lock = threading.Lock()
        self._working = 0
        self._before: dict[str, Any] = {}

    @contextmanager
    def working(self) -> Iterator[None]:
        """While code runs that may change `state`: a commit takes what it was before."""
        with self._lock:
            if not self._working:
                self._before = self._copied_state()
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1

    def settled_state(self) -> dict[str, Any]:
        """A copy of `state` as the last work that has ended left it."""
        with self._lock:
            return self._before if self._working else self._copied_state()

    def _copied_state(self) -> dict[str, Any]:
        try:
            return trees.copy(self.state)  # type: ignore[no-any-return]
        except Exception:
            return self.state  # whoever stores it will say what cannot be stored

    def remember(self, key: object, value: Any) -> None:
        self.answers[key] = value
        if len(self.answers) > self.REMEMBERED:
            self.answers.popitem(last=False)

    def restart(self, app: App) -> None:
        """The process died and came back: only `state` and `props` are as before."""
        self.app = app
        self.answers.clear()
        self._rng = None

    def rng(self, run_seed: int, round_number: int | None) -> random.Random:
        if self._rng is None or self._rng[0] != round_number:
            self._rng = (round_number, random.Random(_derive(run_seed, self.name, round_number)))
        return self._rng[1]


class Context:
    """Read-only view of where the code runs; `flk.context`."""

    __slots__ = ("_call", "_participant", "_round", "_run", "caller")

    def __init__(
        self,
        run: RunScope,
        participant: Participant,
        caller: str,
        round: int | None,
        call: Any = None,
    ) -> None:
        self._run = run
        self._participant = participant
        self.caller = caller
        """Authenticated name of whoever called; the participant's own name in `algo`, `init` and
        `final`."""
        self._round = round
        self._call = call

    @property
    def site(self) -> str:
        """Name of the participant whose code runs: `server` or a site's."""
        return self._participant.name

    @property
    def round(self) -> int | None:
        """Number of the round, from 0; None outside rounds."""
        return self._run.round if self._call is None else self._round

    @property
    def run(self) -> RunRecord:
        """The record of the run."""
        return self._run.record

    @property
    def folder(self) -> Path | None:
        """The run folder, where there is one."""
        return self._run.record.folder

    @property
    def world(self) -> World:
        """The world the run lives in."""
        return self._run.world

    @property
    def aborted(self) -> bool:
        """Whether the run is to end; long work should look now and then."""
        return bool(self._run.aborted)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for this call's result any more."""
        return self.aborted or (self._call is not None and self._call.closed)

    def __repr__(self) -> str:
        return f"<Context {self.site} in {self._run.record.id}, round {self.round}>"


def current(name: str = "context") -> Context:
    """The context of the running code, or NotInRun naming what was asked for."""
    try:
        return _current.get()
    except LookupError:
        raise NotInRun(
            f"flk.{name} has a value only while a run executes your code",
            cure="Use it in functions marked @flk.algo or @flk.collab; give it to a thread of your "
            "own with flk.carry(function)",
        ) from None


class entered:
    """`with entered(context):` the code inside runs there."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        self._token = _current.set(self._context)
        return self._context

    def __exit__(self, *exc: object) -> None:
        _current.reset(self._token)


def carry(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The same function for another thread: `Thread(target=flk.carry(work))`,
    `pool.submit(flk.carry(work), x)`."""
    context = current("carry")

    def carried(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        def inside() -> _T:
            with entered(context):
                return function(*args, **kwargs)

        return copy_context().run(inside)

    return carried


def seed(*keys: object) -> int:
    """A 63-bit seed that depends on the run's seed, the site, the round and `keys`, and on nothing
    else: for `numpy.random.default_rng(flk.seed())` or `torch.manual_seed(flk.seed("dropout"))`."""
    here = current("seed")
    return _derive(here._run.seed, here.site, here.round, *keys)


def rng() -> random.Random:
    """The site's generator of this round: one stream, seeded from the run's seed, the site and the
    round."""
    here = current("rng")
    return here._participant.rng(here._run.seed, here.round)


def log(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Send numbers to every tracker of the run, with site and round. `step` defaults to the round,
    else it counts.

    Raises UsageError for what is not a number; never waits for a tracker.
    """
    here = current("log")
    if not isinstance(metrics, Mapping):
        raise UsageError("flk.log takes a mapping", cure='Write flk.log({"loss": 0.3})')
    run, site, time = here._run, here.site, here._run.world.wall()
    for name, value in metrics.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise UsageError(f"flk.log takes numbers, and {name!r} is {value!r}") from None
        at = step if step is not None else here.round
        if at is None:
            at = run.steps.get((site, name), 0)
            run.steps[(site, name)] = at + 1
        run.emit(Metric(str(name), number, site, here.round, at, time))


def describe(**facts: Any) -> None:
    """Tell the trackers plain data about this site, once: `flk.describe(labels={"0": 12, "1":
    9})`."""
    here = current("describe")
    for name, value in facts.items():
        here._run.emit(Fact(name, _plain(value, name), here.site, here._run.world.wall()))


def _plain(value: Any, name: str) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v, name) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v, name) for v in value]
    raise UsageError(
        f"flk.describe takes plain data, and {name!r} holds a {type(value).__name__}",
        cure="Convert it to numbers, strings, lists and dicts",
    )


def _derive(*keys: object) -> int:
    text = "/".join(map(str, keys)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
