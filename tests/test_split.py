"""Parts for training and validation that share no scene."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_cases import make_fixed, make_record, make_run
from runs import vitpose

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import read_coco
from vitpose_cli.split import SplitOptions, deal, group_of, split_labels
from vitpose_cli.subjects import Subjects


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a run of forty photos in four folders and five videos."""
    photos = [make_record(f"day {number % 4}/{number}.jpg") for number in range(40)]
    videos = [
        make_record(f"clips/{video}.mp4", index, 1) for video in range(5) for index in range(8)
    ]
    reviewed = [make_fixed("day 0/fixed.jpg"), make_fixed("day 1/fixed.jpg")]
    return make_run(tmp_path_factory.mktemp("split") / "run", photos + videos + reviewed)


def frames_of(path: Path) -> list[FrameKey]:
    return list(read_coco(path).keys().values())


@pytest.mark.parametrize("by", ["video", "folder"])
def test_no_group_is_in_two_parts_and_no_frame_is_lost(run: Path, tmp_path: Path, by: str) -> None:
    options = SplitOptions(run, tmp_path, 0.2, 0.2, by)  # type: ignore[arg-type]
    parts = split_labels(options)
    assert set(parts) == {"train", "val", "test"}
    keys = {name: frames_of(part.path) for name, part in parts.items()}
    groups = {name: {group_of(key, options.by) for key in each} for name, each in keys.items()}
    assert groups["train"].isdisjoint(groups["val"] | groups["test"])
    assert groups["val"].isdisjoint(groups["test"])
    assert sum(map(len, keys.values())) == 82
    for name, part in parts.items():
        assert part.num_frames == len(keys[name])
        assert part.num_groups == len(groups[name])
        assert part.num_people == len(read_coco(part.path).annotations)
    if by == "video":
        assert 12 <= len(keys["val"]) <= 21


def test_a_file_keeps_all_its_fields(run: Path, tmp_path: Path) -> None:
    document = json.loads((run / "annotations.json").read_text())
    for image in document["images"]:
        image["license"] = 3
    document["extra"] = [{"kept": True}]
    file = tmp_path / "all.json"
    file.write_text(json.dumps(document))
    parts = split_labels(SplitOptions(file, tmp_path / "parts"))
    both = [json.loads(part.path.read_text()) for part in parts.values()]
    assert all(part["extra"] == [{"kept": True}] for part in both)
    images = [image for part in both for image in part["images"]]
    assert sorted(images, key=lambda image: image["id"]) == document["images"]
    people = [person for part in both for person in part["annotations"]]
    assert sorted(people, key=lambda person: person["id"]) == document["annotations"]


def test_parts_of_shards_have_the_videos_and_licences_of_all(run: Path, tmp_path: Path) -> None:
    document = json.loads((run / "annotations.json").read_text())
    licences = [{"id": 1, "name": "CC BY"}, {"id": 2, "name": "CC0"}]
    videos, first_video = document["videos"], document["videos"][:1]
    for number in range(2):
        images = document["images"][number::2]
        ids = {image["id"] for image in images}
        shard = {
            **document,
            "images": images,
            "annotations": [each for each in document["annotations"] if each["image_id"] in ids],
            "licenses": [licences[number]],
            "videos": videos if number else first_video,
        }
        (tmp_path / f"all-{number:05}-of-00002.json").write_text(json.dumps(shard))
    parts = split_labels(SplitOptions(tmp_path / "all-*.json", tmp_path / "parts"))
    for part in parts.values():
        written = json.loads(part.path.read_text())
        assert (written["videos"], written["licenses"]) == (videos, licences)


@pytest.mark.parametrize("field", ["video_id", "vid_id"])
def test_frames_of_a_video_stay_together_whatever_they_are_called(
    run: Path, tmp_path: Path, field: str
) -> None:
    document = json.loads((run / "annotations.json").read_text())
    of_videos = [image for image in document["images"] if "video_id" in image]
    for number, image in enumerate(of_videos):
        video = image.pop("video_id")
        image |= {"file_name": f"vid{video}/{number:06}.jpg", field: video}
    if field == "vid_id":
        del document["videos"]
    file = tmp_path / "posetrack.json"
    file.write_text(json.dumps(document))
    parts = split_labels(SplitOptions(file, tmp_path / "parts", 0.3))
    folders = {
        name: {image["file_name"] for image in read_coco(part.path).images if field in image}
        for name, part in parts.items()
    }
    videos = {name: {each.split("/")[0] for each in names} for name, names in folders.items()}
    assert videos["train"].isdisjoint(videos["val"])
    assert videos["train"] | videos["val"] == {f"vid{number}" for number in range(1, 6)}
    assert sum(part.num_groups for part in parts.values()) == 42 + 5


