from pathlib import Path

import pytest
from record_cases import make_manifest

from vitpose_cli.errors import ConfigError
from vitpose_cli.records.continuation import resumed_manifest

DEFAULTS = {"every": 1, "fps": None, "start_s": 0.0, "end_s": None, "max_frames": None}


def test_only_what_was_given_differs_by_its_name_on_the_command_line() -> None:
    before = make_manifest(options={**DEFAULTS, "max_frames": 12, "end_s": 2.5})
    with pytest.raises(ConfigError) as caught:
        resumed_manifest(before, make_manifest(options={}), Path("run"))
    assert caught.value.message.splitlines()[1:] == [
        "  end: was 2.5, now not given",
        "  max-frames: was 12, now not given",
    ]


def test_what_is_left_out_is_what_is_taken_then() -> None:
    resumed_manifest(make_manifest(options=DEFAULTS), make_manifest(options={}), Path("run"))
    resumed_manifest(make_manifest(options={}), make_manifest(options=DEFAULTS), Path("run"))


def test_a_detector_is_known_by_its_hash() -> None:
    first, spelled, other = (
        make_manifest(options={"detector": name})
        for name in (
            "dfine-n (0123456789abcdef)",
            "./dfine-n (0123456789abcdef)",  # a folder, typed otherwise
            "dfine-n (fedcba9876543210)",
        )
    )
    resumed_manifest(spelled, first, Path("run"))
    with pytest.raises(ConfigError, match="detector: was dfine-n"):
        resumed_manifest(first, other, Path("run"))
