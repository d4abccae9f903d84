"""What to say where torch.compile cannot compile the network."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from vitpose_cli.errors import ConfigError, InputError, in_short

_ERRORS = ("torch._inductor.", "torch._dynamo.exc.BackendCompilerFailed")
"""How its errors are called, the second up to torch 2.6; importing them takes seconds, which runs
without it need not wait."""
_COMPILER = ("torch._inductor.", "torch._dynamo.")
"""The modules that keep files."""
_FAILED = re.compile(r"^.*\b(error|failed): .*$", re.MULTILINE)
"""The line of a C++ compiler's output that says why."""


@contextmanager
def explained_compilation() -> Iterator[None]:
    """Say what to do where there is no compiler, or what an earlier compilation has left is cut.

    torch.compile leaves half a file in its cache when it is killed, and takes it for a whole one
    the next time. The folder of its cache is made where nothing is compiled, too: by the first
    optimiser.

    Raises:
        ConfigError: It cannot compile.
        InputError: It cannot write its files.
    """
    try:
        yield
    except OSError as error:
        frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
        if not any(str(frame.f_globals.get("__name__")).startswith(_COMPILER) for frame in frames):
            raise
        raise _unwritable(error) from error
    except RuntimeError as error:
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
        if not any(kind.startswith(_ERRORS) for kind in kinds):
            raise
        cause = getattr(error, "inner_exception", None)
        if isinstance(cause, OSError):
            raise _unwritable(cause) from error
        told = _FAILED.search(str(error))
        reason = in_short(error) if told is None else told.group()
        raise ConfigError(
            f"torch.compile cannot compile the network here: {reason}",
            "On a CPU it needs a C++ compiler, such as g++. A file that it names in a folder of "
            "its own was cut when a run was killed: delete that folder. --set compile=false trains "
            "without.",
        ) from error


def _unwritable(error: OSError) -> InputError:
    return InputError(
        f"PyTorch's compiler cannot write its files: {in_short(error)}",
        "Name a folder with room, to which you may write, in the environment variable "
        "TORCHINDUCTOR_CACHE_DIR; without it, it is one in that for temporary files.",
    )
