"""What a run was made with: written once into its folder, compared when the run goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from vitpose_cli import __version__
from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file, read_error
from vitpose_cli.media.places import based, folder_of, is_source_there
from vitpose_cli.media.remote import is_url
from vitpose_cli.records.json_values import is_number
from vitpose_cli.records.run_options import KEYPOINT_THRESHOLD

NAMES_PER_SOURCE = "names-per-source"
"""The note of a manifest that media names are relative to each source."""

MERGED = "merged"
"""The note of a merged run's manifest that names what it was merged from."""

HOLDS_FILES = "labels-of-files"
"""The note whether labels of a merged run came from files, which lack places under a threshold."""

_FORMAT = "vitpose-run"
_LISTS = ("sources", "history", "past_thresholds")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class RunManifest:
    """What the labels of a run depend on, and some notes.

    Attributes:
        keypoint_set: The keypoints, as an entry of COCO's `categories` (id 1).
        sources: What is labelled, as the caller wants it compared.
        options: Every option that changes a result, by its name on the command line; JSON values.
        weights_name: The weights as a person calls them; not compared.
        weights_hash: The weights as they are.
        document: What the document has beyond the labels (`track`, `smooth`), as it was last
            written; not compared.
        notes: What does not change a result (device, threads, ...); not compared. `precision` is
            as it was asked for, `computes-in` what the device has.
        tool_version: The version that began the run, or refreshed it last; not compared.
        created: When that was, ISO 8601 UTC; not compared.
        history: What labels were made with before each refresh, oldest first; not compared.
        past_thresholds: Other keypoint thresholds that the run has had, oldest first; not compared.
        root: What media names are relative to, from where the first of the sources points to, so
            that both may be moved; at URLs `//PATH`. None in runs of labels from elsewhere.
        base: What relative sources are relative to, from the run folder, so that both may be moved.
            None where `root` is.
    """

    keypoint_set: Mapping[str, Any]
    sources: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    weights_name: str = ""
    weights_hash: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    tool_version: str = __version__
    created: str = field(default_factory=_now)
    history: tuple[Mapping[str, Any], ...] = ()
    past_thresholds: tuple[float, ...] = ()
    root: str | None = None
    base: str | None = None

    @property
    def names_per_source(self) -> bool:
        """Whether media names are relative to each source, not to what all have in common.

        So it is in a run that was merged from runs of several sources.
        """
        return bool(self.notes.get(NAMES_PER_SOURCE))

    @property
    def holds_files(self) -> bool:
        """Whether labels came from COCO files, whose hidden keypoints have no place; or may have.

        So it is in a run that was merged from such files, and in one that does not say.
        """
        return bool(self.notes.get(HOLDS_FILES, MERGED in self.notes))

    @property
    def keypoint_threshold(self) -> float | None:
        """From which score on a network's keypoints are labelled, in all lines of the journals.

        None where each line says for itself which are: the labels do not come from `annotate`
        alone, or not all with one threshold.
        """
        threshold: float | None = self.options.get(KEYPOINT_THRESHOLD)
        return None if self.holds_files else threshold

    @property
    def generation(self) -> int:
        """How many times labels were begun: 1, and one more for each refresh."""
        return len(self.history) + 1

    @property
    def is_of_urls(self) -> bool:
        """Whether what is labelled lies at URLs, named by themselves or in a list."""
        # On Windows, network shares begin so, too.
        at_urls = os.name != "nt" and self.root is not None and self.root.startswith("//")
        return at_urls or any(map(is_url, self.sources))

    @property
    def num_keypoints(self) -> int:
        """K, the number of keypoints of every instance of the run."""
        return len(self.keypoint_set["keypoints"])

    @classmethod
    def read(cls, path: Path) -> RunManifest:
        """Return the manifest in the file `path`.

        Raises:
            InputError: The file cannot be read, or is no manifest.
        """
        try:
            fields = orjson.loads(path.read_bytes())
            if fields.pop("format") != _FORMAT:
                raise ValueError("another format")
            _check_types(fields)
            lists = {name: tuple(fields.get(name, ())) for name in _LISTS}
            manifest = cls(**{**fields, **lists})
            if manifest.num_keypoints < 1:
                raise ValueError("no keypoints")
        except OSError as error:
            raise read_error(path, error) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{path} is not the manifest of a run: {error}.",
                "Restore it from a copy, or choose another output folder.",
            ) from error
        return manifest

    def at_threshold(self, wanted: float | None) -> RunManifest:
        """Return the manifest of the run with another keypoint threshold, where it can have one.

        Args:
            wanted: The threshold; None for the one that it has.
        """
        before = self.keypoint_threshold
        if before is None or wanted is None or before == wanted:
            return self
        past = dict.fromkeys((*self.past_thresholds, before))
        return replace(
            self,
            options={**self.options, KEYPOINT_THRESHOLD: wanted},
            past_thresholds=tuple(each for each in past if each != wanted),
        )

    def media_root(self, base: Path = Path()) -> Path | None:
        """Return the folder that media names are relative to, None where that is not known.

        Args:
            base: What relative sources are relative to.
        """
        return root_at(self.sources, self.root, base)

    def bases(self, run: Path) -> tuple[Path, ...]:
        """Return what relative sources may be relative to, the likeliest first.

        Where the run was begun, and nothing else as long as a source is there: photos of the same
        name elsewhere are others. Of a run that was moved, or does not say it, where it lies or
        here.

        Args:
            run: The folder that the run lies in now.
        """
        folder = run.resolve()
        if self.base is not None:
            base = Path(os.path.normpath(folder / self.base))
            if any(is_source_there(source, base) for source in self.sources):
                return (base,)
        return folder.parent, Path()

    def are_sources_gone(self, run: Path) -> bool:
        """Return whether nothing is left where any of the sources was, nor where it may be now.

        Args:
            run: The folder that the run lies in now.
        """
        return not any(
            is_url(source) or is_source_there(source, base)
            for base in self.bases(run)
            for source in self.sources
        )

    def with_sources(self, wanted: RunManifest, run: Path) -> RunManifest:
        """Return the manifest of a run that goes on with `wanted`, in which more files may be.

        Args:
            wanted: What it goes on with: the same sources as `resumed_manifest` compares them.
            run: The folder that the run lies in now.
        """
        grew = len({*wanted.sources}) > len({*self.sources})
        known = self.root is not None and self.base is not None and len(self.bases(run)) == 1
        if wanted.root is None or (known and not grew):
            return self
        return replace(self, sources=wanted.sources, root=wanted.root, base=wanted.base)

    def write(self, path: Path) -> None:
        """Write the manifest to `path`, whole or not at all.

        Raises:
            InputError: The file cannot be written.
        """
        fields = {"format": _FORMAT, **asdict(self)}
        with atomic_file(path) as stream:
            stream.write(orjson.dumps(fields, option=orjson.OPT_INDENT_2) + b"\n")


