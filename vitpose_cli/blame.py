"""Whether a picture is to blame for a failure, or whoever looked at it.

One picture that a detector or a network chokes on costs itself alone. A broken driver or a library
of the wrong version fails on all of them, and a run over a million photos must not record a
million failures. So whoever fails on a picture is given one that nobody can choke on; and where
nobody has been found yet, many failures are no chance.

Libraries raise whatever they like, so `except Exception` stands here, and where work on a frame is
only put off: `labeler` and `models.estimator` then look for the frame that is to blame. What our
own errors mean for a run is decided here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from functools import partial
from typing import TypeVar

from vitpose_cli.errors import (
    InputError,
    VitposeError,
    WeightsError,
    in_short,
    is_out_of_memory,
    memory_error,
)
from vitpose_cli.media.frames import FrameFailure, FrameKey
from vitpose_cli.termination import was_interrupted

Item = TypeVar("Item")
Result = TypeVar("Result", bound=Sized)

FAILURES_AT_FIRST = 32
"""So many failures before anybody was found end a run."""

_HINT = "Try --device cpu; if that is no help, other weights or another --detector."


class LabellingStep:
    """A part of the labelling, such as detection.

    Attributes:
        worked: Whether it has ever come to a result that is not empty.
    """

    def __init__(self, name: str, check: Callable[[], object]) -> None:
        """Watch a step.

        Args:
            name: What it is called at the start of a sentence.
            check: Lets it work on a picture that is no trouble; raises where it cannot.
        """
        self.worked = False
        self._name = name
        self._check = check
        self._failed: set[FrameKey] = set()

    def all(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        items: list[Item],
        key: Callable[[Item], FrameKey],
    ) -> list[Result | FrameFailure]:
        """Work on pictures together; one by one where that fails.

        Args:
            work: What to do with some of them.
            items: The pictures.
            key: Names a picture.

        Returns:
            What `work` returned for all; or its first result, or why it failed, for each.

        Raises:
            VitposeError: The step cannot work at all.
        """
        try:
            results = list(work(items)) if items else []
        except Exception as error:  # said below, of the picture to blame
            if was_interrupted(error):
                raise
            return [self.one(partial(_alone, work, item), key(item)) for item in items]
        self.worked = self.worked or any(map(len, results))
        return [*results]

    def one(self, work: Callable[[], Result], key: FrameKey) -> Result | FrameFailure:
        """Return what `work` on one picture returns, or why it failed.

        Raises:
            VitposeError: The step cannot work at all.
        """
        try:
            result = work()
        except Exception as error:
            if was_interrupted(error):
                raise
            return self._blame(key, error)
        self.worked = self.worked or len(result) > 0
        return result

    def _blame(self, key: FrameKey, error: Exception) -> FrameFailure:
        """Return the failure of a picture.

        Raises:
            VitposeError: It is not to blame.
        """
        try:
            self._check()
        except VitposeError:
            raise
        except Exception as every:
            if was_interrupted(every):
                raise
            raise _unusable(f"{self._name} fails on every picture", every) from every
        if isinstance(error, InputError):  # a picture that does not fit its boxes, however many do
            return FrameFailure(key, error.message)
        self._failed.add(key)
        if not self.worked and len(self._failed) >= FAILURES_AT_FIRST:
            what = f"{self._name} failed on {len(self._failed)} pictures before anybody was found"
            raise _unusable(f"{what}; on {key}", error) from error
        return FrameFailure(key, f"{self._name} failed: {in_short(error)}")


def _unusable(what: str, error: Exception) -> VitposeError:
    """Return the error of a step that cannot work at all, for want of memory perhaps."""
    if is_out_of_memory(error):
        return memory_error(error)
    return WeightsError(f"{what}: {in_short(error)}", _HINT)


def _alone(work: Callable[[list[Item]], Sequence[Result]], item: Item) -> Result:
    return work([item])[0]
