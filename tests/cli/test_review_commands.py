"""`vitpose review` and `vitpose history` at the terminal; what they do is tested in review/."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vitpose_cli.cli.app import app, run
from vitpose_cli.errors import ExitCode, InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.review.server import listen


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Return a run with one frame that a person looked at, its media missing."""
    first = FrameRecord(
        FrameKey("a[b].jpg"), (64, 48), instances=Instances.empty(17), model="f" * 16
    )
    folder = tmp_path / "run"
    manifest = RunManifest(keypoint_set("coco").to_category(), sources=("gone",))
    with Run.open(folder, manifest) as opened:
        opened.append(first)
    with Run.edit(folder) as opened:
        opened.append(replace(first, review=Review("accepted", "anna [1]", 12.0, first.version)))
        refused = Review("rejected", "bea", 13.0, first.version)
        opened.append(replace(first, review=refused, set_aside=True))
    return folder


def test_history_shows_who_did_what(run_folder: Path) -> None:
    shown = CliRunner().invoke(
        app, ["history", str(run_folder), "a[b].jpg"], env={"COLUMNS": "150"}
    )
    assert shown.exit_code == ExitCode.OK
    for word in ("a[b].jpg", "model ffffffffffffffff", "anna [1]", "accepted", "nothing", "aside"):
        assert word in shown.stdout
    told = CliRunner().invoke(app, ["history", str(run_folder), "a[b].jpg", "--json"])
    versions = json.loads(told.stdout)["versions"]
    assert [version["origin"] for version in versions] == ["model", "human", "human"]
    assert [version["counts"] for version in versions] == [False, True, False]
    assert [version["set_aside"] for version in versions] == [False, False, True]
    assert versions[1]["previous"] == versions[0]["version"]
    assert versions[1]["changes"]["num_moved"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["history", "RUN", "b.jpg"], "no frame 'b.jpg'"),
        (["history", "nowhere", "b.jpg"], "no run folder nowhere"),
        (["review", "nowhere"], "nowhere"),
        (["review", "RUN"], "--images"),
        (["review", "RUN", "--images", "RUN"], "are not in"),
        (["review", "RUN", "--queue", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_used_is_said(
    run_folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(run_folder) if word == "RUN" else word for word in arguments]
    assert run(words) == ExitCode.INPUT
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_is_said() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}") as caught:
            listen("127.0.0.1", port)
    assert "--port" in caught.value.hint
    with pytest.raises(InputError, match=r"host\.invalid"):
        listen("host.invalid", 0)


def test_review_waits_for_no_torch() -> None:
    code = (
        "import sys; import vitpose_cli.review.launch; "
        "print(sorted({'torch', 'transformers', 'timm', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    )
    assert done.stdout.strip() == "[]"
