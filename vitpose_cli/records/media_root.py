"""Where the photos and videos of labels lie: records name them relative to a folder, and no more.

Labels that were merged may have several such folders. None is stored in records, since sets are
moved between machines; what was labelled, as the user named it, is in the manifest of a run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.finding import find_media_root
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.kinds import is_archive, is_video
from vitpose_cli.media.places import based
from vitpose_cli.records.coco import safe_media_path
from vitpose_cli.records.composed_names import forms
from vitpose_cli.records.manifest import RunManifest

_NUM_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class MediaFolders:
    """Folders that media names are relative to: one, or those of several runs that were merged.

    Attributes:
        folders: At least one. Where two have the same name, the first counts.
    """

    folders: tuple[Path, ...]

    @classmethod
    def at(cls, *folders: Path) -> MediaFolders:
        """Return folders, each once, whatever they are called; for an archive, the one it is in.

        Photos are called by their archive's name, too.
        """
        places = (
            place.parent if is_archive(place) and place.is_file() else place for place in folders
        )
        return cls(tuple(dict.fromkeys(place.resolve() for place in places)))

    def __str__(self) -> str:
        return ", ".join(map(str, self.folders))

    def path(self, name: str, *, follow_links: bool = True) -> Path:
        """Return where a file lies, or would lie if there were one; never outside of a folder.

        It is found in other forms of its name, too (`composed_names`), if there is none of its own.

        Args:
            name: A media name, or the name of a frame.
            follow_links: Whether links inside a folder may lead out of it.

        Raises:
            InputError: The name leads out of the folder.
        """
        first, *others = (
            safe_media_path(folder, form, follow_links=follow_links)
            for form in forms(name)
            for folder in self.folders
        )
        if not others:
            return first
        return next((path for path in (first, *others) if photo_at(path) is not None), first)

    def stored_name(self, name: str) -> str:
        """Return a media name in the form in which its file is found; itself where none is there.

        Raises:
            InputError: The name leads out of the folder.
        """
        own, *others = forms(name)
        found = self.path(name) if others else None
        return next(
            (
                form
                for form in others
                for folder in self.folders
                if safe_media_path(folder, form) == found
            ),
            own,
        )

    def has(self, key: FrameKey) -> bool:
        """Return whether a frame is there, in one way or the other; see `stored_keys`.

        Raises:
            InputError: Nobody may look there.
        """
        try:
            for folder in self.folders:
                safe_media_path(folder, key.media)
        except InputError:
            return False
        return any(stored is not None for stored in self.stored_keys([key]))

    def stored_keys(
        self, keys: Iterable[FrameKey], *, follow_links: bool = True
    ) -> Iterator[FrameKey | None]:
        """Yield the key by which each frame is read here; None for one that is not there.

        A frame is in its video, or was extracted from it to a photo of its name. What is called
        like such a photo, and is none, is the frame of a video that is there: other programs drop
        what a document says of videos. Both keys are the same as `str`.

        Args:
            keys: The frames.
            follow_links: Whether links inside a folder may lead out of it.

        Raises:
            InputError: A name leads out of the folder, or nobody may look there.
        """
        known: dict[str, bool] = {}

        def is_there(media: str) -> bool:
            if media not in known:
                known[media] = photo_at(self.path(media, follow_links=follow_links)) is not None
            return known[media]

        for key in keys:
            other = FrameKey.of_video(key.media) if key.video is None else FrameKey(str(key))
            if is_there(key.media):
                yield key
            elif other is None or not is_there(other.media):
                yield None
            else:
                is_frame = other.video is None or is_video(self.path(other.media))
                yield other if is_frame else None

    def read(self, keys: Iterable[FrameKey]) -> Iterator[Frame | FrameFailure]:
        """Yield frames under the keys that they are asked for by: photos first, each sorted.

        Raises:
            InputError: A name leads out of the folder, or nobody may look there.
        """
        # Only here: most formats need no photos, and so no OpenCV.
        from vitpose_cli.media.lookup import read_frames

        wanted = sorted(keys)
        asked: dict[FrameKey, list[FrameKey]] = {}
        for key, stored in zip(wanted, self.stored_keys(wanted), strict=True):
            if stored is None:
                yield FrameFailure(key, f"It is not in {self}.")
            else:
                asked.setdefault(stored, []).append(key)
        for frame in read_frames({key.media: self.path(key.media) for key in asked}, asked):
            for key in asked[frame.key]:
                yield replace(frame, key=key)


def find_folders(places: Iterable[MediaFolders], keys: Iterable[FrameKey]) -> MediaFolders:
    """Return the folders that the media names of frames are relative to.

    Args:
        places: What to try, in this order.
        keys: The frames; some must be found, so that a wrong folder is noticed at once.

    Raises:
        InputError: Nowhere is any of them.
    """
    samples = list(islice(keys, _NUM_SAMPLES))
    tried = list(dict.fromkeys(places))
    for place in tried:
        if any(map(place.has, samples)):
            return place
    example = repr(samples[0].media) if samples else "one"
    raise InputError(
        f"The photos and videos, such as {example}, are not in "
        f"{', '.join(map(str, tried)) or 'any folder that is known here'}.",
        "Give the folder that they lie in, or a copy of what is at a URL, with --images.",
    )


def read_found(
    places: Iterable[MediaFolders], keys: Collection[FrameKey]
) -> Iterator[Frame | FrameFailure]:
    """Yield the frames of `keys` from the first of the places that has them.

    Raises:
        InputError: None has any of them, or a name leads out of it.
    """
    yield from find_folders(places, sorted(keys)).read(keys)


def labelled_folders(manifest: RunManifest, run: Path) -> list[MediaFolders]:
    """Return where the sources of a run may be, the likeliest first; nowhere if they are at URLs.

    Relative paths are looked for where the run was begun, or, where nothing of them is there or
    the run does not say it, beside the run, then in the working folder. Where a run does not say
    what its names are relative to, that is what all sources have in common, or, where runs were
    merged, each source.

    Args:
        manifest: Of the run.
        run: The folder that the run lies in.
    """
    if manifest.is_of_urls:
        return []
    sources = manifest.sources
    places = []
    for base in manifest.bases(run):
        known = manifest.media_root(base)
        if known is not None:
            folders = [known] if known.is_dir() else []
        else:
            named = [based(source, base) for source in sources]
            tried = [named, *([source] for source in named if len(named) > 1)]
            folders = [each for each in map(_root_of, tried) if each is not None]
        if folders:
            places.append(MediaFolders.at(*folders))
    return places


def _root_of(sources: Sequence[str]) -> Path | None:
    """Return the folder that media names of some sources are relative to, if they are there."""
    if len(sources) == 1 and Path(sources[0]).is_dir():
        return Path(sources[0])
    try:
        return find_media_root(sources)
    except InputError:
        return None
