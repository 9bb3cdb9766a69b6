"""The contracts of what is chosen by name, one file a role, and the table of the roles.

A role's group carries the version of its contract. A role without a contract is reserved: the
catalog and the doctor know its group, and nothing is loaded from it yet.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ROLES", "Role"]


@dataclass(frozen=True, slots=True)
class Role:
    """One line of the table: the word users write, where its plugins register, and what they must
    keep.

    word: singular, as in `flk plugins new WORD NAME`.
    plural: the word in the entry-point group.
    prefix: distributions are named `<prefix>-<name>`.
    contract: `module:Class` of the ABC, or empty while the role is reserved.
    version: newest contract version that this kernel speaks; it reads all of 1..version.
    """

    word: str
    plural: str
    prefix: str
    contract: str = ""
    version: int = 1

    @property
    def group(self) -> str:
        """The entry-point group of the newest version, `flk.<plural>.v<version>`."""
        return f"flk.{self.plural}.v{self.version}"


ROLES: dict[str, Role] = {
    role.word: role
    for role in (
        Role("driver", "drivers", "flk-driver"),
        Role("serializer", "serializers", "flk-serializer", "flk.spi.serializer:Serializer"),
        Role("arrays", "arrays", "flk-serializer", "flk.spi.arrays:Arrays"),
        Role("aggregator", "aggregators", "flk-aggregator", "flk.spi.aggregator:Aggregator"),
        Role("workflow", "workflows", "flk-workflow", "flk.spi.workflow:Workflow"),
        Role("launcher", "launchers", "flk-launcher"),
        Role("environment", "environments", "flk-env", "flk.spi.environment:Environment"),
        Role("executor", "executors", "flk-executor", "flk.spi.executor:Executor"),
        Role("tracker", "trackers", "flk-tracker", "flk.spi.tracker:Tracker"),
        Role("store", "stores", "flk-store", "flk.spi.store:Store"),
        Role("filter", "filters", "flk-filter"),
        Role("credentials", "credentials", "flk-credentials"),
        Role("builder", "builders", "flk-builder"),
        Role("command", "commands", "flk-cmd", "flk.spi.command:Command"),
        Role("observer", "observers", "flk-observer", "flk.spi.observer:Observer"),
    )
}
