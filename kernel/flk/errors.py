"""The one tree of exceptions. Each says what went wrong, whose it is and what to do; beside it only
how any exception is put into words."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "CallError",
    "CallTimeout",
    "Cancelled",
    "CheckpointError",
    "ConfigError",
    "ContributionRefused",
    "DecodeError",
    "EncodeError",
    "FlkError",
    "LimitError",
    "NotExported",
    "NotInRun",
    "PluginConflict",
    "PluginContractError",
    "PluginError",
    "PluginIncompatible",
    "PluginLoadError",
    "PluginNotFound",
    "QuorumError",
    "RunAborted",
    "RunRefused",
    "SiteLost",
    "StorageError",
    "UnknownType",
    "UsageError",
    "described",
    "printable",
    "said",
]

_CONTROLS = [*range(9), *range(11, 32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F)]
_ESCAPED = {n: ascii(chr(n))[1:-1] for n in (*_CONTROLS, *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """A stranger's text with what would steer a terminal or forge a line escaped; newlines and tabs
    stay."""
    return text.translate(_ESCAPED)


def said(error: BaseException) -> str:
    """The printable text of a stranger's exception, whose `__str__` may be broken too."""
    try:
        return printable(str(error))
    except BaseException as worse:
        return f"its __str__ raised {type(worse).__name__}"


def described(error: BaseException) -> str:
    """Class and text of a stranger's exception."""
    text = said(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class FlkError(Exception):
    """Root of every error that flk raises on purpose.

    `what` is one sentence without a full stop, `cure` says what to do about it, `owner` names the
    site, job or plugin it belongs to. `code` is stable and may be compared; the text may change.
    """

    code = "FLK"
    exit_code = 1

    def __init__(self, what: str, *, cure: str = "", owner: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cure = cure
        self.owner = owner

    def __str__(self) -> str:
        return f"{self.what}. {self.cure}" if self.cure else self.what


class UsageError(FlkError):
    """The user asked for something that cannot be: the command line exits with 2."""

    code = "USAGE"
    exit_code = 2


class ConfigError(UsageError):
    """A configuration key or value that nobody understands."""

    code = "CONFIG"


class NotInRun(UsageError, AttributeError):
    """A name such as `flk.site` was used where no run is going on. Also an AttributeError, so that
    hasattr() works."""

    code = "NOT_IN_RUN"


# plugins ------------------------------------------------------------------------------------------


class PluginError(UsageError):
    """A plugin that was asked for by name cannot be used."""

    code = "PLUGIN"


class PluginNotFound(PluginError):
    code = "PLUGIN_NOT_FOUND"


class PluginConflict(PluginError):
    """Two distributions provide the same name of the same role."""

    code = "PLUGIN_CONFLICT"


class PluginIncompatible(PluginError):
    """The plugin speaks a version of the contract that this kernel does not; it was never
    imported."""

    code = "PLUGIN_INCOMPATIBLE"


class PluginLoadError(PluginError):
    """Importing the plugin raised; the original exception is the cause."""

    code = "PLUGIN_LOAD"


class PluginContractError(PluginError):
    """The plugin was imported but does not keep the contract of its role."""

    code = "PLUGIN_CONTRACT"


# calls --------------------------------------------------------------------------------------------


class CallError(FlkError):
    """A call to one site failed there or on the way.

    `site` and `function` say where, `kind` is the name of the remote exception's class,
    `remote_traceback` its text where the site's policy lets it travel (always in the simulator),
    `may_have_run` whether the function may have had an effect.
    """

    code = "CALL_FAILED"

    def __init__(
        self,
        what: str,
        *,
        site: str = "",
        function: str = "",
        kind: str = "",
        remote_traceback: str = "",
        may_have_run: bool = True,
        cure: str = "",
    ) -> None:
        super().__init__(what, cure=cure, owner=site)
        self.site = site
        self.function = function
        self.kind = kind or type(self).__name__
        self.remote_traceback = remote_traceback
        self.may_have_run = may_have_run


class NotExported(CallError):
    """The function called does not exist at the site or is not decorated; its arguments were not
    touched."""

    code = "NOT_EXPORTED"


class CallTimeout(CallError):
    """The site did not answer before the deadline of the call."""

    code = "CALL_TIMEOUT"


class SiteLost(CallError):
    """The site went away while the call was on its way or under way."""

    code = "SITE_LOST"


class Cancelled(CallError):
    """The call was cancelled by its caller, or closed by a quorum before this site answered."""

    code = "CANCELLED"


class ContributionRefused(CallError):
    """The guard kept a contribution out of an aggregation; `reason` is a stable word such as
    `not_finite`."""

    code = "CONTRIBUTION_REFUSED"

    def __init__(self, what: str, *, reason: str, site: str = "", function: str = "") -> None:
        super().__init__(what, site=site, function=function)
        self.reason = reason


class QuorumError(FlkError):
    """Fewer sites answered than the call needed; `failures` maps each silent site to its error."""

    code = "QUORUM"

    def __init__(self, what: str, *, failures: Mapping[str, Exception], cure: str = "") -> None:
        super().__init__(what, cure=cure)
        self.failures = dict(failures)


class RunAborted(FlkError):
    """The run was stopped from outside; raised in the algorithm at its next call."""

    code = "RUN_ABORTED"


class RunRefused(FlkError):
    """A security step did not admit the run."""

    code = "RUN_REFUSED"


# objects and storage ------------------------------------------------------------------------------


class EncodeError(FlkError):
    """An object cannot be turned into a skeleton and buffers."""

    code = "ENCODE"


class DecodeError(FlkError):
    """Received or stored bytes do not follow the format."""

    code = "DECODE"


class LimitError(DecodeError):
    """Received or stored bytes ask for more than a limit allows; nothing was allocated for them."""

    code = "DECODE_LIMIT"


class UnknownType(DecodeError, EncodeError):
    """No serializer of this process knows the type."""

    code = "UNKNOWN_TYPE"


class StorageError(FlkError):
    """A store could not read or write: full disk, no permission, broken medium."""

    code = "STORAGE"


class CheckpointError(StorageError):
    """No generation of a checkpoint could be read back intact."""

    code = "CHECKPOINT"
