"""Several sets of labels as one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from label_cases import make_failure, make_fixed, make_people, make_record
from merge_cases import make_run, of_model
from runs import command, environment, save_photos, save_weights, vitpose, wait_until

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.formats.content import LabelledFrame
from vitpose_cli.merge.merged_labels import write_merged_document, write_merged_run
from vitpose_cli.merge.merging import MergeOptions, merge_labels, same_labels
from vitpose_cli.record_set import open_together
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.records.shards import shard_paths


def rejected(name: str) -> FrameRecord:
    return make_record(name, review=Review("rejected", "anna"))


def test_a_merged_run_keeps_what_a_model_puts_outside_of_the_picture(tmp_path: Path) -> None:
    record = make_record("x.jpg")
    assert record.instances is not None
    record.instances.keypoints[:, 0] = -5, 20
    first = make_run(tmp_path / "a", record)
    second = make_run(tmp_path / "b", make_record("y.jpg"))
    merge_labels(MergeOptions((first, second), tmp_path / "out"))
    with Run.read(tmp_path / "out") as run:
        assert next(run.records()).to_json() == record.to_json()


def test_a_person_beats_a_model_whatever_the_order(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", of_model("x.jpg", "aa"), make_fixed("y.jpg"))
    second = make_run(tmp_path / "b", make_fixed("x.jpg"), of_model("y.jpg", "bb"))
    summary = merge_labels(MergeOptions((first, second), tmp_path / "out"))
    assert (summary.num_frames, summary.num_shared, summary.num_human) == (2, 2, 2)
    assert not summary.conflicts
    with Run.read(tmp_path / "out") as run:
        assert [record.origin for record in run.records()] == ["human", "human"]
        assert [record.to_json() for record in run.records()] == [
            make_fixed("x.jpg").to_json(),
            make_fixed("y.jpg").to_json(),
        ]
    assert read_coco(tmp_path / "out" / "annotations.json").images


def test_labels_by_hand_beat_a_model_without_a_decision(tmp_path: Path) -> None:
    truth = make_record("x.jpg", count=1, by_hand=True)
    model = make_run(tmp_path / "model", of_model("x.jpg", "aa", count=3))
    other = make_run(tmp_path / "other", make_record("x.jpg", count=2, by_hand=True))
    person = make_run(tmp_path / "truth", truth)
    # A document says the same, in an attribute of each of them.
    for number, given in enumerate((person, person / "annotations.json")):
        out = tmp_path / f"out{number}"
        summary = merge_labels(MergeOptions((model, given, other), out))
        assert (summary.num_human, summary.num_people) == (1, 1)
        assert [each.kept for each in summary.conflicts] == [str(given)]
        with Run.read(out) as merged:
            record = merged.record(truth.key)
        assert record is not None
        assert (record.origin, record.review) == ("human", None)
        document = read_coco(out / "annotations.json")
        (found,) = document.annotations
        assert found["attributes"]["source"] == "human"


@pytest.mark.parametrize("known", [True, False])
def test_a_frame_has_the_time_of_the_labels_that_win_or_of_others(
    tmp_path: Path, known: bool
) -> None:
    """A video that was copied into another container may have other times."""
    first = make_record("clip.mp4", 3, people=make_people(1))
    second = replace(first, time_s=0.125, exact=True)
    first = replace(first, time_s=0.12 if known else None, exact=True)
    runs = (make_run(tmp_path / "a", first), make_run(tmp_path / "b", second))
    merge_labels(MergeOptions(runs, tmp_path / "out.json"))
    (image,) = read_coco(tmp_path / "out.json").images
    assert image["timestamp"] == (0.12 if known else 0.125)


def test_labels_beat_errors_and_the_earlier_input_wins(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", make_failure("x.jpg"), of_model("y.jpg", "aa"))
    second = make_run(
        tmp_path / "b", of_model("x.jpg", "bb"), of_model("y.jpg", "bb"), of_model("z.jpg", "bb")
    )
    merge_labels(MergeOptions((first, second), tmp_path / "out"))
    with Run.read(tmp_path / "out") as run:
        assert [record.model for record in run.records()] == ["bb", "aa", "bb"]


def test_people_who_differ_are_listed(tmp_path: Path) -> None:
    mine, same = make_fixed("x.jpg"), make_fixed("y.jpg")
    assert mine.instances is not None
    moved = replace(mine.instances, keypoints=mine.instances.keypoints + np.float32(5))
    theirs = replace(mine, instances=moved, review=Review("accepted", "bert"))
    first = make_run(tmp_path / "a", mine, same, rejected("z.jpg"))
    second = make_run(tmp_path / "b", theirs, same, make_fixed("z.jpg"))
    summary = merge_labels(MergeOptions((first, second), tmp_path / "out.json"))
    assert [conflict.as_dict() for conflict in summary.conflicts] == [
        {"file_name": name, "kept": str(first), "dropped": [str(second)]}
        for name in ("x.jpg", "z.jpg")
    ]
    # What was rejected is not in the document.
    assert (summary.num_frames, summary.num_people) == (2, 2)
    assert [image["file_name"] for image in read_coco(tmp_path / "out.json").images] == [
        "x.jpg",
        "y.jpg",
    ]


def test_a_draft_gives_way_to_a_decision(tmp_path: Path) -> None:
    draft = make_record("x.jpg", review=Review("draft", "anna"))
    first = make_run(tmp_path / "a", draft)
    second = make_run(tmp_path / "b", make_fixed("x.jpg"))
    summary = merge_labels(MergeOptions((first, second), tmp_path / "out"))
    with Run.read(tmp_path / "out") as run:
        (record,) = run.records()
    assert record.review is not None
    assert record.review.state == "fixed"
    assert len(summary.conflicts) == 1


def test_files_merge_with_runs(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", of_model("a.jpg", "aa"), of_model("b.jpg", "aa"))
    other = make_run(tmp_path / "other", of_model("b.jpg", "bb", count=3))
    file = other / "annotations.json"
    options = MergeOptions((run, file), tmp_path / "out.json", human=(file,))
    summary = merge_labels(options)
    assert summary.num_human == 1
    document = read_coco(tmp_path / "out.json")
    people = document.by_image()
    by_name = {image["file_name"]: people[image["id"]] for image in document.images}
    assert len(by_name["b.jpg"]) == 3
    assert {person["attributes"]["source"] for person in by_name["b.jpg"]} == {"human"}
    assert {person["attributes"]["source"] for person in by_name["a.jpg"]} == {"model"}


def test_the_manifest_of_a_merged_run_says_where_it_came_from(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", of_model("x.jpg", "aa"), sources=("mon",))
    second = make_run(tmp_path / "b", of_model("y.jpg", "aa"), sources=("tue", "mon"))
    merge_labels(MergeOptions((first, second), tmp_path / "out"))
    with Run.read(tmp_path / "out") as run:
        assert run.manifest.sources == ("mon", "tue")
        assert run.manifest.weights_name == "tiny"
    third = make_run(tmp_path / "c", of_model("z.jpg", "cc"), weights_hash="cc")
    merge_labels(MergeOptions((first, third), tmp_path / "mixed"))
    with Run.read(tmp_path / "mixed") as run:
        assert (run.manifest.weights_name, run.manifest.weights_hash) == ("merged", "")


@pytest.mark.parametrize("refresh", [(), ("--refresh", "model")])
def test_labelling_does_not_go_on_with_names_of_several_sources(
    tmp_path: Path, refresh: tuple[str, ...]
) -> None:
    save_weights(tmp_path / "w.safetensors")
    options = ("-w", "w.safetensors", "--detector", "whole-image")
    for day in ("mon", "tue"):
        save_photos(tmp_path / day, 1)
        assert vitpose("annotate", day, *options, cwd=tmp_path).returncode == 0
    merged = vitpose("merge", "mon.vitpose", "tue.vitpose", "-o", "week.vitpose", cwd=tmp_path)
    assert merged.returncode == 0, merged.stderr
    before = (tmp_path / "week.vitpose" / "annotations.json").read_bytes()
    week = ("annotate", "mon", "tue", "-o", "week.vitpose")
    done = vitpose(*week, *options, *refresh, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "a second time, under other names" in " ".join(done.stderr.split())
    assert "merge them again" in " ".join(done.stderr.split())
    assert (tmp_path / "week.vitpose" / "annotations.json").read_bytes() == before


def test_names_are_those_of_one_source_where_inputs_share_it(tmp_path: Path) -> None:
    names = save_photos(tmp_path / "photos", 2)
    save_photos(tmp_path / "other", 1)
    source, other = str(tmp_path / "photos"), str(tmp_path / "other")

    def merged(out: str, *inputs: Path) -> bool:
        merge_labels(MergeOptions(inputs, tmp_path / out))
        with Run.read(tmp_path / out) as run:
            return run.manifest.names_per_source

    first, second, third, gone = (
        make_run(tmp_path / name, of_model(photo, name), sources=sources)
        for name, photo, sources in (
            ("a", names[0], (source,)),
            ("b", names[1], (f"{source}/a/*.jpg", f"{source}/b/*.jpg")),
            ("c", names[1], (other,)),
            ("d", "gone.jpg", ("not here",)),
        )
    )
    assert not merged("same", first, second)
    assert not merged("file", first, first / "annotations.json")
    assert merged("two", first, third)
    assert merged("twice", tmp_path / "two", tmp_path / "two" / "annotations.json")
    assert merged("unknown", first, gone)
    assert not merged("gone", gone, gone / "annotations.json")


def test_options_are_claimed_where_all_inputs_have_them(tmp_path: Path) -> None:
    options = {"every": 10, "detector": "person"}
    first, second, third = (
        make_run(tmp_path / name, of_model(f"{name}.jpg", "aa"), options=options | changed)
        for name, changed in (("a", {}), ("b", {}), ("c", {"every": 1}))
    )
    file = first / "annotations.json"
    foreign = tmp_path / "foreign.json"
    foreign.write_text(json.dumps(json.loads(file.read_bytes()) | {"info": {}}))
    for place, (other, expected) in enumerate(
        ((second, options), (file, options), (third, {}), (foreign, {}))
    ):
        for inputs in ((first, other), (other, first)):
            output = tmp_path / f"{place} {inputs.index(other)}"
            merge_labels(MergeOptions(inputs, output))
            with Run.read(output) as run:
                assert run.manifest.options == expected
                assert run.manifest.weights_name == "tiny"


def test_what_cannot_be_merged_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", of_model("x.jpg", "aa"))
    other_size = replace(of_model("x.jpg", "bb"), size_wh=(320, 240), exact=True)
    second = make_run(tmp_path / "b", other_size)
    for output in (tmp_path / "out", tmp_path / "out.json"):
        with pytest.raises(InputError, match="different pictures"):
            merge_labels(MergeOptions((first, second), output))
        assert not output.exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot write"):
        merge_labels(MergeOptions((first, first), tmp_path / "file" / "out"))
    with pytest.raises(InputError, match="exists"):
        merge_labels(MergeOptions((first, second), first))
    with pytest.raises(ConfigError, match="nothing to merge"):
        MergeOptions((), tmp_path / "out")
    with pytest.raises(ConfigError, match="none of the inputs"):
        MergeOptions((first, second), tmp_path / "out", human=(tmp_path / "c",))


def test_a_run_that_another_process_made_meanwhile_is_left_alone(tmp_path: Path) -> None:
    inputs = open_together([make_run(tmp_path / name, of_model("x.jpg", name)) for name in "ab"])
    other = make_run(tmp_path / "out", of_model("y.jpg", "cc"))
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    with pytest.raises(InputError, match="out exists"):
        write_merged_run(other, inputs[0].records(), inputs, None, inputs[0].category)
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before


@pytest.mark.parametrize("num_shards", [None, 2])
def test_a_file_that_another_process_made_meanwhile_is_left_alone(
    tmp_path: Path, num_shards: int | None
) -> None:
    inputs = open_together([make_run(tmp_path / name, of_model("x.jpg", name)) for name in "ab"])
    out = tmp_path / "out.json"
    other = shard_paths(out, num_shards or 1)[-1]

    def frames() -> Iterator[LabelledFrame]:
        yield from map(LabelledFrame, inputs[0].records())
        other.write_text("of somebody else")

    with pytest.raises(InputError, match=r"out\.json exists: something else"):
        write_merged_document(out, frames(), inputs, num_shards, (), (inputs[0].category,))
    assert other.read_text() == "of somebody else"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", other.name}


def test_a_merge_that_is_killed_leaves_no_run_that_looks_whole(tmp_path: Path) -> None:
    names = [f"{number:04d}.jpg" for number in range(1500)]
    first = make_run(tmp_path / "a", *(of_model(name, "aa") for name in names[::2]))
    second = make_run(tmp_path / "b", *(of_model(name, "bb") for name in names[1::2]))
    merge = command("merge", first, second, "-o", tmp_path / "out.vitpose")
    with subprocess.Popen(merge, env=environment(), stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: any(tmp_path.glob("*out.vitpose*/journal-*.jsonl")), process)
        process.kill()
    if (tmp_path / "out.vitpose").exists():  # it was faster than the signal
        assert len(read_coco(tmp_path / "out.vitpose").images) == len(names)
        return
    again = vitpose("merge", first, second, "-o", tmp_path / "out.vitpose")
    assert again.returncode == 0, again.stderr
    assert len(read_coco(tmp_path / "out.vitpose").images) == len(names)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "out.vitpose"}


def test_same_labels_ignore_what_nobody_sees() -> None:
    record = make_fixed("x.jpg")
    assert record.instances is not None
    hidden = record.instances.visibility == 0
    points = record.instances.keypoints.copy()
    points[hidden] += 50
    moved = replace(record, instances=replace(record.instances, keypoints=points))
    assert same_labels(record, moved)
    assert not same_labels(record, rejected("x.jpg"))
    assert not same_labels(record, make_fixed("x.jpg", count=2))


def test_the_same_people_in_another_order_are_no_conflict(tmp_path: Path) -> None:
    record = make_fixed("x.jpg", count=3)
    assert record.instances is not None
    turned = replace(record, instances=record.instances.select([2, 0, 1]), exact=True)
    assert same_labels(record, turned)
    first, second = make_run(tmp_path / "a", record), make_run(tmp_path / "b", turned)
    assert not merge_labels(MergeOptions((first, second), tmp_path / "out")).conflicts
    twice = replace(record, instances=record.instances.select([0, 1, 1]), exact=True)
    assert not same_labels(twice, record)
    assert not same_labels(record, twice)


def test_boxes_that_differ_are_a_conflict(tmp_path: Path) -> None:
    record = make_fixed("x.jpg")
    assert record.instances is not None
    boxes = [replace(record.instances, boxes=np.array([[0, 0, to, to]])) for to in (50, 300)]
    small, large = (replace(record, instances=people) for people in boxes)
    first, second = make_run(tmp_path / "a", small), make_run(tmp_path / "b", large)
    summary = merge_labels(MergeOptions((first, second), tmp_path / "out"))
    assert [conflict.file_name for conflict in summary.conflicts] == ["x.jpg"]


def test_what_a_document_cuts_at_the_picture_is_no_conflict(tmp_path: Path) -> None:
    people = make_fixed("x.jpg").instances
    assert people is not None
    points = people.keypoints.copy()
    points[:, 0] = -20
    beyond = replace(people, boxes=np.array([[-30, -30, 700, 500]]), keypoints=points)
    run = make_run(tmp_path / "run", replace(make_fixed("x.jpg"), instances=beyond))
    inputs = (run, run / "annotations.json")
    assert not merge_labels(MergeOptions(inputs, tmp_path / "out", human=inputs)).conflicts


def test_the_command(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", make_fixed("x.jpg", count=1))
    second = make_run(tmp_path / "b", make_fixed("x.jpg", count=2))
    done = vitpose("merge", first, second, "-o", tmp_path / "new" / "out.json")
    assert done.returncode == 0, done.stderr
    assert "people differ" in done.stderr
    done = vitpose("merge", first, second, "-o", tmp_path / "out2", "--json")
    assert json.loads(done.stdout)["conflicts"][0]["file_name"] == "x.jpg"
