"""Published weights by name, and the way from a name or any weights file to one of ours.

What is published stands in `catalog.yaml`; `hub` downloads, `conversions` keeps what was converted.
Nothing here loads torch before a file has to be converted, so that listing is quick.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

import vitpose_cli
from vitpose_cli.config import StrictModel, load_config
from vitpose_cli.errors import WeightsError
from vitpose_cli.models import hub
from vitpose_cli.models.alignments import alignment_of, region_of
from vitpose_cli.models.conversions import Provenance, convert_once
from vitpose_cli.models.trained import is_training_run, trained_weights
from vitpose_cli.models.weights_files import SAVED_MODEL, head_of_file, is_ours, no_weights_file
from vitpose_cli.plurals import did_you_mean

if TYPE_CHECKING:
    from vitpose_cli.pose.geometry import Alignment, Region

_DETECTOR_FILES = ("config.json", "preprocessor_config.json", SAVED_MODEL)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Repository(StrictModel):
    """A repository on Hugging Face."""

    repo: str
    """Its id, `owner/name`."""
    revision: str = "main"
    """Commit, or branch."""

    @property
    def is_pinned(self) -> bool:
        """Whether whoever downloads it gets the same files ever after."""
        return _COMMIT.fullmatch(self.revision) is not None


class PoseFile(StrictModel):
    """A published file that holds the head of one keypoint set."""

    source: str | None = Field(None, alias="from")
    """Key of its repository; None for a file that ships with the tool."""
    file: str
    """Path inside the repository, or name of the shipped file."""
    revision: str | None = None
    """Commit, where it differs from the repository's."""
    sha256: str | None = None
    """Hash of the file, where known."""
    size_mb: int
    """Size of the download."""
    accuracy: float | None = None
    """Published AP on the keypoint set's validation split; PCKh@0.5 for MPII."""


class PoseModel(StrictModel):
    """A published ViTPose: one network, or one for each keypoint set."""

    variant: str
    """Its size."""
    head: Literal["classic", "simple"]
    """Its kind of decoder."""
    licence: str = "Apache-2.0"
    """Licence of the weights."""
    note: str = ""
    """What else to know."""
    keypoint_sets: dict[str, PoseFile]
    """The file for each keypoint set; the first is meant where none is named."""


class DetectorModel(Repository):
    """A published object detector that transformers runs."""

    size_mb: int
    """Size of the download."""
    box_ap: float
    """AP on COCO val2017."""
    licence: str = "Apache-2.0"
    """Licence of the weights."""
    note: str = ""
    """What else to know."""


class Catalog(StrictModel):
    """Everything that can be asked for by name."""

    repositories: dict[str, Repository]
    """Repositories of pose weights by short name."""
    pose: dict[str, PoseModel]
    """Pose weights by name."""
    detectors: dict[str, DetectorModel]
    """Detectors by name."""


@dataclass(frozen=True, slots=True)
class PoseWeights:
    """One row of the catalog: a model, one of its keypoint sets, and the file to fetch.

    Attributes:
        name: Name of the model.
        keypoint_set: The keypoint set.
        model: The model.
        file: The file.
        repository: Where it is, None where it ships with the tool.
    """

    name: str
    keypoint_set: str
    model: PoseModel
    file: PoseFile
    repository: Repository | None

    @property
    def full_name(self) -> str:
        """NAME:KEYPOINT_SET, which means this file and no other."""
        return f"{self.name}:{self.keypoint_set}"

    @property
    def alignment(self) -> Alignment:
        """How crops and targets of this head were aligned in training."""
        return alignment_of(self.keypoint_set)

    @property
    def region(self) -> Region:
        """What of a frame this head was shown in training."""
        return region_of(self.keypoint_set)

    @property
    def revision(self) -> str:
        """Commit or branch of the file; empty where it ships with the tool."""
        return self.file.revision or (self.repository.revision if self.repository else "")

    @property
    def is_pinned(self) -> bool:
        """Whether whoever downloads the file gets the same one ever after, or none."""
        is_known = self.repository is None or self.file.sha256 is not None
        return is_known or _COMMIT.fullmatch(self.revision) is not None

    @property
    def address(self) -> str:
        """Where the file is from, in words."""
        if self.repository is None:
            return f"shipped with vitpose: {self.file.file}"
        return f"huggingface.co/{self.repository.repo} {self.file.file} @ {self.revision}"


@cache
def load_catalog() -> Catalog:
    """Read the catalog that comes with the tool."""
    return load_config(Catalog, Path(__file__).with_name("catalog.yaml"))


def pose_weights() -> Iterator[PoseWeights]:
    """Yield every published pose file by model and keypoint set."""
    catalog = load_catalog()
    for name, model in catalog.pose.items():
        for keypoint_set, file in model.keypoint_sets.items():
            repository = catalog.repositories[file.source] if file.source else None
            yield PoseWeights(name, keypoint_set, model, file, repository)