@pytest.mark.parametrize("as_file", [False, True])
def test_frames_that_were_extracted_stay_with_their_video(tmp_path: Path, as_file: bool) -> None:
    frames = [FrameKey(f"clips/{video}.mp4", index) for video in range(5) for index in range(8)]
    labels = make_run(tmp_path / "run", [make_record(str(frame), count=1) for frame in frames])
    if as_file:
        labels /= "annotations.json"
        assert "videos" not in json.loads(labels.read_text())
    parts = split_labels(SplitOptions(labels, tmp_path / "parts"))
    assert [part.num_groups for part in parts.values()] == [4, 1]
    videos = [
        {key.media.rpartition("/")[0] for key in frames_of(one.path)} for one in parts.values()
    ]
    assert videos[0].isdisjoint(videos[1])


def test_the_same_seed_gives_the_same_parts(run: Path, tmp_path: Path) -> None:
    def names(seed: int, folder: str) -> list[str]:
        parts = split_labels(SplitOptions(run, tmp_path / folder, seed=seed))
        return [str(key) for key in frames_of(parts["val"].path)]

    assert names(1, "a") == names(1, "b") != names(2, "c")


def test_only_what_was_reviewed(run: Path, tmp_path: Path) -> None:
    parts = split_labels(SplitOptions(run, tmp_path, 0.5, reviewed=True))
    assert {name: part.num_frames for name, part in parts.items()} == {"train": 1, "val": 1}


@given(
    st.dictionaries(st.text(max_size=5), st.integers(1, 50), min_size=3, max_size=40),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
    st.integers(0, 3),
)
def test_every_part_gets_something_and_about_its_share(
    sizes: dict[str, int], val: float, test: float, seed: int
) -> None:
    dealt = deal(sizes, {"val": val, "test": test}, seed)
    assert dealt.keys() == sizes.keys()
    assert set(dealt.values()) == {"train", "val", "test"}
    total, largest = sum(sizes.values()), max(sizes.values())
    for part, share in (("val", val), ("test", test)):
        taken = sum(size for group, size in sizes.items() if dealt[group] == part)
        assert taken <= share * total + largest


@given(st.permutations(["walk.mp4", "run.mp4", "sit.mp4"]), st.integers(0, 20))
def test_a_group_far_larger_than_a_share_stays_in_training(names: list[str], seed: int) -> None:
    sizes = dict(zip(names, (900, 60, 40), strict=True))
    dealt = deal(sizes, {"val": 0.2}, seed)
    assert [dealt[name] for name in names] == ["train", "val", "val"]


@pytest.mark.parametrize("seed", range(8))
def test_where_every_group_is_too_large_the_smallest_is_taken(seed: int) -> None:
    sizes = {"a.mp4": 700, "b.mp4": 900, "c.mp4": 600}
    assert deal(sizes, {"val": 0.05}, seed)["c.mp4"] == "val"
    parts = deal(sizes, {"val": 0.05, "test": 0.05}, seed)
    assert parts == {"c.mp4": "val", "a.mp4": "test", "b.mp4": "train"}


def test_many_groups_are_dealt_at_once() -> None:
    sizes = {f"{number}.jpg": 1 for number in range(500_000)}
    begun = time.process_time()
    dealt = deal(sizes, {"val": 0.2, "test": 0.1}, 0)
    assert time.process_time() - begun < 10  # about 1.5; 25 where each is taken out of a list
    assert Counter(dealt.values()) == {"train": 350_000, "val": 100_000, "test": 50_000}


def test_more_photos_move_few_old_ones() -> None:
    before = {f"{number}.jpg": 1 for number in range(200)}
    after = before | {f"new {number}.jpg": 1 for number in range(20)}
    shares = {"val": 0.2}
    old, new = deal(before, shares, 0), deal(after, shares, 0)
    assert sum(old[name] != new[name] for name in before) <= 6


