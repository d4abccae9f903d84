"""The manifest that a labelling run begins with: what its labels depend on, and what names mean."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import Assembly, LabelerOptions
from vitpose_cli.media.places import folder_of, without_dots
from vitpose_cli.media.remote import is_url, without_secrets
from vitpose_cli.media.source import MediaSource
from vitpose_cli.records.folder import has_run, known_roots, stored_manifest
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.run_options import KEYPOINT_THRESHOLD
from vitpose_cli.runtime import precision_name, precisions


def new_manifest(options: AnnotateOptions, assembly: Assembly) -> RunManifest:
    """Return what the labels depend on, and notes."""
    labeler, estimator = options.labeler, assembly.estimator
    return RunManifest(
        keypoint_set=estimator.keypoint_set.to_category(),
        sources=tuple(map(_written, options.sources)),
        options={
            "detector": assembly.detector_name,
            **({"detector-size": labeler.detector_size} if labeler.detector_size else {}),
            **({"detector-tile": labeler.detector_tile} if labeler.detector_tile else {}),
            "flip-test": labeler.flip_test,
            "box-threshold": labeler.box_threshold,
            KEYPOINT_THRESHOLD: estimator.options.keypoint_threshold,
            **({} if options.video is None else asdict(options.video)),
            **({"detect-every": labeler.detect_every} if labeler.detect_every > 1 else {}),
            "precision": precision_name(estimator.options.dtype),
        },
        weights_name=assembly.weights_name,
        weights_hash=assembly.weights_hash,
        document={"track": options.track, "smooth": options.smooth},
        notes={
            "device": str(estimator.options.device),
            "precision": labeler.precision,
            "computes-in": precisions(estimator.options.device),
            "batch-size": estimator.batch_size,
            "compiled": estimator.options.compiled,
        },
    )


def labeler_of_run(options: AnnotateOptions) -> LabelerOptions:
    """Return what to label with: a run that goes on keeps its keypoint threshold.

    That is so unless another one was asked for: it would change labels that are there.

    Raises:
        InputError: The run's manifest cannot be read.
    """
    labeler = options.labeler
    if labeler.keypoint_threshold is not None or options.overwrite or not has_run(options.run):
        return labeler
    threshold = stored_manifest(options.run).options.get(KEYPOINT_THRESHOLD)
    return replace(labeler, keypoint_threshold=threshold)


def roots_of_names(options: AnnotateOptions) -> tuple[Path, ...]:
    """Return what the names of a run that goes on may be relative to.

    Raises:
        InputError: Its manifest cannot be read.
    """
    return () if options.overwrite else known_roots(options.run)


def located(manifest: RunManifest, options: AnnotateOptions, source: MediaSource) -> RunManifest:
    """Return the manifest of a run with what its names, and its sources, are relative to."""
    root = source.root
    if not root.as_posix().startswith("//"):  # of URLs, and the network shares of Windows
        root = _seen_from(folder_of(options.sources[0]), root)
    base = _seen_from(options.run.resolve(), Path.cwd())
    return replace(manifest, root=root.as_posix(), base=base.as_posix())


def _seen_from(folder: Path, path: Path) -> Path:
    """Return a path relative to `folder`; on another drive, as it is."""
    with suppress(ValueError):
        return Path(os.path.relpath(path, folder))
    return path


def _written(source: str) -> str:
    """Return a source as a manifest has it; relative where it was, and without secrets."""
    if is_url(source):
        return without_secrets(source)
    sign = "@" * source.startswith("@")
    path = Path(source[len(sign) :])
    place = without_dots(path)
    if place.is_absolute() and not path.is_absolute():  # behind a link
        place = _seen_from(Path.cwd(), place)
    return f"{sign}{place}"
