"""From a type to the plugin that handles its family."""

import sys
import types

import pytest
from flk.errors import PluginLoadError
from flk.registry import family

SERIALIZER = """
    import acme_types
    from flk.spi.serializer import Serializer

    class Acme(Serializer):
        types = {acme_types.Cipher: "acme_types.cipher/1"}
        made = 0

        def __init__(self):
            Acme.made += 1

        def encode(self, obj, sink): ...
        def decode(self, name, meta, source): ...
"""


@pytest.fixture
def acme(monkeypatch):
    """A package with a type that travels, one that does not, and a module below it."""
    module = types.ModuleType("acme_types")
    for name in ("Cipher", "Other"):
        setattr(module, name, type(name, (), {"__module__": "acme_types.deep"}))
    monkeypatch.setitem(sys.modules, "acme_types", module)
    return module


@pytest.fixture
def serializer(shelf):
    shelf.add("p", "flk.serializers.v1", "acme_types = mod_acme:Acme", source=SERIALIZER)


def test_a_type_is_handled_by_the_plugin_named_like_its_package(acme, serializer):
    assert type(family("serializer", acme.Cipher)).__name__ == "Acme"


def test_a_subclass_from_elsewhere_is_handled_by_its_bases_plugin(acme, serializer):
    class Mine(acme.Cipher):
        pass

    assert family("serializer", Mine) is family("serializer", acme.Cipher)


def test_a_type_of_the_package_that_the_plugin_does_not_list_is_not_handled(acme, serializer):
    assert family("serializer", acme.Other) is None


def test_a_type_without_a_plugin_gives_none(shelf):
    assert family("serializer", int) is None
    assert family("arrays", type("Lonely", (), {})) is None


def test_only_one_instance_is_made(acme, serializer):
    class Mine(acme.Cipher):
        pass

    found = {family("serializer", cls) for cls in (acme.Cipher, Mine)}
    assert len(found) == 1
    assert found.pop().made == 1


def test_nothing_is_imported_for_a_type_that_never_appears(shelf):
    shelf.add("p", "flk.serializers.v1", "acme_types = mod_acme:Acme", source="1 / 0")
    assert family("serializer", float) is None


def test_a_broken_plugin_is_an_error_as_soon_as_its_type_appears(acme, shelf):
    shelf.add("p", "flk.serializers.v1", "acme_types = mod_acme:Acme", source="1 / 0")
    for _ in range(2):
        with pytest.raises(PluginLoadError):
            family("serializer", acme.Cipher)
