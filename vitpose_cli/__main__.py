"""`python -m vitpose_cli` and the console script `vitpose`."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from vitpose_cli.cli.app import run

    sys.exit(run())


if __name__ == "__main__":
    main()
