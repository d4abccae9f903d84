"""What to say where torch.compile cannot compile the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vitpose_cli.errors import ConfigError, in_short

_ERRORS = ("torch._inductor.", "torch._dynamo.exc.BackendCompilerFailed")
"""How its errors are called, the second up to torch 2.6; importing them takes seconds, which runs
without it need not wait."""


@contextmanager
def explained_compilation() -> Iterator[None]:
    """Say what to do where there is no compiler, or what an earlier compilation has left is cut.

    torch.compile leaves half a file in its cache when it is killed, and takes it for a whole one
    the next time.

    Raises:
        ConfigError: It cannot compile.
    """
    try:
        yield
    except RuntimeError as error:
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
        if not any(kind.startswith(_ERRORS) for kind in kinds):
            raise
        raise ConfigError(
            f"torch.compile cannot compile the network here: {in_short(error)}",
            "On a CPU it needs a C++ compiler, such as g++. A file that it names in a folder of "
            "its own was cut when a run was killed: delete that folder. --set compile=false trains "
            "without.",
        ) from error
