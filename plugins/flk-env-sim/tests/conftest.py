import pytest

pytest.register_assert_rewrite("flk.testing")
