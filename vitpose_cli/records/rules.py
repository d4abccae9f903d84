"""The rules for a COCO-keypoint file that every consumer accepts, and the report about one file.

Each rule is there because some reader fails, loses a label or is misled without it; docs/formats.md
says which. An error is what loses or refuses labels somewhere; a warning is what may be meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Severity = Literal["error", "warning"]

SHOWN_PER_RULE = 20
"""Violations of one rule that are kept; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold.

    Attributes:
        severity: How bad it is when it does not.
        hint: What to do about it.
    """

    severity: Severity
    hint: str


def _errors(**hints: str) -> dict[str, Rule]:
    return {name.replace("_", "-"): Rule("error", hint) for name, hint in hints.items()}


def _warnings(**hints: str) -> dict[str, Rule]:
    return {name.replace("_", "-"): Rule("warning", hint) for name, hint in hints.items()}


RULES: Mapping[str, Rule] = MappingProxyType(
    _errors(
        section_missing="A COCO file is one object with images, annotations and categories.",
        section_repeated="Readers keep only one of them: join the lists.",
        section_type="Write images, annotations, categories and videos as lists.",
        item_type="Every element of images, annotations and categories is an object.",
        image_id="Number the images from 1 with whole numbers; CVAT and mmpose need them.",
        image_id_unique="Give every image an id of its own.",
        image_size="Write width and height in px, of the upright picture; FiftyOne, mmpose, "
        "Label Studio and Ultralytics need them.",
        file_name="Write the path of the photo relative to the folder of the photos.",
        file_name_path="Write relative paths with forward slashes, without '..'.",
        file_name_unique="Every photo is one entry of images.",
        video_id="Give the id of an entry of videos.",
        frame_id="Write the number of the video frame from 0, and its time in seconds.",
        category_id="Number the categories from 1; importers lose the labels of category 0.",
        category_id_unique="Give every category an id of its own.",
        category_name="Give every category a name of its own; CVAT matches labels by it.",
        category_keypoints="List the names of the keypoints, each once.",
        skeleton="Write pairs of keypoint numbers, counted from 1.",
        flip_pairs="Write pairs of keypoint names, each name once and in all categories "
        "the same, or leave flip_pairs out.",
        sigmas="Write one number above 0 for each keypoint, in all categories the same, or leave "
        "sigmas out.",
        annotation_id="Number the annotations from 1; evaluation mistakes id 0 for no match.",
        annotation_id_unique="Give every annotation an id of its own, over the whole file.",
        image_reference="image_id must be the id of an entry of images.",
        category_reference="category_id must be the id of an entry of categories.",
        bbox="Write [left, top, width, height] in px, with width and height above 0.",
        bbox_outside="Such an instance is dropped by trainers: remove it or correct its box.",
        area="Write the area in px², above 0; width x height of the box where no outline is "
        "known. Without it pycocotools stops, and `vitpose evaluate` takes 0.53 of the box.",
        iscrowd="Write 0; 1 only for a crowd that is one annotation.",
        segmentation="Write [] where there is no outline; datumaro and CVAT need the field.",
        keypoints="Write x, y, v for each keypoint of the category; every annotation needs them.",
        visibility="v is 0 (not labelled), 1 (hidden) or 2 (visible). Scores belong in "
        "keypoint_scores, or in a results file.",
        num_keypoints="Write how many keypoints have v > 0.",
        score="Write a number; datumaro refuses anything else.",
        keypoint_scores="Write one number for each keypoint of the category.",
        keypoints_smoothed="Write x, y, v for each keypoint of the category, as in keypoints.",
        attributes="Write an object of names and plain values.",
        track_id="Write a whole number.",
        results_empty="pycocotools cannot load an empty results file; skip its evaluation.",
        results_image="Write the id of an image of the ground truth, or a file_name.",
        results_category="Write the category id of the ground truth.",
        results_score="Write a number: evaluation ranks by it.",
        results_labels="Write keypoints (x, y, score for each) or bbox (x, y, width, height).",
    )
    | _warnings(
        image_id_zero="Number the images from 1; some readers take 0 for none.",
        file_stem_unique="Readers that drop the suffix (CVAT, datumaro) mix these photos up: "
        "rename one.",
        category_without_keypoints="Remove categories that are no bodies; some tools add them.",
        category_keypoints_alike="Trainers and evaluation take one list of keypoints: `vitpose "
        "export FILE --format coco --category NAME -o OUT` writes a file of one.",
        skeleton_edge="The edge is drawn twice, or joins a keypoint with itself.",
        bbox_inside="Boxes are cut at the border of the picture by most readers.",
        bbox_duplicate="Ultralytics keeps one of two equal boxes: remove the double, or move it.",
        crowd="Trainers drop crowds; evaluation ignores what lies in them.",
        segmentation_outline="CVAT makes a polygon of its own of it, beside the skeleton.",
        unlabelled_place="Write 0, 0, 0 for a keypoint that is not labelled: some tools draw it.",
        keypoint_inside="A visible keypoint outside of the picture is refused by Ultralytics.",
        nothing_labelled="Trainers and evaluation skip an annotation without labelled keypoints.",
        score_missing="Some versions of Label Studio's converter need it; write 1 where unknown.",
        attribute_names="FiftyOne mixes attributes with fields of the same name: rename them.",
        track_id_unique="Nobody is twice in one picture: remove the double, or give it another id.",
        uid_unique="Corrections come back by uid: give each instance its own.",
    )
)
"""All rules by name."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something in a file that breaks a rule.

    Attributes:
        rule: A name in `RULES`.
        place: Where, such as `annotations[12].bbox`.
        message: What is there.
    """

    rule: str
    place: str
    message: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return RULES[self.rule].severity

    @property
    def hint(self) -> str:
        """What to do about it."""
        return RULES[self.rule].hint


@dataclass(slots=True)
class Validation:
    """The report about one file.

    Attributes:
        path: The file.
        kind: `annotations`, or `results` for a bare list.
        num_images: Images in the file.
        num_annotations: Annotations, or results.
        violations: In the order of the file, `SHOWN_PER_RULE` of each rule.
        counts: How often each rule is broken, by name.
    """

    path: Path
    kind: Literal["annotations", "results"] = "annotations"
    num_images: int = 0
    num_annotations: int = 0
    violations: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, rule: str, place: str, message: str) -> None:
        """Take note of a violation."""
        self.counts[rule] += 1
        if self.counts[rule] <= SHOWN_PER_RULE:
            self.violations.append(Violation(rule, place, message))

    @property
    def num_errors(self) -> int:
        """Violations of rules that are errors."""
        return self._count("error")

    @property
    def num_warnings(self) -> int:
        """Violations of rules that are warnings."""
        return self._count("warning")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "file": str(self.path),
            "valid": not self.num_errors,
            "kind": self.kind,
            "num_images": self.num_images,
            "num_annotations": self.num_annotations,
            "num_errors": self.num_errors,
            "num_warnings": self.num_warnings,
            "counts": dict(self.counts),
            "violations": [
                {
                    "severity": violation.severity,
                    "rule": violation.rule,
                    "place": violation.place,
                    "message": violation.message,
                    "hint": violation.hint,
                }
                for violation in self.violations
            ],
        }

    def _count(self, severity: Severity) -> int:
        return sum(count for rule, count in self.counts.items() if RULES[rule].severity == severity)
