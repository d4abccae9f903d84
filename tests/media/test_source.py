"""What users name on the command line, found once and in a stable order."""

import os
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import PHOTO, found, plant

from vitpose_cli.errors import ExitCode, InputError
from vitpose_cli.media.finding import find_media
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.media.source import open_source
from vitpose_cli.media.video_sink import VideoSink
from vitpose_cli.own_files import OwnFiles


def test_a_folder_is_searched_in_natural_order(tmp_path: Path) -> None:
    names = ["2/a.jpg", "10/a.jpg", "a/é 图.PNG", "img2.jpg", "img10.jpg", "img010.jpg", "x.tiff"]
    plant(tmp_path, *names)
    assert found(tmp_path) == [
        "2/a.jpg",
        "10/a.jpg",
        "a/é 图.PNG",
        "img2.jpg",
        "img010.jpg",
        "img10.jpg",
        "x.tiff",
    ]


def test_hidden_files_runs_and_other_files_are_passed_over(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", ".b.jpg", "._a.jpg", ".cache/c.jpg", "a.vitpose/preview/a.jpg")
    plant(tmp_path, "run/preview/a.jpg", "run/manifest.json", "run/journal-0.jsonl", "notes.txt")
    plant(tmp_path, "IMG_1.CR3", "IMG_2.cr3", "Makefile")
    media = find_media([str(tmp_path)])
    assert list(media.files) == ["a.jpg"]
    assert media.ignored == {".txt": 1, ".cr3": 2, "without suffix": 1}
    assert found(tmp_path / "a.vitpose") == ["preview/a.jpg"]


def test_what_vitpose_made_itself_is_passed_over(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "tree-pose/b.jpg", "yoga-pose.jpg", "set/mine.jpg")
    drawn = ["sheet.png", "sub/worst.jpg", "a-pose.jpg", "x-pose/c.jpg"]
    for name in drawn:
        ImageSink(tmp_path, mark=True).write(Frame(FrameKey(name), np.zeros((6, 8, 3), np.uint8)))
    with VideoSink(tmp_path / "clip-pose.mp4") as sink:
        sink.write(Frame(FrameKey("clip.mp4", 0), np.zeros((48, 64, 3), np.uint8)))
    with OwnFiles(tmp_path / "set") as own:
        own.claim(tmp_path / "set/images/train/a.jpg")
        own.claim(tmp_path / "set/data.yaml")
    plant(tmp_path, "set/images/train/a.jpg")
    photos = ["a.jpg", "set/mine.jpg", "tree-pose/b.jpg", "yoga-pose.jpg"]
    for source in (tmp_path, tmp_path / "**/*.*", tmp_path / "*"):
        media = find_media([str(source)])
        assert list(media.files) == photos, source
        assert media.ignored["drawn"] == len(drawn) + 1
        assert media.ignored["exported"] == 1
    assert found(tmp_path / "set") == ["images/train/a.jpg", "mine.jpg"]
    assert found(tmp_path / "a-pose.jpg", tmp_path / "clip-pose.mp4") == [
        "a-pose.jpg",
        "clip-pose.mp4",
    ]


def test_a_pipe_that_is_called_like_a_drawn_file_hangs_nobody(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg")
    for name in ("sheet.png", "a-pose.mp4"):
        os.mkfifo(tmp_path / name)
    assert found(tmp_path) == ["a.jpg", "sheet.png", "a-pose.mp4"]


def test_media_names_are_relative_to_the_common_root(tmp_path: Path) -> None:
    plant(tmp_path, "d/mon/1.jpg", "d/mon/2.jpg", "d/tue/1.jpg", "d/tue/deep/1.jpg")
    day = tmp_path / "d"
    assert found(day / "mon") == ["1.jpg", "2.jpg"]
    assert found(day / "mon/2.jpg") == ["2.jpg"]
    assert found(day / "mon/2.jpg", day / "mon/1.jpg") == ["1.jpg", "2.jpg"]
    everything = ["mon/1.jpg", "mon/2.jpg", "tue/1.jpg", "tue/deep/1.jpg"]
    assert found(day / "mon", day / "tue") == everything
    assert found(day / "tue/1.jpg", day / "mon", day / "tue/deep/../") == everything
    assert find_media([str(day / "mon"), str(day / "tue")]).root == day.resolve()
    (day / "wed").mkdir()
    assert found(day / "wed", day / "mon/1.jpg") == ["mon/1.jpg"]
    assert found(day / "mon", tmp_path / "*") == [f"d/{name}" for name in everything]


def test_names_stay_relative_to_a_folder_of_before(tmp_path: Path) -> None:
    plant(tmp_path, "d/mon/1.jpg", "e/1.jpg")
    mon = [str(tmp_path / "d/mon")]
    roots = [tmp_path / "gone", tmp_path / "d", tmp_path]
    assert [*find_media(mon, roots).files] == ["mon/1.jpg"]
    assert find_media(mon, roots).root == tmp_path / "d"
    assert [*find_media(mon, roots[:1]).files] == ["1.jpg"]
    assert [*find_media([*mon, str(tmp_path / "e/1.jpg")], roots[:2]).files] == [
        "d/mon/1.jpg",
        "e/1.jpg",
    ]


def test_a_file_named_in_several_ways_is_taken_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "d/1.jpg", "d/2.jpg")
    monkeypatch.chdir(tmp_path)
    assert found("d", tmp_path / "d", "./d/1.jpg", "d/*.jpg", "d/../d") == ["1.jpg", "2.jpg"]


def test_globs(tmp_path: Path) -> None:
    plant(
        tmp_path, "a/1.jpg", "a/2.png", "b/1.jpg", "b/c/1.jpg", "b/.h/1.jpg", "b/n.txt", "[x].jpg"
    )
    assert found(tmp_path / "a/*") == ["1.jpg", "2.png"]
    assert found(tmp_path / "*/1.jpg") == ["a/1.jpg", "b/1.jpg"]
    assert found(tmp_path / "**/1.jpg") == ["a/1.jpg", "b/1.jpg", "b/c/1.jpg"]
    assert found(tmp_path / "b*") == ["b/1.jpg", "b/c/1.jpg"]  # a folder that matches is searched
    assert found(tmp_path / "[x].jpg") == ["[x].jpg"]  # a file that exists is no pattern
    with pytest.raises(InputError, match="Nothing matches"):
        find_media([str(tmp_path / "*.webp")])
    with pytest.raises(InputError, match="glob"):
        find_media([str(tmp_path / "a**b/x")])


def test_list_files(tmp_path: Path) -> None:
    plant(
        tmp_path, "in/a/1.jpg", "in/a/2 b.jpg", "in/#c.jpg", "in/@d.jpg", "in/f/1.jpg", "out/x.jpg"
    )
    photos = tmp_path / "in/list.txt"
    text = "# comment\na/1.jpg\r\n\n  a/2 b.jpg\n./#c.jpg\n@d.jpg\nf\nf/../a/1.jpg\n"
    photos.write_text("\ufeff" + text, encoding="utf-8", newline="")
    assert found(f"@{photos}") == ["#c.jpg", "@d.jpg", "a/1.jpg", "a/2 b.jpg", "f/1.jpg"]
    photos.write_text(f"a/1.jpg\n{tmp_path}/out/x.jpg\n")
    assert found(f"@{photos}") == ["in/a/1.jpg", "out/x.jpg"]
    photos.write_text("gone1.jpg\ngone2.jpg\n")
    with pytest.raises(InputError, match=r"2 of 2 paths .* gone1.jpg, gone2.jpg"):
        find_media([f"@{photos}"])
    for content in (b"\xff\xfe\x00", "\ufeff./a\n./f\n".encode("utf-16-le"), PHOTO * 9 + b"\0/\0"):
        photos.write_bytes(content)
        with pytest.raises(InputError, match="UTF-8"):
            find_media([f"@{photos}"])
    with pytest.raises(InputError, match="cannot be read"):
        find_media([f"@{tmp_path}/no.txt"])


@pytest.mark.skipif(os.name == "nt", reason="POSIX names")
def test_a_line_of_a_list_is_a_name_as_it_is(tmp_path: Path) -> None:
    names = ["# 1.jpg", " a.jpg", "c\u2028d.jpg", "e\x0bf.jpg", "g\r.jpg", "plain.jpg"]
    plant(tmp_path, *names)
    photos = tmp_path / "list.txt"
    lines = [*names, "  plain.jpg ", "# of " + "no matter what " * 30, " ", "#"]
    photos.write_text("\r\n".join(lines), newline="")
    assert sorted(found(f"@{photos}")) == sorted(names)
    plant(tmp_path, "two\nlines.jpg")
    photos.write_bytes("\0".join([*names, "two\nlines.jpg", ""]).encode())
    assert sorted(found(f"@{photos}")) == sorted([*names, "two\nlines.jpg"])
    photos.write_text("long" * 100)
    with pytest.raises(InputError) as caught:
        find_media([f"@{photos}"])
    assert f"1 of 1 paths in {photos} do not exist: {'long' * 20}…." in caught.value.message


@pytest.mark.skipif(os.name == "nt", reason="POSIX names")
def test_a_line_of_a_list_that_cannot_be_read_is_a_failure_of_its_own(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "c/d.jpg")
    odd = b"caf\xe9.jpg"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + odd)).write_bytes(PHOTO)
    long = f"c/../{'x' * 300}.jpg"
    gone = ["b.jpg", "clip.mp4", "folder", "shard.tar", long]
    photos = tmp_path / "list.txt"
    photos.write_bytes(b"\n".join([b"a.jpg", b"c", odd, *map(os.fsencode, gone), b"gone \xff.jpg"]))
    frames = list(open_source([f"@{photos}"]).frames())
    assert [frame.key.media for frame in frames if isinstance(frame, Frame)] == ["a.jpg", "c/d.jpg"]
    failed = {f.key.media: f.error for f in frames if isinstance(f, FrameFailure)}
    assert failed.keys() == {
        *gone[:-1], long.removeprefix("c/../"), "caf\\udce9.jpg", "gone \\udcff.jpg"
    }  # fmt: skip
    assert all("No such file" in failed[name] for name in gone[:-1])
    assert "not UTF-8 text" in failed["caf\\udce9.jpg"]


