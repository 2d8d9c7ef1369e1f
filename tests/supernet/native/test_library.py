"""Compiling and finding the C++ kernels, and doing without them."""

import logging
import subprocess

import pytest
import torch

from supernet.native import library as module
from supernet.native.functional import choose, depthwise_conv2d

needs_compiler = pytest.mark.skipif(module.find_compiler() is None, reason="no C++ compiler here")


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """Nothing loaded yet, an empty cache; the loaded library is forgotten afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module.library.cache_clear()
    yield
    module.library.cache_clear()


def test_turned_off(monkeypatch):
    monkeypatch.setenv("LITEPOSE_NATIVE", "0")
    assert module.library() is None
    assert choose(7, 1) == "convolution"


def test_without_a_compiler_training_goes_on(monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with caplog.at_level(logging.WARNING):
        assert module.library() is None
    assert "no C++ compiler" in caplog.text
    weight = torch.randn(4, 1, 7, 7, requires_grad=True)
    depthwise_conv2d(torch.randn(1, 4, 8, 8), weight, 1, 3).sum().backward()
    assert bool(torch.isfinite(weight.grad).all())


def test_a_failing_compiler_is_reported_once(monkeypatch, caplog, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'bad flag' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with caplog.at_level(logging.WARNING):
        assert module.library() is None
        assert module.library() is None
    assert caplog.text.count("bad flag") == 1
    assert not list((tmp_path / "litepose-ofa").iterdir())


@needs_compiler
def test_an_unwritable_cache_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert module.library() is None


@needs_compiler
def test_compiles_once(monkeypatch):
    assert module.library() is not None
    assert choose(7, 1) == "native"
    (built,) = module.cache_folder().iterdir()
    module.library.cache_clear()
    commands = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **k: commands.append(command) or run(command, **k))
    assert module.library() is not None
    assert all("--version" in command for command in commands)
    assert [built] == list(module.cache_folder().iterdir())
