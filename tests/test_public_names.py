"""Names that packages import on first use are where the packages say."""

import importlib

import pytest

PACKAGES = ["supernet", "supernet.data", "supernet.pose", "subnets", "search"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_lazy_name_is_there(package):
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
