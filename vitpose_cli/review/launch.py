"""From options to a running review: the run, its pictures, the queue, the address.

The workflow behind `vitpose review`. Whatever can be wrong is found here, before anything is
served, and said on the terminal.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vitpose_cli.errors import ConfigError
from vitpose_cli.plurals import counted
from vitpose_cli.ranges import check_types
from vitpose_cli.records.media_root import MediaFolders, find_folders, labelled_folders
from vitpose_cli.records.run import Run
from vitpose_cli.records.run_document import ExportSummary
from vitpose_cli.review.coco_file import import_file
from vitpose_cli.review.pictures import PictureReader
from vitpose_cli.review.queue import read_queue
from vitpose_cli.review.server import listen, serve
from vitpose_cli.review.session import ReviewSession

LOCAL_HOST = "127.0.0.1"
MIN_PASSWORD_CHARS = 8


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """What to review, and who may.

    Attributes:
        subject: A run folder, or a COCO-keypoint file.
        reviewer: Who corrects.
        queue: Which frames to look at, see `queue`; None for all.
        images: Where photos and videos lie; None where the run says.
        follow_links: Show pictures that links inside of that folder lead out of it for.
        host: The name or address to listen on.
        port: None takes the usual one, or one of those behind it.
        password: Needed for a host that other machines reach.

    Paths may be given as text.
    """

    subject: Path
    reviewer: str
    queue: Path | None = None
    images: Path | None = None
    follow_links: bool = False
    host: str = LOCAL_HOST
    port: int | None = None
    password: str | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Something is of another type.
        """
        check_types(self)


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """What a review has changed.

    Attributes:
        run: The run folder with the edits.
        num_edited: Frames that were changed or decided.
        written: The new document; None where the one that is there has every edit.
    """

    run: Path
    num_edited: int
    written: ExportSummary | None


def is_local(host: str) -> bool:
    """Return whether only this machine can connect to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def review(
    options: ReviewOptions, *, ready: Callable[[str], None], say: Callable[[str], None]
) -> ReviewSummary:
    """Serve the review page until Ctrl-C; then write the run's document anew.

    Args:
        options: What to review.
        ready: Takes the address of the page, once it can be opened.
        say: Takes a sentence for the user.

    Raises:
        ConfigError: Other machines could connect without a good password.
        InputError: Run, file, queue, pictures or address cannot be used.
    """
    local = is_local(options.host)
    if not local and len(options.password or "") < MIN_PASSWORD_CHARS:
        raise ConfigError(
            f"Other machines can connect to {options.host}: a password of at least "
            f"{MIN_PASSWORD_CHARS} characters is needed.",
            "Set VITPOSE_REVIEW_PASSWORD; or stay with 127.0.0.1 and tunnel: "
            "ssh -L 8787:127.0.0.1:8787 MACHINE",
        )
    folder = _run_folder(options, say)
    queue = None if options.queue is None else read_queue(options.queue)
    with closing(Run.edit(folder, read=False)) as run:
        session = ReviewSession(run, reviewer=options.reviewer, queue=queue)
        places = labelled_folders(run.manifest, folder)
        if options.images:
            places = [MediaFolders.at(options.images)]
        folders = find_folders(places, session.keys())
        with closing(listen(options.host, options.port)) as listener:
            say(_greeting(session, len(queue or ())))
            if not local:
                say("The password and all pictures travel unencrypted: use a network you trust.")
            serve(
                session,
                PictureReader(folders, follow_links=options.follow_links),
                listener,
                host=options.host,
                password=None if local else options.password,
                ready=ready,
            )
        if session.num_edited:
            say("Every edit is saved. Writing annotations.json ...")
        return ReviewSummary(folder, session.num_edited, session.close())


def _run_folder(options: ReviewOptions, say: Callable[[str], None]) -> Path:
    """Return the run to open: the subject itself, or the one beside a COCO file."""
    if options.subject.is_dir():
        return options.subject
    imported = import_file(
        options.subject, options.images, follow_links=options.follow_links, say=say
    )
    say(f"{options.subject} stays as it is; edits go into {imported.run}.")
    if imported.num_left_out:
        left_out = counted(imported.num_left_out, "annotation")
        say(f"{left_out} without keypoints, or of crowds, left out.")
    return imported.run


def _greeting(session: ReviewSession, num_wanted: int) -> str:
    """Return a sentence about what there is to review."""
    if not num_wanted:
        number = counted(len(session), "frame")
        if not session.is_whole:
            number = f"More than {number}"
        return f"{number} to review, as {session.reviewer or 'nobody by name'}."
    missing = num_wanted - session.num_queued
    return f"{session.num_queued} of {len(session)} frames to review" + (
        f"; {missing} of the queue are not in this run." if missing else "."
    )
