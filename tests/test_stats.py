"""Labels in numbers."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from label_cases import make_failure, make_fixed, make_people, make_record, make_run
from runs import vitpose

from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.record import Review
from vitpose_cli.records.run import Run
from vitpose_cli.stats import NUM_BINS, UNREVIEWED, measure, write_page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [
        make_record("a.jpg", count=3),
        make_record("b.jpg", count=0),
        make_record("v.mp4", 4, 1),
        make_record("v.mp4", 5, 1),
        make_fixed("c.jpg", count=2),
        make_record("d.jpg", count=30, review=Review("rejected")),
        make_failure("e.jpg"),
    ]
    return make_run(tmp_path_factory.mktemp("stats") / "<run>", records)


def test_everything_is_counted_once(run: Path) -> None:
    found = measure(run)
    assert (found.num_frames, found.num_photos, found.num_videos) == (5, 3, 1)
    assert (found.num_people, found.num_empty, found.num_failed) == (7, 1, 1)
    assert found.states == {UNREVIEWED: 4, "fixed": 1, "rejected": 1}  # the failed frame apart
    assert found.num_rejected == 1
    assert found.reviewed_share == 2 / 6
    assert list(found.people_per_frame) == [1, 2, 1, 1]
    assert sum(found.people_per_frame) == found.num_frames  # the rejected frame apart
    assert sum(found.sizes_px) == sum(found.scores) == found.num_people
    assert sum(found.keypoint_scores) == 17 * found.num_people
    assert len(found.scores) == NUM_BINS
    assert found.models == {"0123456789abcdef": 7}


def test_keypoints_are_shares_of_people(tmp_path: Path) -> None:
    people = make_people(4, 2)
    people.visibility[:, 5] = [0, 1, 1, 2]
    people.keypoint_scores[:, 5] = [0.1, 0.2, 0.3, 0.4]
    found = measure(make_run(tmp_path / "run", [make_record("a.jpg", people=people)]))
    shoulder = found.keypoints[5]
    assert shoulder.name == "left_shoulder"
    assert shoulder.labelled == 0.75
    assert shoulder.hidden == 0.5
    assert shoulder.mean_score == pytest.approx(0.25)


def test_all_of_many_frames_are_counted(tmp_path: Path) -> None:
    """They are counted many at a time, and the last ones too."""
    count, people = 1_030, make_people(2, 2)
    once = measure(make_run(tmp_path / "one", [make_record("a.jpg", people=people)]))
    records = [make_record(f"{number}.jpg", people=people) for number in range(count)]
    many = measure(make_run(tmp_path / "many", records))
    assert (many.num_frames, many.num_people) == (count, count * once.num_people)
    for field in ("sizes_px", "scores", "keypoint_scores"):
        assert list(getattr(many, field)) == [count * each for each in getattr(once, field)]
    for row, alone in zip(many.keypoints, once.keypoints, strict=True):
        assert (row.labelled, row.hidden) == (alone.labelled, alone.hidden)
        assert row.mean_score == pytest.approx(alone.mean_score)
    assert many.models == {"0123456789abcdef": count * once.num_people}


def test_a_document_gives_the_numbers_of_its_run(run: Path) -> None:
    of_run, of_file = measure(run), measure(run / "annotations.json")
    assert of_file.num_people == of_run.num_people
    assert of_file.num_frames == of_run.num_frames
    assert of_file.people_per_frame == of_run.people_per_frame
    assert of_file.states == {UNREVIEWED: 4, "fixed": 1}  # neither failed nor rejected frames
    assert of_file.num_videos == 1
    assert of_file.models == of_run.models == {"0123456789abcdef": 7}


def test_boxes_beyond_the_picture_are_as_large_as_in_the_document(tmp_path: Path) -> None:
    people = make_people(3, 2)
    people.boxes[:] = [[-300, 10, 100, 110], [600, 440, 900, 700], [-5000, -90, 20, 30]]
    run = make_run(tmp_path / "run", [make_record("a.jpg", people=people)])
    of_run, of_file = measure(run), measure(run / "annotations.json")
    assert of_run.sizes_px == of_file.sizes_px
    assert [*of_run.sizes_px[:4]] == [1, 1, 0, 1]  # of 24, 40 and 100 px


def test_scores_are_of_those_who_have_them(run: Path, tmp_path: Path) -> None:
    document = json.loads((run / "annotations.json").read_bytes())
    for annotation in document["annotations"][1:]:
        del annotation["score"], annotation["keypoint_scores"]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(document))
    found, of_run = measure(path), measure(run)
    assert (found.num_people, sum(found.scores), sum(found.keypoint_scores)) == (7, 1, 17)
    first = document["annotations"][0]
    assert [row.mean_score for row in found.keypoints] == pytest.approx(first["keypoint_scores"])
    assert [row.labelled for row in found.keypoints] == [row.labelled for row in of_run.keypoints]
    del document["annotations"][0]["score"], document["annotations"][0]["keypoint_scores"]
    path.write_text(json.dumps(document))
    found = measure(path)
    assert not any(found.scores)
    assert {row.mean_score for row in found.keypoints} == {None}
    done = vitpose("stats", path, "--html", tmp_path / "p.html")
    assert done.returncode == 0, done.stderr
    assert "score of people" not in done.stdout
    assert (tmp_path / "p.html").read_text(encoding="utf-8").count("<svg") == 3


def test_shares_have_no_digits_too_many(tmp_path: Path) -> None:
    records = [make_record(f"{number:02}.jpg", count=1) for number in range(47)]
    records += [make_fixed(f"fixed-{number}.jpg") for number in range(3)]
    run = make_run(tmp_path / "run", records)
    assert json.loads(vitpose("stats", run, "--json").stdout)["reviewed_share"] == 0.06


def test_an_empty_run_has_no_numbers(tmp_path: Path) -> None:
    found = measure(make_run(tmp_path / "run", []))
    assert found.num_people == found.reviewed_share == 0
    write_page(found, "empty", tmp_path / "page.html")
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")  # of keypoints


def test_the_page_stands_alone(run: Path, tmp_path: Path) -> None:
    write_page(measure(run), run.name, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    links: list[str | None] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(value for name, value in attrs if name in ("src", "href"))

    Checker().feed(page)
    assert not links
    assert page.count("<svg") == 5
    assert "<run>" not in page


def test_the_page_names_every_keypoint_and_the_last_bin(tmp_path: Path) -> None:
    people = make_people(3, 4)
    people.keypoint_scores[:] = 1.2
    run = make_run(tmp_path / "run", [make_record("a.jpg", people=people)])
    write_page(measure(run), "a", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for name in keypoint_set("coco").names:
        assert f">{name}</text>" in page
    assert "<title>0.95 and more: 51</title>" in page  # 3 people of 17 keypoints
    assert "raw score, from (the last bar: 0.95 and more)" in page


def test_the_table_calls_the_last_bin_as_the_page_does(tmp_path: Path) -> None:
    people = make_people(23, 4)  # of the last bin of frames by people, too
    people.box_scores[:] = people.keypoint_scores[:] = 1.2
    run = make_run(tmp_path / "run", [make_record("a.jpg", people=people)])
    rows = [" ".join(line.split()) for line in vitpose("stats", run).stdout.splitlines()]
    assert any(row.startswith("0.95 and more 23 █") for row in rows), rows
    assert any(row.startswith("20 and more 1 █") for row in rows), rows


def test_the_command(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "p.html"
    done = vitpose("stats", run, "--html", page, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_people"] == 7
    assert page.is_file()
    table = vitpose("stats", run)
    assert "left_shoulder" in table.stdout
    assert "33.3%" in table.stdout
    first = " ".join(table.stdout.split())
    assert first.startswith("7 people in 5 frames (3 photos, 2 of 1 video; ")
    assert "1 without people, 1 failed), 1 more rejected" in first


def test_a_page_with_charts_never_becomes_a_document(run: Path) -> None:
    (run / "annotations.json").unlink(missing_ok=True)
    done = vitpose("stats", run, "--html", run / "annotations.json")
    assert done.returncode == 3
    assert "Charts cannot be written as annotations.json." in done.stderr
    assert not done.stdout
    assert not (run / "annotations.json").exists()


def test_what_a_model_puts_outside_of_the_picture_is_not_labelled_in_a_run_either(
    tmp_path: Path,
) -> None:
    people = make_people(4, 2)
    people.visibility[:, 3] = 2
    people.keypoints[:3, 3] = -5, 20
    fixed = make_people(1, 2)  # a person placed this one there
    fixed.visibility[:, 3], fixed.keypoint_scores[:, 3] = 2, 1
    fixed.keypoints[:, 3] = -5, 20
    records = [
        make_record("a.jpg", people=people),
        make_record("b.jpg", people=fixed, review=Review("fixed")),
    ]
    run = make_run(tmp_path / "run", records)
    of_run, of_file = measure(run), measure(run / "annotations.json")
    assert of_run.keypoints[3].labelled == 2 / 5
    labelled = [row.labelled for row in of_run.keypoints]
    assert labelled == [row.labelled for row in of_file.keypoints]
    with Run.read(run) as opened:  # where everything stays as it came
        assert [one.version for one in opened.records()] == [one.version for one in records]


def test_a_page_for_a_bucket_is_refused(run: Path, tmp_path: Path) -> None:
    done = vitpose("stats", run, "--html", "s3://bucket/page.html", cwd=tmp_path)
    assert done.returncode == 3
    assert "nothing is written to URLs" in done.stderr
    assert not list(tmp_path.iterdir())
