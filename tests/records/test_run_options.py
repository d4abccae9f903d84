from dataclasses import replace
from pathlib import Path

import pytest
from record_cases import make_manifest

from vitpose_cli.errors import ConfigError
from vitpose_cli.records.continuation import check_resumable, refreshed_manifest

DEFAULTS = {"every": 1, "fps": None, "start_s": 0.0, "end_s": None, "max_frames": None}


def test_only_what_was_given_differs_by_its_name_on_the_command_line() -> None:
    before = make_manifest(options={**DEFAULTS, "max_frames": 12, "end_s": 2.5})
    with pytest.raises(ConfigError) as caught:
        check_resumable(before, make_manifest(options={}), Path("run"))
    assert caught.value.message.splitlines()[1:] == [
        "  end: was 2.5, now not given",
        "  max-frames: was 12, now not given",
    ]


def test_what_is_left_out_is_what_is_taken_then() -> None:
    check_resumable(make_manifest(options=DEFAULTS), make_manifest(options={}), Path("run"))
    check_resumable(make_manifest(options={}), make_manifest(options=DEFAULTS), Path("run"))


def test_runs_of_before_call_precisions_as_pytorch_does() -> None:
    for old, new in {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.items():
        before, now = (make_manifest(options={"precision": name}) for name in (old, new))
        check_resumable(before, now, Path("run"))
        assert refreshed_manifest(before, now, Path("run")) is before
    given = replace(now, options={"precision": "fp32"}, notes={"precision": "fp32"})
    with pytest.raises(ConfigError, match="precision: was fp16, now fp32"):
        check_resumable(before, given, Path("run"))


def test_runs_of_before_do_not_know_the_hash_of_their_detector() -> None:
    known, other = "dfine-n (0123456789abcdef)", "dfine-n (fedcba9876543210)"
    before, now, later = (
        make_manifest(options={"detector": name}) for name in ("dfine-n", known, other)
    )
    check_resumable(before, now, Path("run"))
    spelled = make_manifest(options={"detector": f"./{known}"})  # a folder, typed otherwise
    check_resumable(spelled, now, Path("run"))
    for first in (now, make_manifest(options={"detector": "dfine-s"})):
        with pytest.raises(ConfigError, match="detector: was dfine-"):
            check_resumable(first, later, Path("run"))
