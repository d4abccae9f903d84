"""`python -m vitpose_cli` and the console script `vitpose`."""

import signal
import sys

from vitpose_cli.spinning import spin_little
from vitpose_cli.termination import end_as_interrupted, leave


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        end_as_interrupted()
        spin_little()
        from vitpose_cli.cli.app import run

        code = run()
        # The code is known. What a signal would still interrupt is the end of the interpreter.
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:  # before or after there is anybody to tell it in a better way
        sys.stderr.write("interrupted.\n")
        code = 130
    leave(code)


if __name__ == "__main__":
    main()