def test_no_list_is_read_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot be read from stdin") as caught:
        find_media(["@-"])
    assert "@list.txt" in caught.value.hint
    plant(tmp_path, "a.jpg")
    Path("-").write_text("a.jpg\n")
    assert found("@-") == ["a.jpg"]


@pytest.mark.parametrize("source", ["", "gone", "gone/x.jpg", "x" * 300, "a\0b", "~nobody/x"])
def test_a_missing_source_is_said(source: str) -> None:
    with pytest.raises(InputError, match=r"no file or folder|cannot be read") as caught:
        find_media([source])
    assert caught.value.exit_code == ExitCode.INPUT


def test_nothing_to_label_is_said_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photo or video") as caught:
        find_media([str(tmp_path)])
    assert ".jpg" in caught.value.hint
    assert ".mp4" in caught.value.hint
    plant(tmp_path, "a.cr3", "b.cr3", "c.txt")
    with pytest.raises(InputError, match=r"only: 2 \.cr3, 1 \.txt"):
        find_media([str(tmp_path)])
    with pytest.raises(InputError, match="neither a photo nor a video"):
        find_media([str(tmp_path / "a.cr3")])
    with pytest.raises(InputError, match="empty list"):
        find_media([])


@pytest.mark.skipif(os.name == "nt", reason="POSIX links and names")
def test_links_in_a_circle_and_names_that_are_no_text(tmp_path: Path) -> None:
    plant(tmp_path, "d/a.jpg", "far/b.jpg")
    (tmp_path / "d/circle").symlink_to(tmp_path / "d")
    (tmp_path / "d/linked").symlink_to(tmp_path / "far")
    (tmp_path / "d/broken.jpg").symlink_to(tmp_path / "gone.jpg")
    odd = os.fsdecode(os.fsencode(tmp_path / "d") + b"/caf\xe9.jpg")
    Path(odd).write_bytes(PHOTO)
    source = open_source([str(tmp_path / "d")])
    names = ["a.jpg", "broken.jpg", "caf\\udce9.jpg", "linked/b.jpg"]
    assert source.keys() == [FrameKey(name) for name in names]
    failed = {f.key.media: f.error for f in source.frames() if isinstance(f, FrameFailure)}
    assert [*failed] == ["broken.jpg", "caf\\udce9.jpg"]
    assert "not UTF-8 text" in failed["caf\\udce9.jpg"]
    with pytest.raises(InputError, match="not UTF-8 text"):
        open_source([odd])


