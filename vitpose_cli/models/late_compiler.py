"""Importing timm and torchvision, and tracing shapes, without PyTorch's compiler.

Both import `torch._dynamo`, which takes as long as torch itself, for two things that nobody here
uses: torchvision's `roi_align` asks whether a device has a compiler, where deterministic
algorithms are wanted; timm marks methods of a network of its own as not to be compiled. So does the
meta device with some operations. Meanwhile a module of the compiler's name answers "no" and marks
nothing. `torch.compile` still imports the real one. A release that wants more of it gets it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

Result = TypeVar("Result")

_COMPILER = "torch._dynamo"


def import_without_compiler(*names: str) -> None:
    """Import modules; with the compiler only where they cannot do without."""

    def import_all() -> None:
        for name in names:
            importlib.import_module(name)

    call_without_compiler(import_all)


def call_without_compiler(function: Callable[[], Result]) -> Result:
    """Return what a function returns that can be called twice; with the compiler if it must be."""
    try:
        with _stood_in():
            return function()
    except (ImportError, AttributeError):
        return function()


@contextmanager
def _stood_in() -> Iterator[None]:
    """Let a small module stand in for the compiler, if that is not there yet."""
    if _COMPILER in sys.modules:
        yield
        return
    package, utils = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    package.__dict__.update(__path__=[], disable=_not_disabled, utils=utils)
    utils.__dict__.update(is_compile_supported=lambda _device: False)
    sys.modules.update({package.__name__: package, utils.__name__: utils})
    try:
        yield
    finally:
        del sys.modules[package.__name__], sys.modules[utils.__name__]


def _not_disabled(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    """Return a function as it is, also where called as a decorator with options."""
    return (lambda decorated: decorated) if function is None else function
