"""One photo under two forms of its name, in labels that are compared or merged."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import pytest
from record_cases import small_document, write_json
from runs import vitpose

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.common_names import CommonNames, agree_on_forms

TOGETHER, APART = normalize("NFC", "é/1.jpg"), normalize("NFD", "é/1.jpg")


def called(*sets: list[str]) -> list[list[str]]:
    """Return what the photos of several sets are called."""
    common = [CommonNames() for _ in sets]
    agree_on_forms([(each, names.copy) for each, names in zip(common, sets, strict=True)])
    return [
        [str(each(FrameKey(name))) for name in names]
        for each, names in zip(common, sets, strict=True)
    ]


def test_the_first_form_counts_for_all() -> None:
    assert called([APART], [TOGETHER], [APART]) == [[APART]] * 3
    assert called(["sub\\a.jpg", "b.jpg"], ["b.jpg", "sub/a.jpg"]) == [
        ["sub\\a.jpg", "b.jpg"],
        ["b.jpg", "sub\\a.jpg"],
    ]
    assert called([TOGETHER], [APART], [APART]) == [[TOGETHER]] * 3
    assert called([APART], ["b.jpg"]) == [[APART], ["b.jpg"]]


def test_photos_that_one_set_tells_apart_stay_apart() -> None:
    assert called([TOGETHER, APART], [APART]) == [[TOGETHER, APART], [APART]]
    assert called([TOGETHER], [APART, TOGETHER]) == [[TOGETHER], [APART, TOGETHER]]
    windows = TOGETHER.replace("/", "\\")
    assert called([TOGETHER], [windows, APART]) == [[TOGETHER], [windows, APART]]


def test_videos_have_forms_of_their_names_too() -> None:
    first, second = CommonNames(), CommonNames()
    forms = normalize("NFD", "é.mp4"), normalize("NFC", "é.mp4")
    agree_on_forms([(first, lambda: forms[:1]), (second, lambda: forms[1:])])
    assert second(FrameKey(forms[1], 3)) == FrameKey(forms[0], 3)
    assert not first


def test_extracted_frames_are_those_of_a_video_in_any_form_of_its_name() -> None:
    together, apart = (normalize(form, "d/é.mp4") for form in ("NFC", "NFD"))
    for video, photo in ((together, apart), (apart, together), (apart, "d\\" + together[2:])):
        names = CommonNames()
        names.add_videos([video])
        extracted = FrameKey(str(FrameKey(photo, 3)))
        assert names(extracted) == FrameKey(video, 3)
        assert names(FrameKey(extracted.media.replace("/", "\\"))) == FrameKey(video, 3)
    names.add_videos([together])  # a set that tells both apart
    for video in (together, apart):
        assert names(FrameKey(str(FrameKey(video, 3)))) == FrameKey(video, 3)


@pytest.mark.parametrize(("one", "other"), [(APART, TOGETHER), ("sub/a.jpg", "sub\\a.jpg")])
def test_nobody_is_doubled_by_another_form_of_a_name(tmp_path: Path, one: str, other: str) -> None:
    document = small_document()
    for file, name in (("a.json", one), ("b.json", other)):
        document["images"][0]["file_name"] = name
        write_json(tmp_path / file, document)
    done = vitpose("merge", "a.json", "b.json", "-o", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # The run has the names, whatever comes first.
    done = vitpose("merge", "b.json", "run", "-o", "all.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    merged = json.loads((tmp_path / "all.json").read_bytes())
    assert {image["file_name"] for image in merged["images"]} == {one, "sub/b.jpg"}
    assert len(merged["annotations"]) == 2
    done = vitpose("diff", "b.json", "all.json", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["num_frames"] == 2


def test_three_sets_meet_under_the_form_of_the_first(tmp_path: Path) -> None:
    document = small_document()
    for file, name in (("a.json", TOGETHER), ("b.json", APART), ("c.json", APART)):
        document["images"][0]["file_name"] = name
        write_json(tmp_path / file, document)
    done = vitpose(
        *("merge", "a.json", "b.json", "c.json", "--human", "b.json", "-o", "all.json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    merged = json.loads((tmp_path / "all.json").read_bytes())
    assert {image["file_name"] for image in merged["images"]} == {TOGETHER, "sub/b.jpg"}
    # A set that tells two forms apart.
    document["images"][0]["file_name"] = TOGETHER.replace("/", "\\")
    document["images"][1]["file_name"] = APART
    write_json(tmp_path / "b.json", document)
    done = vitpose("merge", "a.json", "b.json", "-o", "apart.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
