"""`vitpose select`: runs in, queues out."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import label_cases
import numpy as np
import pytest
from runs import vitpose
from select_cases import COCO, make_people, make_record, make_run

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.signals import SIGNALS
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.keypoint_order import KeypointOrder
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import Review
from vitpose_cli.records.run import Run
from vitpose_cli.records.validate import validate
from vitpose_cli.review.queue import read_queue
from vitpose_cli.select.options import SelectOptions
from vitpose_cli.select.reasons import AT_RANDOM, BEGUN, NOBODY
from vitpose_cli.select.selection import Selection, select_frames

NUM_PHOTOS = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a run: photo N is the surer the higher N; every tenth is empty; a video, too."""
    photos = [
        make_record(f"{number:02}.jpg", *([] if number % 10 == 9 else [0.2 + number / 100]))
        for number in range(NUM_PHOTOS)
    ]
    video = [make_record("v.mp4", 0.95, index=index) for index in range(0, 100, 5)]
    reviewed = [make_record("zz.jpg", 0.1, review=Review("fixed"))]
    return make_run(tmp_path_factory.mktemp("select") / "run", photos + video + reviewed)


def select(run: Path, tmp_path: Path, count: int = 20, **fields: object) -> Selection:
    options = SelectOptions(run, count, tmp_path / "queue.json", **fields)  # type: ignore[arg-type]
    return select_frames(options, report=lambda *_: None, say=lambda _: None)


def test_the_queue_is_a_valid_document_that_review_reads(run: Path, tmp_path: Path) -> None:
    selection = select(run, tmp_path)
    assert validate(selection.queue).num_errors == 0
    queue = read_queue(selection.queue)
    assert list(queue) == [str(choice.key) for choice in selection.choices]
    assert all(queue.values())
    assert len(queue) == 20
    document = read_coco(selection.queue)
    assert document.info["vitpose"]["selection"]["seed"] == 0
    assert {image["selected"] for image in document.images} == {"doubtful", "random", "empty"}


def test_doubtful_frames_with_some_by_chance(run: Path, tmp_path: Path) -> None:
    selection = select(run, tmp_path, by="mean_keypoint_score", diversity=0.0)
    assert selection.kinds == {"doubtful": 16, "random": 3, "empty": 1}
    doubtful = [choice for choice in selection.choices if choice.kind == "doubtful"]
    with_people = [f"{number:02}.jpg" for number in range(NUM_PHOTOS) if number % 10 != 9]
    assert [str(choice.key) for choice in doubtful] == with_people[:16]
    assert "score only 0.20" in doubtful[0].reasons[0]
    for choice in selection.choices:
        if choice.kind == "empty":
            assert choice.reasons == (NOBODY,)
            assert int(choice.key.media[:2]) % 10 == 9
        elif choice.kind == "random":
            assert choice.reasons == (AT_RANDOM,)
    assert "zz.jpg" not in {str(choice.key) for choice in selection.choices}
    assert selection.num_reviewed == 1


def test_shares_that_are_all_there_is(run: Path, tmp_path: Path) -> None:
    selection = select(run, tmp_path, 3, random_share=0.5, empty_share=0.5)
    assert selection.kinds == {"empty": 2, "random": 1}


def test_the_seed_decides(run: Path, tmp_path: Path) -> None:
    first = select(run, tmp_path).queue.read_bytes()
    assert select(run, tmp_path).queue.read_bytes() == first
    assert select(run, tmp_path, seed=1).queue.read_bytes() != first


def test_videos_give_no_neighbours(run: Path, tmp_path: Path) -> None:
    chosen = select(run, tmp_path, 75, min_gap=15).choices
    indices = sorted(choice.key.index for choice in chosen if choice.key.video)
    assert 5 <= len(indices) <= 7
    assert np.diff(indices).min() >= 15
    capped = select(run, tmp_path, 75, max_per_video=2).choices
    assert sum(choice.key.video is not None for choice in capped) == 2


def test_too_few_frames_are_said(run: Path, tmp_path: Path) -> None:
    said: list[str] = []
    options = SelectOptions(run, 500, tmp_path / "q.json")
    selection = select_frames(options, report=lambda *_: None, say=said.append)
    assert len(selection.choices) < selection.num_frames == NUM_PHOTOS + 20
    assert "Only" in said[0]
    options = SelectOptions(run, 500, tmp_path / "q.json", min_gap=1)
    selection = select_frames(options, report=lambda *_: None, say=said.append)
    assert len(selection.choices) == selection.num_frames
    chosen = f"Only {selection.num_frames} frames were chosen"
    assert said[1] == f"{chosen}: no other is left that is not reviewed yet."


