"""What is known about one frame: a `FrameRecord`, and its JSON form.

A record is one line of the journal. Its numbers are rounded when it is made, so that what is in
memory is what is on disk, and a document made from fresh records equals one made after a resume.
Keypoints below the visibility threshold keep their raw place and score here; only the COCO
document sets them to zero, so that another threshold never needs another run.

The order of the JSON fields is part of the format: the journal finds key, origin, `set_aside` and
error at the front of the line without parsing the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import InitVar, asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal, get_args
from zlib import crc32

import numpy as np
import orjson
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.sighting import Sighting

Origin = Literal["model", "human"]
ReviewState = Literal["draft", "accepted", "fixed", "rejected"]

COORDINATE_DECIMALS = 2
SCORE_DECIMALS = 4
TIME_DECIMALS = 6

ROUNDING_PX = 0.05
"""Smaller moves are none: records and programs that keep decimals round as far."""

BY_HAND_SCORE = 1.0
"""What a keypoint scores that a person placed, and no other: see `scores_of_network`."""

MAX_TRACK_ID = 1 << 62
"""The largest identity that is taken from elsewhere."""

MAX_UID_CHARS = 200
"""Longer names of people, from other programs, are replaced by names of ours."""


@dataclass(frozen=True, slots=True)
class Review:
    """What a person decided about a frame.

    Attributes:
        state: `accepted` as it was, `fixed` by hand, `rejected` (not to be used at all), or a
            `draft`: touched by hand, but nobody has said yet that it is right.
        reviewer: Who decided; may be empty.
        edited_at_s: When, in seconds since 1970 UTC; 0 where that is not known, as of files that a
            person made elsewhere.
        previous: The `version` of the record that was looked at, empty where there was none.
            Earlier values stay in the journal.
        tool: The format in which the decision came from another program, such as `cvat`; empty
            where it was made here.
        untouched: The `labels_version` of the frame before a person changed it; empty where that
            is not known.
    """

    state: ReviewState
    reviewer: str = ""
    edited_at_s: float = 0.0
    previous: str = ""
    tool: str = ""
    untouched: str = ""

    def __post_init__(self) -> None:
        if self.state not in get_args(ReviewState):
            raise InputError(
                f"{self.state!r} is no review state.", f"Use {', '.join(get_args(ReviewState))}."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, without `tool` and `untouched` where there is none."""
        optional = ("tool", "untouched")
        return {
            name: value for name, value in asdict(self).items() if value or name not in optional
        }


