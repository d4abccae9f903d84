"""Photos as Label Studio serves them from its own disk.

It serves a file if the folder that the file lies in is covered by a *Local files* storage of the
project. That must be a folder below the document root, and not the document root itself. So the
document root is the folder above the one that was labelled, and URLs begin with the name of the
latter. The document root `/`, which is Label Studio's default, was refused: URLs would name all of
this machine's folders, and be wrong on any other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vitpose_cli.errors import InputError
from vitpose_cli.formats.content import Content
from vitpose_cli.media.archives import photo_at
from vitpose_cli.plurals import first_few
from vitpose_cli.records.media_root import MediaFolders, find_folders

SERVED = "/data/local-files/?d="
"""What stands before the path of a file, from the document root on."""


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """The folders that photos are served from.

    Attributes:
        root: The document root, above all of them.
        media: The folders, each of which is a storage of its own.
    """

    root: Path
    media: MediaFolders

    @classmethod
    def of(cls, content: Content, images: Path | None) -> LocalFiles | None:
        """Find the photos of what is written; None where they are not found.

        Args:
            content: What is written.
            images: The folder that they lie in; None for where they were labelled.

        Raises:
            InputError: None of them is in `images`.
        """
        places = content.folders() if images is None else [MediaFolders.at(images)]
        try:
            media = find_folders(places, (each.record.key for each in content.frames()))
            if media.folders[1:]:
                media = _with_photos(media, content)
            root = Path(os.path.commonpath([folder.parent for folder in media.folders]))
        except (InputError, ValueError):  # on another machine, or on several drives
            if images is not None:
                raise
            return None
        return cls(root, media)

    def url(self, name: str) -> str:
        """Return what Label Studio loads a photo by.

        Raises:
            InputError: The name leads out of the folder.
        """
        return SERVED + quote(self.media.path(name).relative_to(self.root).as_posix())

    def has(self, name: str) -> bool:
        """Return whether there is a file that can be loaded: a frame of a video mostly is none.

        Raises:
            InputError: The name leads out of the folder.
        """
        return self.media.path(name).is_file()

    def settings(self) -> str:
        """Return how Label Studio is to be set up, in words."""
        folders = [*map(str, self.media.folders)]
        storage = "storages with the paths" if folders[1:] else "storage with the path"
        return (
            "For Label Studio to load the photos, start it with "
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={self.root}, and add to the project, under "
            f"Settings → Cloud Storage, the Local files {storage} "
            f"{first_few(folders)} (no sync)."
        )


def _with_photos(media: MediaFolders, content: Content) -> MediaFolders:
    """Return the folders that photos are in; where none is, frames of videos belong into all."""
    places = {
        next((each for each in media.folders if photo_at(each / str(frame.record.key))), None)
        for frame in content.frames()
    }
    return MediaFolders(tuple(each for each in media.folders if each in places) or media.folders)
