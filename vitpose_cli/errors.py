"""The errors a user can cause or meet, each with a hint and an exit code.

Everything that is raised on purpose is a `VitposeError`; any other exception that reaches the
terminal is a bug and ends with code 1. Only the command line turns errors into text.
"""

import re
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns to the shell."""

    OK = 0
    BUG = 1  # an error we did not foresee: please report it
    CONFIG = 2  # options or configuration that cannot be meant
    INPUT = 3  # files to read or places to write that are missing, damaged or refused
    WEIGHTS = 4  # weights that cannot be found, read or matched
    PARTIAL = 5  # the run finished, some frames failed; they are listed
    INTERRUPTED = 130  # Ctrl-C, SIGTERM or SIGHUP; the journal is whole
    UNHEARD = 141  # whoever read the output has left, as `head` does; shells say so of others


class VitposeError(Exception):
    """An error with a sentence for the user, a hint, and an exit code.

    Attributes:
        message: What went wrong and where, as one sentence.
        hint: What to do about it; empty where nothing useful can be said.
        exit_code: The exit code of the process when this error reaches the terminal.
    """

    exit_code = ExitCode.BUG

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(VitposeError):
    """Options or configuration that cannot be meant."""

    exit_code = ExitCode.CONFIG


class InputError(VitposeError):
    """A file or folder to read or write that is missing, damaged or refused."""

    exit_code = ExitCode.INPUT


class WeightsError(VitposeError):
    """Weights that cannot be found, read, trusted or matched."""

    exit_code = ExitCode.WEIGHTS


class PartialRunError(VitposeError):
    """The run finished, but some frames failed; they are recorded and listed."""

    exit_code = ExitCode.PARTIAL


_FULL = re.compile(
    r"can't allocate memory"  # torch, on the host
    r"|Cannot allocate memory"  # the system; without room for its threads' own data it says cannot
    r"|failed to map segment from shared object(?!:)"  # of a library that is loaded; else says why
    r"|could not create a primitive(?! descriptor)"  # oneDNN, for its code
    r"|out of memory"  # CUDA and MPS, where torch itself has no room to begin
    r"|_STATUS_ALLOC_FAILED"  # cuBLAS and cuDNN
)
"""What libraries and the system say, in errors of other kinds, where memory does not suffice."""


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error tells that there was not enough memory, of this machine or of a GPU.

    torch's own type is known by its name: this module is imported where torch need not be.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    told = getattr(error, "strerror", None) or error  # without the name of a file
    return not isinstance(error, VitposeError) and _FULL.search(str(told)) is not None


def memory_error(error: BaseException) -> InputError:
    """Return the error for memory that does not suffice, where nothing more is known of it.

    Args:
        error: Of which `is_out_of_memory` is true.
    """
    return InputError(
        f"There is not enough memory: {in_short(error)}",
        "Other programs may hold that of the GPU (nvidia-smi shows them). Smaller weights and "
        "batches take less, and --device cpu takes none of it.",
    )


def in_short(error: BaseException) -> str:
    """Return the first line of what a library says in an error, or the error's kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
