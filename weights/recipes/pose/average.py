"""Average two weights files of one network, trained from the same beginning.

    python average.py ONE OTHER 0.4 OUT

Writes 0.6 x ONE + 0.4 x OTHER, under the header of ONE. Where two runs began at the same weights,
their mean is often better than both ("model soups", Wortsman et al., arXiv 2203.05482). Needs the
project.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vitpose_cli.models.checkpoint import read_header, save_checkpoint
from vitpose_cli.models.tensor_files import read_state


def average(one: Path, other: Path, share: float, out: Path) -> None:
    """Write (1 - share) x `one` + share x `other` to `out`.

    Raises:
        ValueError: They are not of one network.
    """
    ours, theirs = read_state(one), read_state(other)
    if {key: value.shape for key, value in ours.items()} != {
        key: value.shape for key, value in theirs.items()
    }:
        raise ValueError(f"{one} and {other} are not of one network")
    mixed = {
        key: value.float().lerp(theirs[key].float(), share).to(value.dtype)
        for key, value in ours.items()
    }
    save_checkpoint(out, mixed, read_header(one))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("share", type=float, help="of the other, from 0 to 1")
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    average(options.one, options.other, options.share, options.out)


if __name__ == "__main__":
    main()