def test_frames_without_people_fill_the_queue(tmp_path: Path) -> None:
    people = [make_record(f"{number}.jpg", 0.5 + number / 10) for number in range(4)]
    empty = [make_record(f"none {number}.jpg") for number in range(9)]
    run = make_run(tmp_path / "run", people + empty)
    said: list[str] = []
    options = SelectOptions(run, 10, tmp_path / "q.json")
    selection = select_frames(options, report=lambda *_: None, say=said.append)
    assert selection.kinds == {"doubtful": 2, "random": 2, "empty": 6}
    assert not said
    options = SelectOptions(run, 10, tmp_path / "q.json", empty_share=0.0)
    selection = select_frames(options, report=lambda *_: None, say=said.append)
    assert selection.kinds == {"doubtful": 4}
    assert said == [
        "Only 4 frames were chosen of 13 not reviewed yet: nobody was found in 9 others, see "
        "--empty-share."
    ]


def test_a_shortage_is_put_down_to_what_caused_it(run: Path, tmp_path: Path) -> None:
    said: list[str] = []
    options = SelectOptions(run, 500, tmp_path / "q.json", max_per_video=3, empty_share=0.0)
    select_frames(options, report=lambda *_: None, say=said.append)
    assert said == [
        "Only 57 frames were chosen of 80 not reviewed yet: --max-per-video and --min-gap leave "
        "out 17; nobody was found in 6 others, see --empty-share."
    ]
    said.clear()
    options = SelectOptions(run, 500, tmp_path / "q.json", min_gap=20, empty_share=0.0)
    select_frames(options, report=lambda *_: None, say=said.append)
    assert "reviewed yet: --min-gap 20 leaves out " in said[0]


def test_what_a_person_has_begun_comes_first(tmp_path: Path) -> None:
    """Drafts are no reviewed frames for `split --reviewed`, so somebody must come back to them."""
    draft = Review("draft", "anna")
    sure = [make_record(f"{number}.jpg", 0.9, review=draft) for number in range(2)]
    doubtful = [make_record(f"{number}.jpg", 0.3 + number / 100) for number in range(2, 7)]
    video = [make_record("v.mp4", 0.8, index=index, review=draft) for index in range(2)]
    nobody = make_record("none.jpg", review=draft)
    records = [*sure, *doubtful, *video, nobody, make_record("zz.jpg", 0.1, review=Review("fixed"))]
    run = make_run(tmp_path / "run", records)
    selection = select(run, tmp_path, 7, random_share=0.0, empty_share=0.0)
    assert selection.kinds == {"draft": 5, "doubtful": 2}
    begun = selection.choices[:5]
    assert {str(choice.key) for choice in begun} == {
        *("0.jpg", "1.jpg", "none.jpg"),
        *(f"v.mp4/frame_00000{index}.jpg" for index in range(2)),
    }
    assert {choice.reasons for choice in begun} == {(BEGUN,)}
    assert (selection.num_frames, selection.num_reviewed) == (10, 1)
    assert selection.choices[4].doubt is None  # nobody is there
    assert select(run, tmp_path, 3).kinds == {"draft": 3}
    alone = make_run(tmp_path / "alone", sure)
    done = vitpose("select", alone, "-n", "9")
    assert done.returncode == 0, done.stderr
    assert "2 begun before, 0 doubtful" in done.stderr


def test_another_run_shows_what_differs(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(8)]
    ours = [make_record(name, 0.9) for name in names]
    theirs = [make_record(name, 0.9) for name in names]
    theirs[5] = make_record("5.jpg", people=make_record("other", 0.9).instances)
    theirs[6] = make_record("6.jpg", 0.9, 0.8)
    run, other = make_run(tmp_path / "a", ours), make_run(tmp_path / "b", theirs)
    selection = select(
        run, tmp_path, 2, by="disagreement", compare=other, random_share=0.0, diversity=0.0
    )
    assert {str(choice.key) for choice in selection.choices} == {"5.jpg", "6.jpg"}
    reasons = " ".join(reason for choice in selection.choices for reason in choice.reasons)
    assert "The other run says otherwise" in reasons
    assert "somebody here whom this run lacks" in reasons


def test_another_run_of_the_same_weights_is_told(tmp_path: Path) -> None:
    records = [make_record("a.jpg", 0.9), make_record("b.jpg", 0.5)]
    run = label_cases.make_run(tmp_path / "a", records)
    same = label_cases.make_run(tmp_path / "b", records)
    other = label_cases.make_run(tmp_path / "c", records, weights_hash="f" * 16)
    unknown = [make_run(tmp_path / name, records) for name in "de"]
    pairs = ((run, same, True), (run, other, False), (unknown[0], unknown[1], False))
    for ours, theirs, is_told in pairs:
        done = vitpose("select", ours, "--compare", theirs, "-o", tmp_path / "queue.json")
        assert done.returncode == 0, done.stderr
        assert ("are of the same weights, tiny (0123456789abcdef): " in done.stderr) == is_told