def _check_types(fields: Mapping[str, Any]) -> None:
    """Refuse fields of a manifest that are something else than what is written into it.

    Raises:
        ValueError: One is.
    """
    texts = ("weights_name", "weights_hash", "tool_version", "created")
    kinds: dict[str, type | tuple[type, ...]] = dict.fromkeys(texts, str)
    kinds |= dict.fromkeys(("root", "base"), (str, type(None)))
    kinds |= dict.fromkeys(("keypoint_set", "options", "document", "notes"), dict)
    kinds |= dict.fromkeys(_LISTS, list)
    wrong = [
        name
        for name, kind in kinds.items()
        if name in fields and not isinstance(fields[name], kind)
    ]
    wrong += [
        name
        for name, kind in (("sources", str), ("history", dict))
        if name not in wrong and not all(isinstance(each, kind) for each in fields.get(name, ()))
    ]
    if wrong:
        raise ValueError(f"{wrong[0]} is of another kind")
    thresholds = [fields.get("options", {}).get(KEYPOINT_THRESHOLD, 0)]
    thresholds += fields.get("past_thresholds", ())
    if not all(is_number(each) and 0 <= each <= 1 for each in thresholds):
        raise ValueError("a keypoint threshold of it is no number from 0 to 1")
    keypoint_set = fields["keypoint_set"]
    names = keypoint_set["keypoints"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its keypoints are no names")
    if not isinstance(keypoint_set.get("id"), int):
        raise ValueError("its keypoint_set has no id")


def root_at(sources: Sequence[str], root: str | None, base: Path) -> Path | None:
    """Return the folder that a manifest's `root` means, perhaps not there; None if it has none."""
    if root is None or not sources:
        return None
    try:
        return Path(os.path.normpath(folder_of(based(sources[0], base)) / root))
    except OSError:  # nobody may look there
        return None
