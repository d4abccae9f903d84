import json
from dataclasses import replace
from pathlib import Path

import pytest
from record_cases import make_manifest

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.continuation import refreshed_manifest, resumed_manifest
from vitpose_cli.records.manifest import RunManifest


def test_a_manifest_comes_back_from_its_file(tmp_path: Path) -> None:
    manifest = make_manifest(
        sources=("photos",), options={"threshold": 0.3}, notes={"device": "cpu"}
    )
    manifest.write(tmp_path / "manifest.json")
    read = RunManifest.read(tmp_path / "manifest.json")
    assert read == manifest
    assert read.num_keypoints == 17
    resumed_manifest(read, manifest, tmp_path)


def test_what_changes_no_label_is_not_compared(tmp_path: Path) -> None:
    resumed_manifest(
        make_manifest(notes={"device": "cpu"}, created="before", tool_version="0"),
        make_manifest(notes={"device": "cuda"}, weights_name="other name"),
        tmp_path,
    )


def test_tuples_equal_the_lists_that_json_makes_of_them(tmp_path: Path) -> None:
    make_manifest(options={"classes": ("dog",)}).write(tmp_path / "m.json")
    wanted = make_manifest(options={"classes": ("dog",)})
    resumed_manifest(RunManifest.read(tmp_path / "m.json"), wanted, tmp_path)


def test_everything_that_differs_is_listed() -> None:
    before = make_manifest(sources=("a",), options={"flip-test": True, "threshold": 0.3})
    now = make_manifest(
        keypoint_set=keypoint_set("ap10k").to_category(),
        sources=("a", "b"),
        options={"flip-test": True, "boxes": "boxes.json"},
        weights_name="base",
        weights_hash="ff",
    )
    with pytest.raises(ConfigError) as caught:
        resumed_manifest(before, now, Path("run"))
    assert caught.value.message.splitlines() == [
        "The run in run was made with other options:",
        "  weights: was tiny (0123456789abcdef), now base (ff)",
        "  keypoint set: was 'person' with 17 keypoints, now 'animal' with 17 keypoints",
        "  sources: was a, now a b",
        "  boxes: was not given, now boxes.json",
        "  threshold: was 0.3, now not given",
    ]
    assert "--overwrite" in caught.value.hint
    assert "--refresh" not in caught.value.hint  # these are other photos
    with pytest.raises(ConfigError, match="threshold") as caught:
        resumed_manifest(before, replace(before, options={"threshold": 0.5}), Path("run"))
    assert "--refresh" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"format": "other"}', '{"format": "vitpose-run"}']
)
def test_another_file_is_no_manifest(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(InputError, match="is not the manifest of a run"):
        RunManifest.read(path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"root": 3}, "root is of another kind"),
        ({"base": []}, "base is of another kind"),
        ({"document": None}, "document is of another kind"),
        ({"options": []}, "options is of another kind"),
        ({"sources": "photos"}, "sources is of another kind"),
        ({"sources": [None]}, "sources is of another kind"),
        ({"history": [1]}, "history is of another kind"),
        ({"weights_hash": 7}, "weights_hash is of another kind"),
        ({"keypoint_set": {"name": "x", "keypoints": ["a"]}}, "keypoint_set has no id"),
        ({"keypoint_set": {"id": 1, "name": "x", "keypoints": "abc"}}, "keypoints are no names"),
    ],
)
def test_a_manifest_with_something_else_in_it_is_refused(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    path = tmp_path / "manifest.json"
    make_manifest().write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(InputError, match=said):
        RunManifest.read(path)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read .*manifest\.json"):
        RunManifest.read(tmp_path / "manifest.json")


def test_a_refresh_remembers_what_was_before(tmp_path: Path) -> None:
    first = make_manifest(options={"threshold": 0.3}, weights_name="tiny", weights_hash="aa")
    second = make_manifest(options={"threshold": 0.5}, weights_name="base", weights_hash="bb")
    refreshed = refreshed_manifest(first, second, tmp_path)
    assert refreshed.generation == 2
    assert refreshed.weights_hash == "bb"
    assert refreshed.history[0]["weights_hash"] == "aa"
    assert refreshed.history[0]["options"] == {"threshold": 0.3}
    resumed_manifest(refreshed, second, tmp_path)
    assert (
        refreshed_manifest(refreshed, second, tmp_path) is refreshed
    )  # the same command again goes on
    back = refreshed_manifest(refreshed, first, tmp_path)
    assert [past["weights_hash"] for past in back.history] == ["aa", "bb"]
    back.write(tmp_path / "manifest.json")
    assert RunManifest.read(tmp_path / "manifest.json") == back


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {"every": 2}),
        ({"every": 10}, {"fps": 5.0}),
        ({"max_frames": 7}, {}),
        ({"start_s": 0.0}, {"start_s": 3.0}),
        ({"end_s": 3.0}, {"end_s": 4.0}),
    ],
)
def test_another_choice_of_frames_is_another_run(
    before: dict[str, float], now: dict[str, float]
) -> None:
    first, second = (make_manifest(options=each | {"flip-test": True}) for each in (before, now))
    with pytest.raises(ConfigError, match="cannot be refreshed") as caught:
        refreshed_manifest(first, replace(second, weights_hash="bb"), Path("run"))
    assert "Only how frames are labelled may change, not which" in caught.value.hint
    assert "flip-test" not in caught.value.message
    with pytest.raises(ConfigError, match="made with other options") as caught:
        resumed_manifest(first, second, Path("run"))
    assert "--refresh" not in caught.value.hint


