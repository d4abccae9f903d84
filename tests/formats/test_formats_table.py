import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from format_cases import NO_PICTURES, content, export, make_run

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.formats.content import LabelledFrame
from vitpose_cli.formats.table import FORMATS, format_named, format_of


def test_formats_by_name() -> None:
    for name, each in FORMATS.items():
        assert format_named(name) is each
    with pytest.raises(ConfigError, match="no format 'CVAT'") as caught:
        format_named("CVAT")
    assert "Did you mean 'cvat'?" in caught.value.hint


def test_files_tell_their_format(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert format_of(export(run, "coco", tmp_path / "c.json").files[0]) == "coco"
    archive = export(run, "cvat", tmp_path / "cvat").files[1]
    assert format_of(archive) == "cvat"
    with pytest.raises(InputError, match="is what `vitpose export --format cvat` wrote") as caught:
        format_of(tmp_path / "cvat")
    assert "what CVAT exported" in caught.value.hint
    with ZipFile(archive) as zipped:
        zipped.extractall(tmp_path / "task")
    assert format_of(tmp_path / "task") == "cvat"
    assert format_of(export(run, "labelstudio", tmp_path / "ls").files[1]) == "labelstudio"
    (tmp_path / "labels.json").write_text(
        json.dumps({"info": {"url": "https://voxel51.com/fiftyone"}, "images": []})
    )
    assert format_of(tmp_path / "labels.json") == "fiftyone"
    assert format_of(tmp_path) == "fiftyone"
    with pytest.raises(InputError, match="no export of Label Studio"):
        format_of(export(run, "results", tmp_path / "r.json").files[0])
    with pytest.raises(InputError, match="Cannot read"):
        format_of(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["coco", "results"])
def test_a_file_that_somebody_else_made_meanwhile_is_left_alone(tmp_path: Path, name: str) -> None:
    of_run = content(make_run(tmp_path / "run"))
    out = tmp_path / "out.json"

    def frames() -> Iterator[LabelledFrame]:
        yield from of_run.frames()
        out.write_text("[]")

    slow = replace(of_run, frames=frames)
    with pytest.raises(InputError, match=r"out\.json exists: something else has made it meanwhile"):
        format_named(name).write(slow, out, NO_PICTURES)
    assert out.read_text() == "[]"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "out.json"}
    export(tmp_path / "run", name, tmp_path / "new.json")
    out.unlink()
    format_named(name).write(slow, out, replace(NO_PICTURES, overwrite=True))
    assert out.read_bytes() == (tmp_path / "new.json").read_bytes()