@pytest.mark.skipif(os.name == "nt", reason="POSIX names")
def test_names_with_backslashes_are_failures(tmp_path: Path) -> None:
    plant(tmp_path, "d/a.jpg", "d/back\\slash.jpg")
    with tarfile.open(tmp_path / "d/b.tar", "w") as tar:
        for name in ("c.jpg", "sub\\e.jpg"):
            tar.add(tmp_path / "d/a.jpg", name)
    source = open_source([str(tmp_path / "d")])
    frames = list(source.frames())
    failed = {f.key.media: f.error for f in frames if isinstance(f, FrameFailure)}
    assert sorted(failed) == ["b.tar/sub\\e.jpg", "back\\slash.jpg"]
    assert all("rename the file" in error for error in failed.values())
    assert sorted(f.key.media for f in frames if isinstance(f, Frame)) == ["a.jpg", "b.tar/c.jpg"]


def test_names_in_archives_that_are_no_text_are_failures(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg")
    with tarfile.open(
        tmp_path / "b.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1"
    ) as tar:
        for name in ("c.jpg", "Größe.jpg"):
            tar.add(tmp_path / "a.jpg", name)
    frames = list(open_source([str(tmp_path / "b.tar")]).frames())
    failed = {f.key.media: f.error for f in frames if isinstance(f, FrameFailure)}
    assert [*failed] == ["b.tar/Gr\\udcf6\\udcdfe.jpg"]
    assert all("not UTF-8 text" in error for error in failed.values())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "locked/b.jpg")
    (tmp_path / "locked").chmod(0)
    with pytest.raises(InputError, match=r"locked.*cannot be read"):
        find_media([str(tmp_path)])


