"""`vitpose review`: correct labels in the browser."""

from __future__ import annotations

import os
import sys
from getpass import getpass
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import note, stdout
from vitpose_cli.plurals import counted

_PASSWORD = "VITPOSE_REVIEW_PASSWORD"


def review(
    subject: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run folder, or a COCO-keypoint file (corrections go into FILE.vitpose).",
            show_default=False,
        ),
    ],
    queue: Annotated[
        Path | None,
        typer.Option(
            "--queue",
            "-q",
            metavar="FILE",
            help="Only these frames, in this order: a COCO file, such as `vitpose select` writes.",
        ),
    ] = None,
    images: options.LabelledImages = None,
    reviewer: Annotated[
        str | None,
        typer.Option("--reviewer", metavar="NAME", help="Your name. Default: your login."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            metavar="N",
            help="The port to listen on; 0 takes any. Default: the first free one from 8787 on.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="NAME",
            help=f"Let other machines connect, too; asks for a password, or takes {_PASSWORD}.",
        ),
    ] = "127.0.0.1",
    follow_links: Annotated[
        bool,
        typer.Option(
            "--follow-links", help="Also show photos that links lead outside the folder for."
        ),
    ] = False,
    browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser of this machine.")
    ] = False,
) -> None:
    """Correct labels in the browser.

    Prints the address of a page that works on this machine only, until Ctrl-C. Every edit is on
    the disk at once, and no later run overwrites a person's labels.

    Examples:
      vitpose review photos.vitpose
      vitpose review photos.vitpose --queue photos.vitpose/queue.json
      vitpose review person_keypoints.json --images photos/
    """
    from vitpose_cli.review.launch import ReviewOptions, is_local, review

    chosen = ReviewOptions(
        subject=subject,
        reviewer=options.login() if reviewer is None else reviewer,
        queue=queue,
        images=images,
        follow_links=follow_links,
        host=host,
        port=port,
        password=None if is_local(host) else _password(),
    )

    def ready(address: str) -> None:
        note("Open this page; Ctrl-C ends the review.")
        stdout.print(address, soft_wrap=True)
        sys.stdout.flush()
        if browser:
            # Some browsers are waited for, which in their turn wait for the page.
            Thread(target=typer.launch, args=(address,), daemon=True).start()

    outcome = review(chosen, ready=ready, say=note)
    if outcome.written is None:
        note("Nothing was changed.")
    elif not outcome.num_edited:
        note(f"Edits of an earlier review -> {outcome.written.annotations}")
    else:
        frames = counted(outcome.num_edited, "frame")
        note(f"{frames} reviewed -> {outcome.written.annotations}")


def _password() -> str | None:
    """Return the password from the environment, else from the person at the terminal."""
    given = os.environ.get(_PASSWORD)
    if given is None and sys.stdin.isatty():
        return getpass("Password for the page: ")
    return given
