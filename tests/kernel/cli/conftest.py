from tests.kernel.shelf import shelf

__all__ = ["shelf"]