def test_what_cannot_be_split_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "run", [make_record("only/a.jpg"), make_record("only/b.jpg")])
    with pytest.raises(InputError, match="labels in too few folders for 2 parts"):
        split_labels(SplitOptions(tmp_path / "run", tmp_path / "out", by="folder"))
    with pytest.raises(ConfigError, match="--val and --test"):
        SplitOptions(tmp_path / "run", tmp_path / "out", val=0.7, test=0.3)
    split_labels(SplitOptions(tmp_path / "run", tmp_path / "out"))
    with pytest.raises(InputError, match="there already"):
        split_labels(SplitOptions(tmp_path / "run", tmp_path / "out"))
    split_labels(SplitOptions(tmp_path / "run", tmp_path / "out", overwrite=True))


def test_all_of_a_subject_stays_together_wherever_it_lies(tmp_path: Path) -> None:
    """Patients have a folder for each visit, and their name in the names of videos elsewhere."""
    photos = [
        make_record(f"P{patient:02}/{visit}/{number}.JPG")
        for patient in range(12)
        for visit in ("before", "after")
        for number in range(2)
    ]
    videos = [
        make_record(f"gait/p{patient:02}_walk.MP4", index, 1)
        for patient in range(12)
        for index in range(3)
    ]
    run = make_run(tmp_path / "run", photos + videos)
    parts = split_labels(SplitOptions(run, tmp_path / "parts", 0.3, 0.2, subject="[Pp][0-9]+"))
    found = {name: part.subjects for name, part in parts.items()}
    assert sorted(name for each in found.values() for name in each or ()) == [
        f"p{patient:02}" for patient in range(12)
    ]
    for name, part in parts.items():
        keys = frames_of(part.path)
        seen = Counter(Subjects("[Pp]([0-9]+)").of(key) for key in keys)
        assert set(seen) == {subject[1:] for subject in found[name] or ()}
        assert set(seen.values()) == {7}, "all of everybody"
        assert part.num_groups == len(seen)


def test_frames_of_nobody_are_not_split_by_subject(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finds nothing in the names of 40 frames, such as clips"):
        split_labels(SplitOptions(run, tmp_path, subject="day [0-9]"))
    with pytest.raises(InputError, match="too few subjects for 2 parts: 1") as caught:
        split_labels(SplitOptions(run, tmp_path, subject="(?:day|clip).*(/)"))
    assert str(caught.value.hint).endswith("finds only /.")
    with pytest.raises(ConfigError, match="is no regular expression"):
        SplitOptions(run, tmp_path, subject="P[0-9")
    make_run(tmp_path / "empty", [])
    with pytest.raises(InputError, match="too few subjects for 2 parts: 0") as caught:
        split_labels(SplitOptions(tmp_path / "empty", tmp_path, subject="P[0-9]+"))
    assert caught.value.hint == "Label more videos or photos."


def test_the_command_names_the_subjects(run: Path, tmp_path: Path) -> None:
    arguments = ("split", run, "--subject", "day [01]|day|clips", "-o", tmp_path / "p")
    done = vitpose(*arguments)
    assert done.returncode == 0, done.stderr
    options = SplitOptions(run, tmp_path / "same", subject="day [01]|day|clips")
    parts = [part.as_dict() for part in split_labels(options).values()]
    assert sorted(name for part in parts for name in part["subjects"]) == [
        *("clips", "day", "day 0", "day 1")
    ]
    for part in parts:
        assert f"({', '.join(part['subjects'])}), " in done.stderr
    refused = vitpose(*arguments, "--overwrite", "--by", "folder")
    assert refused.returncode == 2
    assert "--by and --subject exclude each other" in refused.stderr


def test_the_command(run: Path, tmp_path: Path) -> None:
    done = vitpose("split", run, "--val", "0.3", "--by", "folder", "-o", tmp_path / "p", "--json")
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout)
    assert parts["train"]["frames"] + parts["val"]["frames"] == 82
    assert Path(parts["val"]["path"]).is_file()


def test_a_part_without_a_share_is_none(run: Path, tmp_path: Path) -> None:
    parts = split_labels(SplitOptions(run, tmp_path, val=0, test=0.2))
    assert set(parts) == {"train", "test"}
    assert not (tmp_path / "val.json").exists()


def test_labels_are_never_replaced_by_a_part_of_themselves(run: Path, tmp_path: Path) -> None:
    labels = tmp_path / "train.json"
    labels.write_bytes((run / "annotations.json").read_bytes())
    with pytest.raises(InputError, match="is what is to be split"):
        split_labels(SplitOptions(labels, tmp_path, overwrite=True))
    assert labels.read_bytes() == (run / "annotations.json").read_bytes()