def find_pose_weights(name: str, keypoint_set: str | None = None) -> PoseWeights:
    """Return the published file of a name.

    Args:
        name: NAME or NAME:KEYPOINT_SET.
        keypoint_set: The keypoint set, where the name does not say it; the model's first if None.

    Raises:
        WeightsError: There is no such name, or no such keypoint set under it.
    """
    model_name, _, named_set = name.partition(":")
    rows = [row for row in pose_weights() if row.name == model_name]
    if not rows:
        raise _unknown(name, load_catalog().pose)
    wanted = named_set or keypoint_set or rows[0].keypoint_set
    found = next((row for row in rows if row.keypoint_set == wanted), None)
    if found is None or (named_set and keypoint_set and named_set != keypoint_set):
        raise WeightsError(
            f"{name} has no keypoint set {keypoint_set if found else wanted!r}.",
            f"It has: {', '.join(row.full_name for row in rows)}.",
        )
    return found


def resolve_weights(
    name_or_path: str | Path, *, keypoint_set: str | None = None, whole: bool = False
) -> Path:
    """Return a weights file of ours for a catalog name or for any file.

    Args:
        name_or_path: NAME or NAME:KEYPOINT_SET of the catalog, downloaded at need; one of our
            files, returned as it is; the folder of a training run, whose best weights are
            returned; or a file or folder of another project.
        keypoint_set: The head to take, where several are to be had.
        whole: Of another project's file, keep all heads and experts, as training can use them.

    Raises:
        ConfigError: There is no keypoint set of this name.
        WeightsError: There is no such name or file; it cannot be downloaded, read or converted.
    """
    path = Path(name_or_path)
    is_word = isinstance(name_or_path, str) and path.name == name_or_path and not path.suffix
    if not is_catalog_name(name_or_path):
        if path.is_dir():
            path = _in_folder(path)
        if path.exists():
            return path if is_ours(path) else convert_once(path, keypoint_set, whole=whole)
        if not is_word or head_of_file(path) is not None:
            raise no_weights_file(path)
    row = find_pose_weights(path.name, keypoint_set)
    source = download(row)
    if row.repository is None:
        return source
    provenance = Provenance(row.full_name, row.address, row.model.licence, row.file.sha256)
    return convert_once(source, row.keypoint_set, provenance, whole=whole)


def is_catalog_name(name_or_path: str | Path) -> bool:
    """Say whether weights are taken from the catalog, whatever file or folder is called so."""
    return isinstance(name_or_path, str) and name_or_path.partition(":")[0] in load_catalog().pose


def _in_folder(folder: Path) -> Path:
    """Return the weights file of a training run, or the folder itself where transformers saved.

    Raises:
        WeightsError: It is neither, or nothing was learnt yet.
    """
    if is_training_run(folder):
        trained = trained_weights(folder)
        if not trained.exists():
            raise WeightsError(
                f"The training run {folder} has no {trained.name} yet.",
                "It comes with the first checkpoint of the run.",
            )
        return trained
    if not (folder / SAVED_MODEL).exists():
        raise WeightsError(
            f"{folder} is a folder without weights.",
            "Give a weights file, the folder of a training run, or one that transformers saved.",
        )
    return folder


def download(row: PoseWeights) -> Path:
    """Return a published file as it was published, downloaded if it is not in the cache.

    Raises:
        WeightsError: It cannot be downloaded.
    """
    if row.repository is None:
        return _shipped(row.file.file)
    of_transformers = row.file.file.endswith(".safetensors")
    files = ("config.json", row.file.file) if of_transformers else (row.file.file,)
    is_main = row.keypoint_set == next(iter(row.model.keypoint_sets))
    option = "--weights" if is_main else f"--weights, with --keypoint-set {row.keypoint_set}"
    use = hub.Use(files, option)
    *_, path = (hub.fetch(row.repository.repo, file, row.revision, use) for file in files)
    return path


def resolve_detector(name: str) -> DetectorModel:
    """Return the published detector of a name.

    Raises:
        WeightsError: There is none.
    """
    detectors = load_catalog().detectors
    if name not in detectors:
        raise _unknown(name, detectors)
    return detectors[name]


def download_detector(repository: Repository) -> Path:
    """Return the folder with a detector's files, downloaded if they are not in the cache.

    Raises:
        WeightsError: They cannot be downloaded.
    """
    use = hub.Use(_DETECTOR_FILES, "--detector")
    *_, path = (
        hub.fetch(repository.repo, file, repository.revision, use) for file in _DETECTOR_FILES
    )
    return path.parent


def shipped_weights_dir() -> Path:
    """Return the folder of the weights that came with the tool, installed or in a checkout."""
    package = Path(vitpose_cli.__file__).parent
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"


def _shipped(file: str) -> Path:
    path = shipped_weights_dir() / file
    if not path.is_file():
        raise WeightsError(
            f"{path} is missing, which ships with the tool.", "Install the tool again."
        )
    return path


def _unknown(name: str, known: Iterable[str]) -> WeightsError:
    """Return the error for a name that is not in the catalog, with the likeliest meant."""
    guess = did_you_mean(name.partition(":")[0], known)
    return WeightsError(
        f"There are no weights called {name!r}.",
        f"{guess}`vitpose weights list` names all; a file is given by its path.",
    )