@dataclass(frozen=True, slots=True, eq=False)
class FrameRecord:
    """The result for one frame: its instances, or why there are none.

    Attributes:
        key: The frame's name.
        size_wh: Width and height of the upright picture, px; None only for a failed frame.
        time_s: Presentation time in seconds, None for a photo.
        instances: The labels, possibly none at all; None for a failed frame.
        error: Why the frame failed, one sentence; None where it did not. Empty where an earlier
            failure is taken back, because its file is gone or was mended.
        model: Hash of the weights with which the labels began, also where a person has changed them
            or added people since; empty where no model did.
        ended_after: (with an empty error) The video was read to its end, or as far as the run's
            options reach: it has so many frames, and `key` is the one that would have come next.
        file_bytes: (with `ended_after`) How large its file was then.
        uids: A name for each instance that survives edits, exports and imports. Left out, it is
            derived from the key and the position, so that the same run gives the same names.
        recognised: By `uids`, whom a person recognised in somebody, from this frame of the video
            on: one of an earlier frame, or None for somebody new. Others are who the tracker says.
        review: The decision of a person; its presence makes the record a human one.
        by_hand: A person made the labels, also where no decision about them is known, as in a
            ground truth.
        set_aside: It never counted: the person chose what another window had saved meanwhile.
        exact: (argument only) The numbers come from a record, and are not rounded again.
    """

    key: FrameKey
    size_wh: tuple[int, int] | None = None
    time_s: float | None = None
    instances: Instances | None = None
    error: str | None = None
    model: str = ""
    ended_after: int | None = None
    file_bytes: int | None = None
    uids: tuple[str, ...] = ()
    recognised: Mapping[str, Sighting | None] = field(default_factory=dict)
    review: Review | None = None
    by_hand: bool = False
    set_aside: bool = False
    exact: InitVar[bool] = False

    def __post_init__(self, exact: bool) -> None:
        _check_key(self.key)
        if (self.instances is None) == (self.error is None):
            raise InputError(f"{self.key} needs either instances or an error.")
        if self.time_s is not None:
            object.__setattr__(self, "time_s", round(float(self.time_s), TIME_DECIMALS))
        if self.instances is None:
            return
        if self.size_wh is None:
            raise InputError(f"{self.key} has instances but no size.")
        if not exact:
            object.__setattr__(self, "instances", rounded(self.instances, str(self.key)))
        count = len(self.instances)
        uids = self.uids or tuple(instance_uid(self.key, ordinal) for ordinal in range(count))
        if len(uids) != count or len(set(uids)) != count:
            raise InputError(f"{self.key} needs {count} different uids, got {list(uids)}.")
        object.__setattr__(self, "uids", uids)
        here = {uid: self.recognised[uid] for uid in uids if uid in self.recognised}
        object.__setattr__(self, "recognised", here)

    @property
    def origin(self) -> Origin:
        """Who has the last word on this record."""
        return "human" if self.by_hand or self.review is not None else "model"

    @property
    def rejected(self) -> bool:
        """Whether a person said that this frame is not to be used."""
        return self.review is not None and self.review.state == "rejected"

    @property
    def version(self) -> str:
        """The checksum of the record: equal for equal contents, 8 hex digits."""
        return checksum(self.to_json())

    @property
    def labels_version(self) -> str:
        """The checksum of the people alone, as a person sees them; empty for a failed frame."""
        if self.instances is None:
            return ""
        seen = replace(self.instances, signals={}, smoothed=None)
        fields = {**self._named_people(), **_instances_to_json(seen)}
        return checksum(orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY))

    def to_json(self) -> bytes:
        """Return the record as one JSON object, without line breaks."""
        frame: dict[str, Any] = {
            "media": self.key.media,
            "index": self.key.index,
            "origin": self.origin,
            **({"set_aside": True} if self.set_aside else {}),
            "error": self.error,
            **({} if self.ended_after is None else {"ended_after": self.ended_after}),
            **({} if self.file_bytes is None else {"file_bytes": self.file_bytes}),
            "size_wh": self.size_wh,
            "time_s": self.time_s,
            "model": self.model,
        }
        if self.review is not None:
            frame["review"] = self.review.as_dict()
        if self.instances is not None:
            frame |= self._named_people() | _instances_to_json(self.instances)
        return orjson.dumps(frame, option=orjson.OPT_SERIALIZE_NUMPY)

    def _named_people(self) -> dict[str, Any]:
        """Return for JSON what people are called, and whom a person recognised in them."""
        recognised = {"recognised": self.recognised} if self.recognised else {}
        return {"uids": self.uids, **recognised}

    @classmethod
    def from_json(cls, data: bytes) -> FrameRecord:
        """Return the record that `to_json` wrote.

        Raises:
            InputError: The JSON is damaged or is not a record.
        """
        try:
            frame = orjson.loads(data)
            review = frame.get("review")
            size_wh = frame["size_wh"]
            return cls(
                key=FrameKey(frame["media"], frame["index"]),
                size_wh=None if size_wh is None else (size_wh[0], size_wh[1]),
                time_s=frame["time_s"],
                instances=_instances_from_json(frame) if frame["error"] is None else None,
                error=frame["error"],
                model=frame["model"],
                ended_after=frame.get("ended_after"),
                file_bytes=frame.get("file_bytes"),
                uids=tuple(frame.get("uids", ())),
                recognised={
                    uid: None if whom is None else Sighting.from_json(whom)
                    for uid, whom in frame.get("recognised", {}).items()
                },
                review=None if review is None else Review(**review),
                by_hand=frame["origin"] == "human" and review is None,
                set_aside=frame.get("set_aside", False),
                exact=True,
            )
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InputError(
                f"A journal line is no frame record: {error!r}.",
                "It was written by another version of the tool, or edited by hand.",
            ) from error


def checksum(data: bytes) -> str:
    """Return the CRC-32 of `data` as 8 hex digits."""
    return f"{crc32(data):08x}"


