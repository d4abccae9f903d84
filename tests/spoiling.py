"""Files spoiled at random: in the same way in every run, or ever anew for as long as is asked.

By default each kind of file meets the examples 0 to N-1, which follow from their numbers alone: a
run that fails fails again. `VITPOSE_FUZZ_SECONDS=60` gives each kind a minute of examples from a
number that nobody has chosen, or from `VITPOSE_FUZZ_FIRST`, which finds one again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from random import Random, SystemRandom
from typing import Any

import orjson

from vitpose_cli.errors import VitposeError

NUM_EXAMPLES = 150
SLOW_S = 10.0
_SECONDS = float(os.environ.get("VITPOSE_FUZZ_SECONDS", "0"))
_FIRST = os.environ.get("VITPOSE_FUZZ_FIRST")

_NASTY = (b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff", b"NaN", b"1e999", b"-1")
_VALUES: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, -(2**63), 0.5, 1e308, -1e308, "", "x", "../x",
    "\0", "é\n", [], {}, [[]], [None], [0], [1e308, 1e308, 1e308, 1e308], {"id": 1}, {"": None},
)  # fmt: skip


def meet_spoiled(
    seeds: Sequence[bytes], read: Callable[[bytes], object], num_examples: int = NUM_EXAMPLES
) -> None:
    """Let `read` meet files with some bytes lost, changed, moved or repeated."""
    for number, random in _examples(num_examples):
        _meet(number, read, spoiled(random, random.choice(seeds)))


def meet_other_values(
    seeds: Sequence[bytes], read: Callable[[bytes], object], num_examples: int = NUM_EXAMPLES
) -> None:
    """Let `read` meet JSON documents in which some values became others, or moved, or went."""
    for number, random in _examples(num_examples):
        document = orjson.loads(random.choice(seeds))
        for _ in range(random.randint(1, 3)):
            _replace(document, random)
        _meet(number, read, orjson.dumps(document))


def spoiled(random: Random, data: bytes) -> bytes:
    """Return `data` with one to six places spoiled."""
    for _ in range(random.randint(1, 6)):
        at, length = int(random.random() * len(data)), random.randint(1, 64)
        value = random.choice([*_NASTY, random.randbytes(random.randint(1, 16))])
        kind = random.randrange(7)
        if kind == 0:
            data = data[: max(at, 1)]
        elif kind == 1:
            data = data[:at] + value + data[at + len(value) :]
        elif kind == 2:
            data = data[:at] + value + data[at:]
        elif kind == 3:
            data = data[:at] + data[at + length :]
        elif kind == 4:
            data = data[:at] + data[at : at + length] * 3 + data[at + length :]
        elif kind == 5 and data:
            data = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        else:  # in the first bytes, where most formats say what they are
            at = int(random.random() ** 3 * len(data))
            data = data[:at] + value[:4] + data[at + len(value[:4]) :]
    return data


def _examples(num_examples: int) -> Iterator[tuple[int, Random]]:
    first = int(_FIRST or (SystemRandom().randrange(10**9) if _SECONDS else 0))
    deadline = time.monotonic() + _SECONDS
    number = first
    while time.monotonic() < deadline if _SECONDS else number < first + num_examples:
        yield number, Random(number)
        number += 1


def _meet(number: int, read: Callable[[bytes], object], data: bytes) -> None:
    started_s = time.process_time()
    try:
        with suppress(VitposeError):
            read(data)
    except BaseException as error:
        error.add_note(f"VITPOSE_FUZZ_FIRST={number} meets it first")
        raise
    spent_s = time.process_time() - started_s
    assert spent_s < SLOW_S, f"VITPOSE_FUZZ_FIRST={number} took {spent_s:.0f} s"


def _replace(node: Any, random: Random) -> None:
    """Put another value somewhere into a tree of lists and objects, or take one away."""
    if not isinstance(node, list | dict) or not node:
        return
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = random.choice(keys)
    if isinstance(node[key], list | dict) and random.random() < 0.85:
        _replace(node[key], random)
    elif random.random() < 0.2:
        del node[key]
    else:
        node[key] = deepcopy(random.choice([*_VALUES, node[random.choice(keys)]]))
