"""Names of files that every disk can hold, and takes for one another nowhere."""

from __future__ import annotations

from pathlib import PurePosixPath

from vitpose_cli.files import fitted_name, in_any_case


class ApartNames:
    """Names that are given away one after the other."""

    def __init__(self) -> None:
        """Begin with none."""
        self._taken: set[str] = set()

    def give(self, source: PurePosixPath, stem: str, ending: str) -> PurePosixPath:
        """Return a stem with an ending beside `source`, told apart from those given before.

        Args:
            source: What the file is of.
            stem: What it is called after; cut where a name would be too long.
            ending: What all files of its kind end in.
        """
        while in_any_case(name := source.with_name(fitted_name(stem, ending))) in self._taken:
            stem += source.suffix.replace(".", "_") or "_"
        self._taken.add(in_any_case(name))
        return name
