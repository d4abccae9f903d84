"""How corrections are brought in, as the user chose."""

from __future__ import annotations

from dataclasses import dataclass

from vitpose_cli.ranges import check_types


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How corrections are brought in.

    Attributes:
        tool: The format that they come in.
        reviewer: Who corrected.
        accept_unchanged: Frames that came back as they were have been looked at, and are good.
        force: Take corrections also of frames that somebody labelled here meanwhile. What came
            back as it was is no correction, and replaces nothing.
        video: The video that frames called `frame_000123` are of; None where the run has one only.
        dry_run: Only say what would be done.
    """

    tool: str
    reviewer: str = ""
    accept_unchanged: bool = False
    force: bool = False
    video: str | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Something is of another type.
        """
        check_types(self)