def test_a_mixed_source_gives_photos_then_videos(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "b.gif", "c.jpg", "d.jpg")
    (tmp_path / "c.jpg").write_bytes(b"")
    source = open_source([str(tmp_path)])
    assert source.keys() == [FrameKey("a.jpg"), FrameKey("c.jpg"), FrameKey("d.jpg")]
    frames = list(source.frames())
    assert [str(frame.key) for frame in frames] == [
        "a.jpg",
        "c.jpg",
        "d.jpg",
        "b.gif/frame_000000.jpg",
        "b.gif/frame_000001.jpg",
        "b.gif/frame_000002.jpg",
    ]
    assert isinstance(frames[1], FrameFailure)
    assert source.expected in (6, None)
    done = {frame.key for frame in frames[:5]} - {FrameKey("c.jpg"), FrameKey("b.gif", 1)}
    assert [str(f.key) for f in source.frames(done)] == [
        "c.jpg",
        "b.gif/frame_000001.jpg",
        "b.gif/frame_000002.jpg",
    ]
    assert isinstance(source.read(FrameKey("b.gif", 2)), Frame)
    assert source.read(FrameKey("d.jpg")).size_wh == (8, 6)
    for key in (FrameKey("x.jpg"), FrameKey("c.jpg"), FrameKey("b.gif", 99)):
        with pytest.raises(InputError):
            source.read(key)


