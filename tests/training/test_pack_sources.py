"""Packs as sources of people: what is taken of them, to learn and to measure."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from training_cases import (
    SIZE_WH,
    picture_of,
    pose_in,
    small_source,
    turn_keypoints,
    write_coco,
)
from training_runs import Listener, one_stage

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.training.data import open_data
from vitpose_cli.training.data_options import DataOptions, PackSource
from vitpose_cli.training.loop import train
from vitpose_cli.training.opened_source import OpenedSource
from vitpose_cli.training.sources import open_data_source


def write_pack(path: Path, damaged: Collection[int] = ()) -> None:
    """Write a pack of three crops, of which the first has no labels."""
    blobs, points = [], []
    half = np.array(SIZE_WH) / (2 * 1.25 * 1.5)
    middle = np.array(SIZE_WH) / 2
    for number in range(3):
        pose = pose_in((*(middle - half), *(middle + half)))
        ImageSink(path.parent).write(Frame(FrameKey("one.png"), picture_of(pose)))
        whole = (path.parent / "one.png").read_bytes()
        blobs.append(whole[:10] if number in damaged else whole)
        label = np.full((17, 1), number)
        points.append(np.concatenate([pose, label, np.full((17, 1), 0.8)], axis=1))
    np.savez(
        path,
        blob=np.frombuffer(b"".join(blobs), np.uint8),
        offsets=np.cumsum([0, *map(len, blobs)]),
        keypoints=np.array(points, np.float32),
        source=np.array([0, 1, 2]),
    )


def test_a_pack_is_a_source_of_people(tmp_path: Path) -> None:
    write_pack(tmp_path / "pack.npz")
    options = PackSource.model_validate(
        {"kind": "pack", "path": tmp_path / "pack.npz", "repeat_of": {2: 6}}
    )
    opened = open_data_source(options, purpose="measuring")
    people = opened.frames.people
    assert len(people) == 2  # the first has no labels
    assert opened.dropped == {"people without keypoints": 1}
    np.testing.assert_allclose(people.weights[:, 0], [0.3 * 0.8, 1])
    assert people.repeats.tolist() == [1, 6]
    np.testing.assert_allclose(people.boxes[0], [28, 37.333, 92, 122.667], atol=1e-3)
    frame = opened.frames.source.read(opened.frames.keys[1])
    assert frame.image.shape == (160, 120, 3)
    assert len(opened.truth.annotations) == 2


def test_people_of_a_pack_who_are_shown_never_are_left_out_even_of_validation(
    tmp_path: Path,
) -> None:
    write_pack(tmp_path / "pack.npz")
    options = PackSource.model_validate(
        {"kind": "pack", "path": tmp_path / "pack.npz", "repeat_of": {1: 0}}
    )
    opened = open_data_source(options, purpose="measuring")
    assert len(opened.frames.people) == len(opened.truth.annotations) == 1
    np.testing.assert_allclose(opened.frames.people.weights, 1)


def test_what_is_no_pack_is_refused(tmp_path: Path) -> None:
    def opening(name: str, **options: Any) -> None:
        open_data_source(
            PackSource.model_validate({"kind": "pack", "path": tmp_path / name, **options})
        )

    with pytest.raises(InputError, match=r"^Cannot read .*none\.npz: No such file or directory\.$"):
        opening("none.npz")
    np.savez(tmp_path / "other.npz", blob=np.zeros(3))
    with pytest.raises(InputError, match="it has no offsets, keypoints, source"):
        opening("other.npz")
    write_pack(tmp_path / "pack.npz")
    with pytest.raises(InputError, match="17 keypoints a person, mpii has 16"):
        opening("pack.npz", keypoint_set="mpii")
    whole = (tmp_path / "pack.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    (tmp_path / "labels.json").write_text("{}")
    for name in ("cut.npz", "array.npz", "labels.json"):
        said = f"{name} cannot be read as a pack: it is no whole .npz file.$"
        with pytest.raises(InputError, match=said) as caught:
            opening(name)
        assert "make it again" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("blob", lambda blob: np.uint8(3), r"blob must hold bytes .* in 1 dimension, not uint8 in"),
        ("blob", lambda blob: blob.astype(float), r"blob must hold bytes \(uint8\)"),
        ("offsets", lambda offsets: offsets.astype(str), "offsets must hold integers"),
        ("source", lambda source: np.array(["a", "b", "c"]), "source must hold integers"),
        ("keypoints", lambda keypoints: keypoints.astype(str), "keypoints must hold numbers"),
        ("keypoints", lambda keypoints: keypoints[0], "keypoints must hold numbers in 3 dim"),
        ("keypoints", lambda keypoints: keypoints * np.nan, "not finite, first of person 0"),
    ],
)
def test_arrays_of_another_kind_are_refused(
    name: str, change: Callable[[NDArray[Any]], Any], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "pack.npz"
    write_pack(path)
    with np.load(path) as whole:
        arrays = dict(whole)
    np.savez(path, **arrays | {name: change(arrays[name])})
    with pytest.raises(InputError, match=said):
        opened(path)


def opened(path: Path, *, measured: bool = False, **options: Any) -> OpenedSource:
    values = {"kind": "pack", "path": path, **options}
    return open_data_source(
        PackSource.model_validate(values), purpose="measuring" if measured else "training"
    )


def test_numbers_that_the_pack_does_not_have_are_told(tmp_path: Path) -> None:
    path = tmp_path / "pack.npz"
    write_pack(path)
    listener = Listener()
    source = {"kind": "pack", "path": str(path), "repeat_of": {2: 3, 7: 0, 5: 2}}
    train(one_stage(tmp_path, train=[source]), tmp_path / "run", listener)
    said = f"repeat_of does nothing for 5, 7: the source numbers in {path} are 0, 1, 2."
    assert said in listener.notes
    assert opened(path, repeat_of={2: 3}).notes == ()


def test_a_damaged_picture_is_like_a_missing_photo_also_if_it_is_the_first(tmp_path: Path) -> None:
    path = tmp_path / "pack.npz"
    write_pack(path, damaged=[0, 1])
    source = {"kind": "pack", "path": str(path)}
    with pytest.raises(InputError, match="1 of 2 photos are missing or unreadable"):
        train(one_stage(tmp_path, train=[source]), tmp_path / "run", Listener())
    listener = Listener()
    config = one_stage(tmp_path, train=[source], allow_missing=True)
    train(config, tmp_path / "run", listener)
    assert any("left out 1 photo that cannot be read" in note for note in listener.notes)
    write_pack(path, damaged=[0, 1, 2])
    with pytest.raises(InputError, match=r"None of the 3 pictures of pack\.npz can be read"):
        opened(path)


def test_everybody_with_keypoints_is_measured_whatever_their_weight(tmp_path: Path) -> None:
    path = tmp_path / "pack.npz"
    write_pack(path)
    for options in ({"min_score": 0.9}, {"model_weight": 0}):
        learnt, measured = (opened(path, measured=each, **options) for each in (False, True))
        assert len(learnt.frames.people) == 1
        assert learnt.dropped == {
            "people without keypoints": 1,
            "people whose keypoints count nothing": 1,
        }
        assert len(measured.frames.people) == len(measured.truth.annotations) == 2
        assert measured.dropped == {"people without keypoints": 1}
        for one in measured.truth.annotations:
            assert one["keypoints"][2::3] == [2] * 17
    with pytest.raises(
        InputError, match=r"people without .* \(1\), people whose .* nothing \(2\)"
    ) as caught:
        opened(path, min_score=0.9, human_weight=0)
    assert "`repeat_of`, `split`, `min_score`" in caught.value.hint
    assert len(opened(path, measured=True, human_weight=0).truth.annotations) == 2


def test_a_split_without_any_crop_is_named(tmp_path: Path) -> None:
    write_pack(tmp_path / "pack.npz")
    with pytest.raises(
        InputError, match=r"`split` \[0, 1e-06\] takes none of the 3 crops"
    ) as caught:
        opened(tmp_path / "pack.npz", split=(0, 1e-6))
    assert "leave out `split`" in caught.value.hint


def test_the_same_keypoints_in_another_order_come_into_that_of_a_pack(tmp_path: Path) -> None:
    write_pack(tmp_path / "pack.npz")
    turn_keypoints(write_coco(tmp_path / "people", 2))
    pack = {"kind": "pack", "path": str(tmp_path / "pack.npz")}
    sources = [small_source(tmp_path / "people"), pack]
    data = open_data(DataOptions.model_validate({"train": sources}))
    assert [*data.keypoint_sets] == ["coco"]
