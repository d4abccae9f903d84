"""What a user may ask of a selection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitpose_cli.errors import ConfigError
from vitpose_cli.pose.signals import SIGNALS
from vitpose_cli.ranges import check_types


@dataclass(frozen=True, slots=True)
class SelectOptions:
    """Which frames are wanted.

    Attributes:
        run: The run folder.
        count: How many frames.
        output: The queue; None puts `queue.json` into the run folder.
        by: One measure of `SIGNALS` to go by; None takes all of them.
        compare: Another run over the same frames; people on whom the two differ are doubtful.
        random_share: Share of frames drawn at random from those with people.
        empty_share: Share of frames drawn at random from those where nobody was found; more where
            there are not enough others, unless it is 0.
        diversity: How much of its doubt, 0 to 1, a frame loses that is like one chosen before.
        images: Where the photos and videos lie, to tell frames apart by their colours, too; None
            goes by poses alone.
        seed: Of all that is drawn; the same seed gives the same queue.
        max_per_video: Most frames of one video; None for any number.
        min_gap: Least difference of the numbers of two frames of a video.

    Paths may be given as text.
    """

    run: Path
    count: int = 200
    output: Path | None = None
    by: str | None = None
    compare: Path | None = None
    random_share: float = 0.15
    empty_share: float = 0.05
    diversity: float = 0.2
    images: Path | None = None
    seed: int = 0
    max_per_video: int | None = None
    min_gap: int = 15

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: One is out of its range, they contradict each other, or something is of
                another type.
        """
        check_types(self)
        shares = (self.random_share, self.empty_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise ConfigError("The shares of random and of empty frames must be 0 to 1 together.")
        if self.count < 1 or self.min_gap < 0 or self.diversity < 0:
            raise ConfigError("--count must be 1 or more, --min-gap and --diversity 0 or more.")
        if self.max_per_video is not None and self.max_per_video < 1:
            raise ConfigError("--max-per-video must be 1 or more.")
        if self.by is not None and self.by not in SIGNALS:
            raise ConfigError(f"{self.by!r} is no signal.", f"Signals are {', '.join(SIGNALS)}.")
        if self.by == "disagreement" and self.compare is None:
            raise ConfigError("Disagreement needs a second run.", "Give it with --compare.")