def instance_uid(key: FrameKey, ordinal: int) -> str:
    """Return the name of the instance at position `ordinal` (0-based) of a model's labels."""
    return blake2b(f"{key}#{ordinal}".encode(), digest_size=8).hexdigest()


def added_track_id(uid: str) -> int:
    """Return the identity of somebody who has none in a frame where others have.

    That is who was added by hand to a tracked video, or whom another program did not track. It
    follows from the name: the next number after those in the frame may be somebody else's in
    another frame.
    """
    return (1 << 32) + crc32(uid.encode())


def completed_track_ids(
    track_ids: Iterable[int | None], uids: Iterable[str]
) -> NDArray[np.int64] | None:
    """Return the identities of a frame's people, new ones for those without; None if nobody has.

    Args:
        track_ids: Of each.
        uids: Their names.
    """
    ids = list(track_ids)
    if all(track_id is None for track_id in ids):
        return None
    completed = [
        added_track_id(uid) if track_id is None else track_id
        for track_id, uid in zip(ids, uids, strict=True)
    ]
    return np.array(completed, np.int64)


def scores_of_network(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return keypoint scores of a network, which may be above 1, as a record may hold them.

    One that would be rounded to that of a keypoint placed by hand is the next below it.
    """
    step = 10.0**-SCORE_DECIMALS
    alike = np.abs(scores.astype(np.float64) - BY_HAND_SCORE) <= step / 2
    return np.where(alike, np.float32(BY_HAND_SCORE - step), scores)


def rounded(instances: Instances, where: str) -> Instances:
    """Return `instances` with the decimals that a record keeps.

    Raises:
        InputError: A number is infinite or not a number; `where` names the frame.
    """

    def decimals(name: str, values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if not np.isfinite(values).all():
            raise InputError(f"{where} has {name} that are not finite numbers.")
        # Adding zero turns -0.0 into 0.0, which JSON would keep.
        return (np.round(values.astype(np.float64), count) + 0.0).astype(np.float32)

    return replace(
        instances,
        boxes=decimals("boxes", instances.boxes, COORDINATE_DECIMALS),
        box_scores=decimals("box scores", instances.box_scores, SCORE_DECIMALS),
        keypoints=decimals("keypoints", instances.keypoints, COORDINATE_DECIMALS),
        keypoint_scores=decimals("keypoint scores", instances.keypoint_scores, SCORE_DECIMALS),
        signals={
            name: decimals(f"signals {name}", values, SCORE_DECIMALS)
            for name, values in instances.signals.items()
        },
    )


def _check_key(key: FrameKey) -> None:
    try:
        key.media.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The file name {key.media!r} is not valid Unicode.", "Rename the file."
        ) from error
    if not key.media or "\0" in key.media or key.index < -1:
        raise InputError(f"{key.media!r} with index {key.index} cannot be the name of a frame.")


def _instances_to_json(instances: Instances) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "num_keypoints": instances.num_keypoints,
        "boxes": instances.boxes,
        "box_scores": instances.box_scores,
        "keypoints": instances.keypoints.reshape(len(instances), 2 * instances.num_keypoints),
        "keypoint_scores": instances.keypoint_scores,
        "visibility": instances.visibility,
    }
    if instances.track_ids is not None:
        fields["track_ids"] = instances.track_ids
    if instances.signals:
        fields["signals"] = dict(instances.signals)
    return fields


def _instances_from_json(frame: Mapping[str, Any]) -> Instances:
    count, num_keypoints = len(frame["boxes"]), frame["num_keypoints"]

    def array(name: str, *shape: int) -> NDArray[np.float32]:
        return np.array(frame[name], np.float32).reshape(count, *shape)

    track_ids = frame.get("track_ids")
    return Instances(
        boxes=array("boxes", 4),
        box_scores=array("box_scores"),
        keypoints=array("keypoints", num_keypoints, 2),
        keypoint_scores=array("keypoint_scores", num_keypoints),
        visibility=np.array(frame["visibility"], np.int8).reshape(count, num_keypoints),
        track_ids=None if track_ids is None else np.array(track_ids, np.int64),
        signals={
            name: np.array(values, np.float32) for name, values in frame.get("signals", {}).items()
        },
    )
