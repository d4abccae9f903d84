"""`python -m vitpose_cli` and the console script `vitpose`."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from vitpose_cli.cli.app import run
    except KeyboardInterrupt:  # before there is anybody to tell it in a better way
        sys.stderr.write("interrupted.\n")
        sys.exit(130)
    sys.exit(run())


if __name__ == "__main__":
    main()
