"""Labels in parts for training and validation, so that neither knows the other's scenes.

Frames of one video, or photos of one folder, are alike; where some of them are in training and some
in validation, AP says how well a network remembers. Whole groups are therefore dealt out. They are
dealt in an order that follows from their names and the seed alone, so that a part hardly changes
when photos are added. Splitting photo by photo was refused, also as an option. What belongs to one
person may lie in many folders and videos; then names tell who it is of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.formats import coco
from vitpose_cli.formats.content import ChosenFrame, content_opener
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.formats.written import WriteOptions
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.own_files import OwnFiles
from vitpose_cli.ranges import check_types
from vitpose_cli.records.shards import document_parts
from vitpose_cli.subjects import Subjects
from vitpose_cli.tracking.smoothed_labels import for_document

Group = Literal["folder", "video"]

TRAIN, VAL, TEST = "train", "val", "test"

_NEAR = 0.25
"""Of what was wanted: a part may have so much more or less without a word."""


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """How labels are split.

    Attributes:
        labels: A run folder or COCO file.
        output: The folder that gets `train.json`, `val.json` and, where wanted, `test.json`.
        val: Share of the frames for validation.
        test: Share of the frames for a test.
        by: What stays together: all of a folder, or all of a video (photos are on their own).
        subject: Instead of `by`, a regular expression: all frames in whose names it finds the same
            text (that of its groups, if it has any) stay together.
        reviewed: Take only frames that a person accepted or fixed.
        seed: Of the order in which groups are dealt.
        overwrite: Replace files of an earlier split, and delete a part that is no longer wanted.

    Paths may be given as text.
    """

    labels: Path
    output: Path
    val: float = 0.2
    test: float = 0.0
    by: Group = "video"
    subject: str | None = None
    reviewed: bool = False
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: The shares leave nothing for training, `subject` is no regular expression,
                or something is of another type.
        """
        check_types(self)
        if min(self.val, self.test) < 0 or not 0 < self.val + self.test < 1:
            raise ConfigError(
                "--val and --test must be 0 or more, and together above 0 and below 1."
            )
        if self.subject is not None:
            Subjects(self.subject)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a split.

    Attributes:
        path: The COCO file.
        num_groups: Folders, videos, photos or subjects that were dealt to it.
        num_frames: Its images.
        num_people: Its annotations.
        subjects: Whom it is of, sorted, where `SplitOptions.subject` was given.
        note: Why its share of the frames is far from what was wanted, and what to do; empty where
            it is near.
    """

    path: Path
    num_groups: int
    num_frames: int
    num_people: int
    subjects: tuple[str, ...] | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "path": str(self.path),
            "groups": self.num_groups,
            "frames": self.num_frames,
            "people": self.num_people,
            **({} if self.subjects is None else {"subjects": self.subjects}),
            **({"note": self.note} if self.note else {}),
        }


def split_labels(options: SplitOptions) -> dict[str, Part]:
    """Write the parts; return them by name.

    Raises:
        InputError: The labels cannot be read, have too few groups for the parts that are wanted, or
            names in which `subject` finds nothing; or a part cannot be written, or only in place of
            the labels or of a file that no split wrote; or an earlier split left a part that is not
            wanted, and may not be deleted.
    """
    wanted = {VAL: options.val, TEST: options.test}
    shares = {name: share for name, share in wanted.items() if share}
    paths = {name: options.output / f"{name}.json" for name in (TRAIN, *shares)}
    for path in paths.values():
        if path.exists() and options.labels.exists() and path.samefile(options.labels):
            raise InputError(f"{path} is what is to be split.", "Choose another folder with -o.")
    content_of = content_opener(options.labels, for_document)
    content = content_of(LabelFilter(reviewed=options.reviewed))
    groups = _groups(content.chosen(), content.videos(), options)
    _check_enough(groups, len(shares) + 1, options)
    sizes = {name: len(frames) for name, frames in groups.items()}
    dealt = deal(sizes, shares, options.seed)
    members = {name: [group for group, part in dealt.items() if part == name] for name in paths}
    contents = {}
    for name, path in paths.items():
        names = frozenset(frame for group in members[name] for frame in groups[group])
        contents[path] = content_of(LabelFilter(names, options.reviewed))
    with OwnFiles(options.output) as own:
        for path in paths.values():
            for place in (path, *document_parts(path)):
                own.claim(place)
        unwanted = [options.output / f"{name}.json" for name in (VAL, TEST) if name not in paths]
        outdated = [path for path in unwanted if _is_earlier(own, path, options)]
        # At once: beside a part of an earlier split, frames may be in two of them.
        written = coco.write_together(contents, WriteOptions(overwrite=options.overwrite), outdated)
        own.forget(outdated)
    return {
        name: Part(
            path,
            len(members[name]),
            written[path].num_images,
            written[path].num_instances,
            None if options.subject is None else tuple(sorted(members[name])),
            _note(name, sum(map(sizes.__getitem__, members[name])), sizes, shares, options),
        )
        for name, path in paths.items()
    }


def _groups(
    frames: Iterable[ChosenFrame], videos: Set[str], options: SplitOptions
) -> dict[str, list[str]]:
    """Return the names of the frames of each folder, video or subject.

    Args:
        frames: All of them.
        videos: Names of videos, as far as they have some.
        options: What stays together.

    Raises:
        InputError: There are frames of which nothing says whose they are.
    """
    groups: dict[str, list[str]] = {}
    nobodys: list[str] = []
    subjects = None if options.subject is None else Subjects(options.subject)
    for key, video in frames:
        if subjects is None:
            members = groups.setdefault(group_of(key, options.by, video), [])
        elif (subject := subjects.of(key, video, videos)) is not None:
            members = groups.setdefault(subject, [])
        else:
            members = nobodys
        members.append(str(key))
    if subjects is not None and nobodys:
        instead = "split a file without these frames (`vitpose export --format coco --only`)"
        raise subjects.nobody(nobodys, instead)
    return groups


def _check_enough(groups: Mapping[str, object], num_parts: int, options: SplitOptions) -> None:
    """Refuse to split what has fewer groups than there are parts.

    Raises:
        InputError: It has.
    """
    if len(groups) >= num_parts:
        return
    if options.reviewed and not groups:
        raise InputError(
            f"Nobody has reviewed a frame of {options.labels} yet.",
            "Review some with `vitpose review`, or leave --reviewed out.",
        )
    whole, hint = "videos and photos", "Label more videos or photos."
    if options.subject is not None:
        whole = "subjects"
        if groups:
            hint = f"--subject {options.subject!r} finds only {', '.join(sorted(groups))}."
    elif options.by == "folder":
        whole, hint = "folders", "Split --by video to deal photos out one by one."
    raise InputError(
        f"{options.labels} has labels in too few {whole} for {num_parts} parts: {len(groups)}.",
        hint,
    )


def _note(
    name: str,
    size: int,
    sizes: Mapping[str, int],
    shares: Mapping[str, float],
    options: SplitOptions,
) -> str:
    """Return `Part.note` for a part with so many frames."""
    total = sum(sizes.values())
    largest = max(sizes, key=sizes.__getitem__)
    wanted, share, held = shares.get(name), size / total, sizes[largest] / total
    if wanted is None or held <= wanted or abs(share - wanted) <= _NEAR * wanted:
        return ""
    if options.subject is not None:
        what, advice = f"subject {largest}", "Label more subjects."
    elif options.by == "folder":
        what, advice = f"folder {largest}", "Label more folders, or split --by video."
    elif sizes[largest] == 1:
        what, advice = largest, "Label more photos or videos."
    else:
        what, advice = largest, "Label more videos, or fewer frames of that one (--every, --fps)."
    return (
        f"{name} has {100 * share:.1f} % of the frames, and {100 * wanted:.1f} % were wanted: "
        f"{what} alone has {100 * held:.1f} %, and stays in one part. {advice}"
    )


def _is_earlier(own: OwnFiles, path: Path, options: SplitOptions) -> bool:
    """Return whether an earlier split wrote a part whose frames may be dealt to another one now.

    Raises:
        InputError: It did, and the part may not be deleted.
    """
    if not own.owns(path):
        return False
    if options.labels.exists() and path.samefile(options.labels):
        raise InputError(f"{path} is what is to be split.", "Choose another folder with -o.")
    if not options.overwrite:
        raise InputError(
            f"{path} is there already, from an earlier split, and its frames are dealt anew.",
            "Choose another folder with -o, or --overwrite to delete it.",
        )
    return True


def group_of(key: FrameKey, by: Group, video: str = "") -> str:
    """Return the name of what a frame must stay together with.

    A photo that is named as the frame of a video, as `--extract-frames` names them, is that frame.

    Args:
        key: The frame.
        by: What stays together.
        video: The video that it is of where its name does not tell; empty where it does.
    """
    if by == "video":
        return video or (FrameKey.of_video(key.media) or key).media
    return PurePosixPath(key.media).parent.as_posix()


def deal(sizes: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Return the part that each group goes to; `train` gets what the others leave.

    A part takes each group that brings it nearer to its share; where none does, the smallest.

    Args:
        sizes: Frames of each group; more groups than shares.
        shares: Share of all frames for each part other than `train`.
        seed: Of the order.
    """
    total = sum(sizes.values())
    left = sorted(sizes, key=lambda group: _place(group, seed))
    dealt: dict[str, str] = {}
    for number, (part, share) in enumerate(shares.items(), start=1):
        num_kept = len(shares) - number + 1  # for training, and for each part to come
        chosen = _nearest(left, sizes, share * total, len(left) - num_kept)
        dealt |= dict.fromkeys(chosen, part)
        left = [group for group in left if group not in chosen]
    return dealt | dict.fromkeys(left, TRAIN)


def _nearest(groups: list[str], sizes: Mapping[str, int], wanted: float, most: int) -> set[str]:
    """Return at least one and at most `most` of the groups, with about `wanted` frames."""
    chosen: set[str] = set()
    taken = 0
    for group in groups:
        if taken >= wanted or len(chosen) == most:
            break
        if abs(taken + sizes[group] - wanted) < abs(taken - wanted):
            chosen.add(group)
            taken += sizes[group]
    return chosen or {min(groups, key=sizes.__getitem__)}


def _place(group: str, seed: int) -> bytes:
    return blake2b(f"{seed}:{group}".encode(), digest_size=8).digest()