def test_an_animated_webp_is_a_video_and_a_still_one_a_photo(tmp_path: Path) -> None:
    stills = [Image.fromarray(np.full((16, 16, 3), grey, np.uint8)) for grey in (0, 90, 180)]
    stills[0].save(tmp_path / "still.webp")
    stills[0].save(tmp_path / "move.webp", save_all=True, append_images=stills[1:], duration=100)
    source = open_source([str(tmp_path)])
    assert source.keys() == [FrameKey("still.webp")]
    assert [str(frame.key) for frame in source.frames()] == [
        "still.webp",
        "move.webp/frame_000000.jpg",
        "move.webp/frame_000001.jpg",
        "move.webp/frame_000002.jpg",
    ]


def test_photos_alone_load_no_video_library(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg")
    program = (
        "import sys\n"
        "from vitpose_cli.media.source import open_source\n"
        f"assert len(list(open_source([{str(tmp_path)!r}]).frames())) == 1\n"
        "assert not {'av', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_globs_pass_over_runs_too(tmp_path: Path) -> None:
    plant(tmp_path, "a/b.jpg", "a/out/preview/b.jpg", "out/preview/b.jpg", "preview/b.jpg")
    for run in ("a/out", "out"):
        plant(tmp_path, f"{run}/manifest.json", f"{run}/journal-1-of-1.jsonl")
    assert found(tmp_path / "**" / "*.jpg") == ["a/b.jpg", "preview/b.jpg"]
    assert found(tmp_path / "*") == ["a/b.jpg", "preview/b.jpg"]


def test_a_run_is_no_source(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "run/preview/a.jpg", "run/frames/a.jpg", "preview/a.jpg")
    plant(tmp_path, "run/manifest.json", "run/journal-1-of-1.jsonl")
    run = tmp_path / "run"
    (tmp_path / "link").symlink_to(run)
    lists = {}
    for name in ("run", "run/preview", "run/preview/a.jpg"):
        lists[name] = tmp_path / f"{name.replace('/', '-')}.txt"
        lists[name].write_text(f"a.jpg\n{name}\n")
    for source in (
        run,
        tmp_path / "link",
        run / "*",
        f"{run}/{{preview,frames}}/../",
        f"@{lists['run']}",
    ):
        with pytest.raises(InputError, match="run folder: it holds labels") as raised:
            found(source)
        assert "vitpose render SOURCE -a RUN" in raised.value.hint
    drawn = run / "preview"
    listed = (f"@{lists['run/preview']}", f"@{lists['run/preview/a.jpg']}")
    for source in (drawn, drawn / "a.jpg", drawn / "*.jpg", tmp_path / "link" / "preview", *listed):
        with pytest.raises(InputError, match="drawn copies in the run folder"):
            found(source)
    assert found(run / "frames", tmp_path / "preview") == ["preview/a.jpg", "run/frames/a.jpg"]


def test_a_pattern_may_be_longer_than_any_name(tmp_path: Path) -> None:
    names = [f"photo {number:03d}.jpg" for number in range(60)]
    plant(tmp_path, *names)
    assert found(f"{tmp_path}/{{{','.join(names)}}}") == names


def test_the_list_of_a_million_photos_takes_little_room(tmp_path: Path) -> None:
    names = [f"folder/photo {number:08d}.jpg" for number in range(1000)]
    plant(tmp_path, *names)
    open_source([str(tmp_path)])  # what is made but once
    tracemalloc.start()
    source = open_source([str(tmp_path)])
    num_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert list(source.media) == names
    texts = len(str(tmp_path / names[0])) + len(names[0])
    assert num_bytes / len(names) < texts + 350
    assert source.path(names[7]) == tmp_path / names[7]
