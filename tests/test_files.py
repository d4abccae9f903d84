import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vitpose_cli.errors import InputError
from vitpose_cli.files import (
    atomic_file,
    atomic_set,
    check_replaceable,
    fitted_name,
    is_file,
    make_folder,
    read_error,
    remove_all_left_over,
    write_error,
)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with atomic_file(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def write_and_fail(path: Path, error: Exception) -> None:
    with atomic_file(path) as stream:
        stream.write(b"new")
        raise error


def test_after_a_failure_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with pytest.raises(KeyError):
        write_and_fail(path, KeyError())
    with pytest.raises(InputError, match=r"Cannot write .*a\.json: No space left") as caught:
        write_and_fail(path, OSError(errno.ENOSPC, "No space left on device"))
    assert "disk is full" in caught.value.hint
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def write_set(folder: Path, names: list[str], error: Exception | None = None) -> None:
    old = [*folder.glob("a*")]
    with atomic_set(folder / "a", old) as new_file:
        for name in names:
            with new_file(folder / name) as stream:
                stream.write(b"new")
            assert sorted(folder.glob("a*")) == sorted(old)
        if error is not None:
            raise error


def test_a_set_takes_the_place_of_another(tmp_path: Path) -> None:
    for names in (["a1", "a2"], ["a1", "a2", "a3"], ["a"], ["a"], ["a2"]):
        for path in tmp_path.iterdir():
            path.write_bytes(b"old")
        write_set(tmp_path, names)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(
            names, b"new"
        )


def test_a_set_that_fails_leaves_the_other(tmp_path: Path) -> None:
    write_set(tmp_path, ["a1", "a2"])
    with pytest.raises(InputError, match=r"Cannot write .*a: No space left"):
        write_set(tmp_path, ["a2"], OSError(errno.ENOSPC, "No space left on device"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a1", "a2"]


def test_a_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot write"), atomic_file(tmp_path / "no" / "a"):
        pass


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not write"),
        (errno.EIO, "reports an error"),
        (errno.EFBIG, "choose another"),
    ],
)
def test_the_hint_fits_the_reason(number: int, hint: str) -> None:
    assert hint in write_error(Path("a"), OSError(number, "reason")).hint


def test_a_read_error_names_the_file() -> None:
    assert "Cannot read a: gone" in read_error(Path("a"), OSError(errno.ENOENT, "gone")).message


def test_a_url_is_no_place_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("s3://bucket/out.vitpose", "gs://bucket/a/b", "s3://"):
        with pytest.raises(InputError, match=f"Cannot write {url}: nothing is written to URLs"):
            make_folder(Path(url))
        gone = OSError(errno.ENOENT, "gone")
        assert f"Cannot read {url}: only photos" in read_error(Path(url), gone).message
    (tmp_path / "s3:").mkdir()  # of another program
    with pytest.raises(InputError, match="nothing is written to URLs"):
        make_folder(Path("s3://bucket"))
    (tmp_path / "s3:").rmdir()
    assert not list(tmp_path.iterdir())
    (tmp_path / "day1:").mkdir()
    make_folder(Path("day1:/out"))  # a folder of somebody who calls folders so
    assert (tmp_path / "day1:" / "out").is_dir()


@pytest.mark.parametrize("name", ["a" * 251 + ".jpg", "é" * 125 + ".jpg", "図" * 83 + ".jpg"])
def test_the_longest_name_that_a_file_may_have_can_be_written(tmp_path: Path, name: str) -> None:
    with atomic_file(tmp_path / name) as stream:
        stream.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="device or a pipe"), atomic_file(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_folder_is_not_replaced_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, Path()):
        with pytest.raises(InputError, match="is a folder"):
            check_replaceable(folder, lambda _: True)


def test_what_cannot_be_read_is_not_what_is_written(tmp_path: Path) -> None:
    source, target = tmp_path / "none.jpg", tmp_path / "a.jpg"
    with (
        pytest.raises(InputError, match=r"Cannot read .*none\.jpg: No such file"),
        atomic_file(target) as stream,
    ):
        stream.write(source.read_bytes())
    assert not [*tmp_path.iterdir()]
    with pytest.raises(InputError, match=r"Cannot write .*a\.jpg"), atomic_file(target / "a.jpg"):
        pass


def test_what_the_dead_have_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    names = [f".a.npy.{number}.vitpose-tmp" for number in (os.getpid(), os.getppid(), ended.pid)]
    names += [f".b.json.{ended.pid}.vitpose-tmp", f"c.{ended.pid}.vitpose-tmp", "a.npy"]
    for name in names:
        (tmp_path / name).touch()
    remove_all_left_over(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names[:2], *names[4:]}
    remove_all_left_over(tmp_path / "none")


@pytest.mark.parametrize("letter", ["w", "é", "日"])
def test_made_names_are_cut_where_no_file_system_takes_them(tmp_path: Path, letter: str) -> None:
    assert fitted_name(letter, ".jpg") == f"{letter}.jpg"
    longest = "w" * 251
    assert fitted_name(longest, ".jpg") == f"{longest}.jpg"
    names = [fitted_name(letter * number, ".jpg") for number in (252, 253)]
    assert len({*names}) == 2
    for name in names:
        assert name.endswith(".jpg")
        (tmp_path / name).touch()
        assert is_file(tmp_path / name)


def test_a_name_that_is_too_long_is_of_no_file(tmp_path: Path) -> None:
    assert not is_file(tmp_path / ("l" * 300))