def test_another_run_may_have_its_keypoints_in_another_order(tmp_path: Path) -> None:
    records = [make_record(f"{number}.jpg", 0.9) for number in range(3)]
    order = KeypointOrder(COCO.names[::-1], tuple(reversed(range(17))))
    turned = tmp_path / "turned"
    with Run.open(turned, RunManifest(order.category(COCO.to_category()))) as other:
        other.append(*map(order.record, records))
    run = make_run(tmp_path / "a", records)
    with pytest.raises(InputError, match="differ about nobody"):
        select(run, tmp_path, by="disagreement", compare=turned)


def test_frames_that_were_extracted_are_compared_with_those_of_the_video(tmp_path: Path) -> None:
    frames = [make_record("v.mp4", 0.9, index=index) for index in range(4)]
    photos = [make_record(str(each.key), people=each.instances) for each in frames]
    for ours, theirs in ((frames, photos[:3]), (photos, frames[:3])):
        folder = tmp_path / ours[0].key.media.replace("/", "-")
        theirs[1] = make_record(
            theirs[1].key.media, index=theirs[1].key.index, people=make_people(0.9, seed=7)
        )
        run = make_run(folder / "a", ours)
        # A name that lies between the two forms of the frames.
        more = [make_record("v.mp4-poster.jpg", 0.9)]
        other = make_run(folder / "b", [*theirs, *more])
        said: list[str] = []
        options = SelectOptions(
            run, 1, folder / "queue.json", by="disagreement", compare=other, random_share=0.0
        )
        (choice,) = select_frames(options, report=lambda *_: None, say=said.append).choices
        assert choice.key == ours[1].key
        assert said == [f"{other} has no labels for 1 labelled frame of {run}."]


def test_frames_are_compared_by_other_forms_of_their_names(tmp_path: Path) -> None:
    ours, theirs = (FrameKey(normalize(form, "é.mp4"), 3) for form in ("NFC", "NFD"))
    our_photo, their_photo = FrameKey(str(ours)), FrameKey(str(theirs))
    pairs = (our_photo, their_photo), (ours, theirs), (our_photo, theirs), (ours, their_photo)
    for number, pair in enumerate(pairs):
        folder = tmp_path / str(number)
        for name, key in zip("ab", pair, strict=True):
            make_run(folder / name, [make_record(key.media, 0.9, index=key.index)])
        done = vitpose("select", "a", "--compare", "b", "-o", "queue.json", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "has no labels" not in done.stderr


def test_what_cannot_be_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no signal"):
        SelectOptions(run, by="colour")
    with pytest.raises(ConfigError, match="shares"):
        SelectOptions(run, random_share=0.8, empty_share=0.5)
    with pytest.raises(ConfigError, match="second run"):
        SelectOptions(run, by="disagreement")
    with pytest.raises(InputError, match="does not know flip_disagreement"):
        select(run, tmp_path, by="flip_disagreement")
    photos = make_run(tmp_path / "photos", [make_record(f"{n}.jpg", 0.5) for n in range(4)])
    with pytest.raises(InputError, match="jump is known only of people in videos") as caught:
        select(photos, tmp_path, by="jump")
    assert caught.value.hint == "Leave --by out."
    with pytest.raises(InputError, match="overlap is the same for everybody"):
        select(photos, tmp_path, by="overlap")
    with pytest.raises(InputError, match="no frame left"):
        select(make_run(tmp_path / "empty", []), tmp_path)
    elsewhere = make_run(tmp_path / "elsewhere", [make_record("x.jpg", 0.5)])
    with pytest.raises(InputError, match="no frame in common"):
        select(run, tmp_path, compare=elsewhere)
    with pytest.raises(InputError, match="differ about nobody"):
        select(run, tmp_path, by="disagreement", compare=run)
    animals = make_run(tmp_path / "animals", [], names="ap10k")
    with pytest.raises(InputError, match="different keypoints"):
        select(run, tmp_path, compare=animals)


def test_the_command(run: Path, tmp_path: Path) -> None:
    done = vitpose("select", run, "-n", "6", "-o", tmp_path / "q.json", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["num_selected"] == len(facts["frames"]) == 6
    assert facts["frames"][0]["reasons"]
    done = vitpose("select", run, "--by", "nothing")
    assert done.returncode == 2
    assert all(name in done.stderr for name in SIGNALS)


@pytest.mark.parametrize("scores", [(0.5,), (0.5, 0.5), ()])
def test_a_run_may_be_as_small_as_it_likes(tmp_path: Path, scores: tuple[float, ...]) -> None:
    small = make_run(tmp_path / "run", [make_record("a.jpg", *scores)])
    (choice,) = select(small, tmp_path).choices
    assert choice.reasons
