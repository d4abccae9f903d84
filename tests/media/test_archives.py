"""Indices of tar archives: as tarfile sees them, and whole up to any damage."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import KeptIndices, photo_at, read_index
from vitpose_cli.plurals import counted

WITHIN = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KINDS = (
    tarfile.REGTYPE,
    tarfile.AREGTYPE,
    tarfile.CONTTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
)
PART = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0:", exclude_categories=["Cc", "Cs"]),
    min_size=1,
    max_size=60,
).filter(lambda part: part not in (".", ".."))
NAMES = st.lists(PART, min_size=1, max_size=5).map("/".join)
MEMBERS = st.lists(st.tuples(NAMES, st.sampled_from(KINDS), st.binary(max_size=1500)), max_size=8)


def write_tar(path: Path, members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@WITHIN
@given(members=MEMBERS, form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_it_finds_what_tarfile_finds(
    tmp_path: Path, members: list[tuple[str, bytes, bytes]], form: int
) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=form) as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "/etc/passwd"
            regular = kind in tarfile.REGULAR_TYPES
            info.size = len(data) if regular else 0
            tar.addfile(info, io.BytesIO(data) if regular else None)
    expected: dict[str, bytes] = {}
    num_refused = 0
    with tarfile.open(path) as tar:
        for info in tar:
            stream = tar.extractfile(info) if info.isreg() else None
            if stream is not None:
                expected[info.name] = stream.read()
            else:
                num_refused += not info.isdir()
    index = read_index(path)
    assert {name: member.read_bytes() for name, member in index.members.items()} == expected
    assert len(index.problems) == bool(num_refused)


def test_old_formats_and_names_of_every_length(tmp_path: Path) -> None:
    for length in (1, 99, 100, 101, 155, 200, 255, 256, 1000):
        name = "ab/" * (length // 3) + "x" * (length % 3) + ".jpg"
        for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            if form == tarfile.USTAR_FORMAT and length > 200:
                continue
            path = write_tar(tmp_path / "a.tar", {name: b"data", "last.jpg": b"!"}, form)
            index = read_index(path)
            assert [*index.members] == [name, "last.jpg"]
            assert index.members["last.jpg"].read_bytes() == b"!"
            assert not index.problems


def test_of_two_members_of_one_name_the_later_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("a.jpg", b"1"), ("b.jpg", b"2"), ("./a.jpg", b"3")):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(data))
    index = read_index(path)
    assert {name: member.read_bytes() for name, member in index.members.items()} == {
        "b.jpg": b"2",
        "a.jpg": b"3",
    }


@pytest.mark.parametrize("name", ["../a.jpg", "x/../../a.jpg", "..\\a.jpg", "C:\\a.jpg", "..", "/"])
def test_names_that_lead_out_are_refused_and_said(tmp_path: Path, name: str) -> None:
    index = read_index(write_tar(tmp_path / "a.tar", {name: b"1", "/etc/b.jpg": b"2"}))
    assert [*index.members] == ["etc/b.jpg"]  # as tar does when it unpacks
    assert len(index.problems) == 1
    assert index.problems[0].startswith("1 member passed over (no plain files")
    assert repr(name) in index.problems[0]


@WITHIN
@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere_every_member_before_is_read(tmp_path: Path, share: float) -> None:
    members = {f"{number}.jpg": bytes([number]) * (300 * number) for number in range(8)}
    data = write_tar(tmp_path / "whole.tar", members).read_bytes()
    end = max(
        member.offset + member.size
        for member in read_index(tmp_path / "whole.tar").members.values()
    )
    path = tmp_path / "cut.tar"
    path.write_bytes(data[: int(share * end)])
    index = read_index(path)
    (problem,) = index.problems
    read, cut = {}, []
    for name, member in index.members.items():
        try:
            read[name] = member.read_bytes()
        except InputError as error:
            cut.append(error)
    assert read == {name: members[name] for name in [*members][: len(read)]}
    assert len(cut) <= 1
    assert counted(len(read), "file before that is read", "files before that are read") in problem


@WITHIN
@given(data=st.data())
def test_no_damage_makes_it_fail_or_hang(tmp_path: Path, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    names = ["a.jpg", "é" * 90 + ".jpg", "c/d.jpg"]
    path = write_tar(tmp_path / "a.tar", dict.fromkeys(names, b"x" * 600), form)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 6000))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for member in read_index(path).members.values():
        try:
            assert len(member.read_bytes()) == member.size
        except InputError:
            assert member.offset + member.size > len(content)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"", "without the mark"),
        (b"\x1f\x8b" + b"x" * 600, "compressed"),
        (b"\xff\xd8\xff" + b"x" * 600, "damaged at byte 0"),
        (b"short", "cut off at byte 5"),
    ],
)
def test_what_is_no_archive_is_said(tmp_path: Path, start: bytes, said: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(start)
    index = read_index(path)
    assert not index.members
    assert said in index.problems[0]


@WITHIN
@given(share=st.floats(0, 0.75))
def test_zeros_in_place_of_the_rest_are_a_problem(tmp_path: Path, share: float) -> None:
    members = {f"{number}.jpg": bytes([number + 1]) * 12_000 for number in range(9)}
    data = write_tar(tmp_path / "whole.tar", members).read_bytes()
    data += bytes(13 * 10_240 - len(data))  # which is no multiple of a longer record
    assert not read_index(tmp_path / "whole.tar").problems
    stopped = int(share * len(data))
    path = tmp_path / "stopped.tar"
    path.write_bytes(data[:stopped] + bytes(len(data) - stopped))
    index = read_index(path)
    (problem,) = index.problems
    within_header = "is damaged at byte" in problem
    assert within_header or "has zeros from byte" in problem
    assert "Copy it again" in problem
    whole = [name for name, one in index.members.items() if one.offset + one.size <= stopped]
    assert whole == [*members][: len(whole)]
    assert len(index.members) <= len(whole) + 1
    assert all(index.members[name].read_bytes() == members[name] for name in whole)


@pytest.mark.skipif(not shutil.which("tar"), reason="tar is not there")
@pytest.mark.parametrize("factor", [1, 7, 20, 64, 2048, 20480])
def test_no_padding_of_tar_is_a_problem(tmp_path: Path, factor: int) -> None:
    def tar(*arguments: str) -> None:
        subprocess.run(["tar", *arguments], cwd=tmp_path, check=True)

    for number, size in enumerate((0, 1, 700, 9_500, 40_000)):
        (tmp_path / f"{number}.jpg").write_bytes(b"x" * size)
        tar("-b", str(factor), "-cf", f"{number}.tar", f"{number}.jpg")
    for number in range(1, 5):
        tar("-b", str(factor), "-A", "-f", "0.tar", f"{number}.tar")
        index = read_index(tmp_path / "0.tar")
        assert (len(index.members), index.problems) == (number + 1, [])
    tar("-r", "-f", "4.tar", "0.jpg")
    tar("--delete", "-f", "0.tar", "3.jpg")
    with tarfile.open(tmp_path / "4.tar", "a") as appended:
        appended.add(tmp_path / "1.jpg", "1.jpg")
    for name, count in {"0.tar": 4, "2.tar": 1, "4.tar": 3}.items():
        index = read_index(tmp_path / name)
        assert (len(index.members), index.problems) == (count, [])


def test_what_stands_behind_the_end_is_said(tmp_path: Path) -> None:
    first = write_tar(tmp_path / "a.tar", {"1.jpg": b"1"}).read_bytes()
    second = write_tar(tmp_path / "b.tar", {"2.jpg": b"2"}).read_bytes()
    joined = tmp_path / "joined.tar"
    joined.write_bytes(first + second)  # as `cat` does
    index = read_index(joined)
    assert [*index.members] == ["1.jpg"]
    (problem,) = index.problems
    assert f"goes on at byte {len(first)}, behind the mark of its end; 1 file before" in problem
    assert "tar -i" in problem


def test_a_photo_is_found_through_an_archive(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"x/1.jpg": b"1"})
    found = photo_at(path / "x" / "1.jpg")
    assert found is not None
    assert found.read_bytes() == b"1"
    assert photo_at(path) == path
    for name in ("a.tar/x/2.jpg", "a.tar/x", "b.tar/x/1.jpg", "a.tar/x/1.jpg/2.jpg"):
        assert photo_at(tmp_path / name) is None


def test_an_archive_that_changes_meanwhile_is_not_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"1"})
    member = read_index(path).members["1.jpg"]
    write_tar(path, {"other.jpg": b"12", "1.jpg": b"1" * 20_000})
    with pytest.raises(InputError, match="changed"):
        member.read_bytes()


def spoil(path: Path) -> None:
    """Replace an archive by zeros so that nobody notices who does not read it."""
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_photos_of_many_archives_are_found_with_each_read_once(tmp_path: Path) -> None:
    photos = [f"{number}.jpg" for number in range(3)]
    archives = [tmp_path / f"{number}.tar" for number in range(100)]
    for archive in archives:
        write_tar(archive, dict.fromkeys(photos, b"1"))
        assert photo_at(archive / photos[0]) is not None
    wanted = [archive / photo for archive in archives for photo in photos]
    random.Random(0).shuffle(wanted)
    for archive in archives:
        spoil(archive)
    assert all(photo_at(path) is not None for path in wanted)
    write_tar(archives[0], {"new.jpg": b"1" * 20_000})
    assert photo_at(archives[0] / "new.jpg") is not None
    assert photo_at(archives[0] / photos[0]) is None


def test_indices_are_kept_up_to_a_number_of_files(tmp_path: Path) -> None:
    archives = [tmp_path / f"{number}.tar" for number in range(4)]
    for archive, num_photos in zip(archives, (3, 3, 3, 20), strict=True):
        write_tar(archive, {f"{number}.jpg": b"1" for number in range(num_photos)})
    kept = KeptIndices(max_members=8)
    first, second, third, large = archives
    for archive in (first, second, first, third):  # the second was not used for longest
        kept.index(archive)
    for archive in archives:
        spoil(archive)
    assert [len(kept.index(each).members) for each in (first, third, second)] == [3, 3, 0]
    write_tar(large, {f"{number}.jpg": b"1" for number in range(20)})
    for _ in range(2):
        assert len(kept.index(large).members) == 20
        spoil(large)
    assert not kept.index(first).members
