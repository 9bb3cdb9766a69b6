"""`flk acme` keeps the contract of commands."""

from flk.testing.command import CommandSuite


class TestAcme(CommandSuite):
    target = "flk_role_acme:command"
    usages = (["."],)
    json_usages = ([".", "--json"],)
    failures = ([], ["no/such/folder"])