def test_a_choice_of_frames_that_takes_all_is_none(tmp_path: Path) -> None:
    all_frames = {"every": 1, "start_s": 0.0, "end_s": None, "fps": None, "max_frames": None}
    first, second = make_manifest(), make_manifest(options=all_frames, weights_hash="bb")
    assert refreshed_manifest(first, second, tmp_path).generation == 2


def test_what_a_file_calls_its_people_is_kept(tmp_path: Path) -> None:
    players = {**keypoint_set("coco").to_category(), "name": "player"}
    first = make_manifest(keypoint_set=players)
    resumed_manifest(first, make_manifest(), tmp_path)
    refreshed = refreshed_manifest(first, make_manifest(weights_hash="bb"), tmp_path)
    assert (refreshed.keypoint_set, refreshed.generation) == (players, 2)


def test_a_refresh_brings_what_the_new_weights_state_of_the_same_keypoints(tmp_path: Path) -> None:
    names = {"id": 1, "name": "arm", "keypoints": ["kp0", "kp1"]}
    drawn = {**names, "skeleton": [[1, 2]]}
    first = make_manifest(keypoint_set={**drawn, "sigmas": [0.1, 0.1], "flip_pairs": []})
    plain, wide = (
        make_manifest(weights_hash="bb", keypoint_set={**names, "skeleton": [], **said})
        for said in ({}, {"sigmas": [0.2, 0.1]})
    )
    assert refreshed_manifest(first, plain, tmp_path).keypoint_set == first.keypoint_set
    assert refreshed_manifest(first, wide, tmp_path).keypoint_set == {
        **drawn, "sigmas": [0.2, 0.1], "flip_pairs": [],
    }  # fmt: skip
    other = make_manifest(weights_hash="bb", keypoint_set={**drawn, "keypoints": ["kp1", "kp0"]})
    with pytest.raises(ConfigError, match="keypoint set: was"):
        refreshed_manifest(first, other, tmp_path)


def test_other_sources_or_keypoints_are_another_run(tmp_path: Path) -> None:
    first = make_manifest(sources=("a",))
    other = make_manifest(sources=("b",), keypoint_set=keypoint_set("ap10k").to_category())
    with pytest.raises(ConfigError, match=r"(?s)keypoint set: was .*sources: was a, now b"):
        refreshed_manifest(first, other, tmp_path)


@pytest.mark.parametrize("mark", ["", "@"])
def test_a_source_is_the_same_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    (tmp_path / "set/photos").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "set")
    run = tmp_path / "set/photos.vitpose"
    run.mkdir()
    first = make_manifest(sources=(f"{mark}photos",))
    for folder, path in {
        "set": tmp_path / "set/photos",
        "set/photos": Path("../photos"),
        ".": Path("set/photos"),  # and the run is known by its own place
        "set/photos.vitpose": tmp_path / "link/photos",
    }.items():
        monkeypatch.chdir(tmp_path / folder)
        wanted = make_manifest(sources=(f"{mark}{path}",))
        resumed_manifest(first, wanted, run)
        assert (
            refreshed_manifest(first, replace(wanted, weights_hash="1"), run).sources
            == first.sources
        )
    with pytest.raises(ConfigError, match="sources: was"):
        resumed_manifest(first, make_manifest(sources=(f"{mark}{tmp_path}/other/photos",)), run)