def test_no_part_of_an_earlier_split_is_left(run: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    earlier = split_labels(SplitOptions(run, parts, test=0.2))["test"].path
    with pytest.raises(InputError, match="is what is to be split"):
        split_labels(SplitOptions(earlier, parts, overwrite=True))
    for name in ("train", "val"):
        (parts / f"{name}.json").unlink()
    with pytest.raises(InputError, match=r"test\.json is there already, from an earlier split"):
        split_labels(SplitOptions(run, parts, seed=1))
    assert earlier.is_file()
    split_labels(SplitOptions(run, parts, seed=1, overwrite=True))
    assert {path.name for path in parts.glob("*.json")} == {"train.json", "val.json"}
    earlier.write_text("by hand")
    split_labels(SplitOptions(run, parts, seed=2, overwrite=True))
    assert earlier.read_text() == "by hand"


def test_nobody_reviewed_anything(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [make_record("a.jpg"), make_record("b.jpg")])
    with pytest.raises(InputError, match="Nobody has reviewed a frame"):
        split_labels(SplitOptions(run, tmp_path / "parts", reviewed=True))


def of_sizes(folder: Path, sizes: dict[str, int]) -> Path:
    """Write a run with so many frames of each video."""
    return make_run(
        folder,
        [make_record(name, index, 0) for name, many in sizes.items() for index in range(many)],
    )


def test_a_video_that_is_most_of_all_is_told(tmp_path: Path) -> None:
    large = {"a/P1.mp4": 90, "b/P2.mp4": 5, "b/P3.mp4": 5}
    run = of_sizes(tmp_path / "run", large)
    done = vitpose("split", run, "-o", tmp_path / "parts", "--val", "0.3")
    assert done.returncode == 0
    told = (
        "warning: val has 10.0 % of the frames, and 30.0 % were wanted: a/P1.mp4 alone has 90.0 %, "
        "and stays in one part. Label more videos, or fewer frames of that one (--every, --fps).\n"
    )
    assert "".join(done.stderr.splitlines(keepends=True)[2:]) == told
    kinds = {
        "folder a": SplitOptions(run, tmp_path / "folders", 0.3, by="folder"),
        "subject p1": SplitOptions(run, tmp_path / "subjects", 0.3, subject="P[0-9]"),
    }
    for what, options in kinds.items():
        note = split_labels(options)["val"].as_dict()["note"]
        assert f"{what} alone has 90.0 %" in note
        assert f"Label more {what.split()[0]}s" in note
    photos = make_run(tmp_path / "few", [make_record(name) for name in ("a.jpg", "b.jpg", "c.jpg")])
    note = split_labels(SplitOptions(photos, tmp_path / "few parts"))["val"].note
    assert note.endswith("stays in one part. Label more photos or videos.")


@pytest.mark.parametrize(
    ("sizes", "val", "is_told"),
    [
        ({"a.mp4": 80, "b.mp4": 10, "c.mp4": 10}, 0.2, False),  # the two small ones are 20 %
        ({"a.mp4": 80, "b.mp4": 20}, 0.1, True),
        ({"a.mp4": 10, "b.mp4": 10, "c.mp4": 10}, 0.2, True),
        ({f"{number}.mp4": 1 for number in range(7)}, 0.2, False),  # no one is to blame
        ({f"{number}.mp4": number for number in range(1, 30)}, 0.2, False),
    ],
)
def test_parts_near_what_was_wanted_need_no_word(
    tmp_path: Path, sizes: dict[str, int], val: float, is_told: bool
) -> None:
    parts = split_labels(SplitOptions(of_sizes(tmp_path / "run", sizes), tmp_path / "out", val))
    assert bool(parts["val"].note) == is_told
    assert not parts["train"].note


@pytest.mark.parametrize("field", ["video_id", "vid_id"])
def test_videos_without_names_are_nobody(tmp_path: Path, field: str) -> None:
    """PoseTrack's files number their videos; the folders of their frames say who it is."""
    run = make_run(tmp_path / "run", [make_record(f"P{n % 3}/{n}.jpg") for n in range(9)])
    document = json.loads((run / "annotations.json").read_text())
    for number, image in enumerate(document["images"]):
        image[field] = number // 2 + 1
    document["videos"] = [{"id": 1}, {"id": 2, "name": "gait P2.mp4"}]
    file = tmp_path / "numbered.json"
    file.write_text(json.dumps(document))
    parts = split_labels(SplitOptions(file, tmp_path / "parts", 0.3, subject="^[^/]+"))
    found = sorted(name for part in parts.values() for name in part.subjects or ())
    assert found == ["gait p2", "p0", "p1", "p2"]
