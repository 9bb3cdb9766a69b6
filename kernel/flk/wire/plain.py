"""The kernel's own types that are neither containers nor scalars of the skeleton: each as plain
data, and strictly back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID

from flk.errors import (
    CallError,
    CallTimeout,
    Cancelled,
    DecodeError,
    EncodeError,
    FlkError,
    NotExported,
    SiteLost,
)
from flk.model import FLModel, ParamsType

__all__ = ["PLAIN", "Plain"]

_CALL_ERRORS = {c.code: c for c in (CallError, CallTimeout, Cancelled, NotExported, SiteLost)}
_TRACEBACK_CHARS = 1 << 16


class Plain(NamedTuple):
    """See `flk.wire.codecs.Codec`; `subclasses` of the classes travel alike."""

    name: str
    classes: tuple[type, ...]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    parts: bool = False
    subclasses: bool = False


def _is(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise DecodeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def _all(kinds: tuple[type, ...], values: Any) -> list[Any]:
    if tuple(map(type, _is(list, values))) != kinds:
        raise DecodeError("an object has other parts than its type says")
    return values  # type: ignore[no-any-return]


def _text(cls: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda meta: cls(_is(str, meta))


def _encode_moment(obj: datetime | time) -> str:
    if obj.tzinfo is not None and obj.utcoffset() is None:
        raise EncodeError(f"{obj!r} has a time zone without an offset", cure="Use a datetime")
    return obj.isoformat()


def _decode_timedelta(meta: Any) -> timedelta:
    days, seconds, microseconds = _all((int, int, int), meta)
    return timedelta(days=days, seconds=seconds, microseconds=microseconds)


def _decode_uuid(meta: Any) -> UUID:
    return UUID(bytes=_is(bytes, meta))


def _decode_complex(meta: Any) -> complex:
    return complex(*_all((float, float), meta))


def _decode_params_type(meta: Any) -> ParamsType:
    return ParamsType(_is(str, meta))


def _encode_model(model: FLModel) -> list[Any]:
    return [
        model.params,
        model.params_type,
        model.metrics,
        model.current_round,
        model.total_rounds,
        model.meta,
        model.extra,
    ]


def _decode_model(parts: list[Any]) -> FLModel:
    model = FLModel(*parts) if len(parts) == 7 else FLModel(params_type=None)  # type: ignore[arg-type]
    rounds = (model.current_round, model.total_rounds)
    maps = (model.metrics, model.meta, model.extra)
    if (
        type(model.params_type) is not ParamsType
        or any(type(number) not in (int, type(None)) for number in rounds)
        or any(type(entry) is not dict for entry in maps)
    ):
        raise DecodeError("an FLModel has other fields than it should")
    return model


def _encode_error(error: BaseException) -> list[Any]:
    from traceback import TracebackException

    story = TracebackException.from_exception(error)
    what, cure, site, function, code, may_have_run = str(story), "", "", "", "", True
    kind, trace = type(error).__name__, ""
    if isinstance(error, FlkError):
        what, cure, code = error.what, error.cure, error.code
    if isinstance(error, CallError):
        site, function, kind = error.site, error.function, error.kind
        trace, may_have_run = error.remote_traceback, error.may_have_run
    trace = trace or "".join(story.format())
    return [code, what, cure, site, function, kind, trace[-_TRACEBACK_CHARS:], may_have_run]


def _decode_error(meta: Any) -> CallError:
    code, what, cure, site, function, kind, trace, may_have_run = _all((str,) * 7 + (bool,), meta)
    return _CALL_ERRORS.get(code, CallError)(
        what,
        cure=cure,
        site=site,
        function=function,
        kind=kind,
        remote_traceback=trace,
        may_have_run=may_have_run,
    )


PLAIN: tuple[Plain, ...] = (
    Plain("flk.complex/1", (complex,), lambda z: [z.real, z.imag], _decode_complex),
    Plain("flk.datetime/1", (datetime,), _encode_moment, _text(datetime.fromisoformat)),
    Plain("flk.date/1", (date,), date.isoformat, _text(date.fromisoformat)),
    Plain("flk.time/1", (time,), _encode_moment, _text(time.fromisoformat)),
    Plain(
        "flk.timedelta/1",
        (timedelta,),
        lambda span: [span.days, span.seconds, span.microseconds],
        _decode_timedelta,
    ),
    Plain("flk.decimal/1", (Decimal,), str, _text(Decimal)),
    Plain("flk.uuid/1", (UUID,), lambda uuid: uuid.bytes, _decode_uuid),
    Plain("flk.path/1", (Path, type(Path())), Path.as_posix, _text(Path)),
    Plain("flk.pureposixpath/1", (PurePosixPath,), str, _text(PurePosixPath)),
    Plain("flk.purewindowspath/1", (PureWindowsPath,), str, _text(PureWindowsPath)),
    Plain("flk.paramstype/1", (ParamsType,), lambda kind: kind.value, _decode_params_type),
    Plain("flk.model/1", (FLModel,), _encode_model, _decode_model, parts=True),
    Plain("flk.error/1", (BaseException,), _encode_error, _decode_error, subclasses=True),
)
"""Datetimes arrive with their offset, not with the name of a zone (its rules would have to be
loaded); exceptions arrive as the CallError they stand for."""
