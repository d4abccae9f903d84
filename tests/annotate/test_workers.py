"""Several workers on one run folder: real processes, killed and taken up by others."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from annotate_jobs import NUM_FRAMES, NUM_PHOTOS, Job, make_job
from launcher import Launcher
from runs import save_boxes, save_photos, save_weights, vitpose, wait_for_lines, wait_until

from vitpose_cli.annotate.workers import Outside, share
from vitpose_cli.media.source import open_source
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.shards import document_files


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, launcher: Launcher) -> Job:
    made = make_job(tmp_path_factory.mktemp("job"), launcher)
    assert len(json.loads((made.run / "annotations.json").read_bytes())["images"]) == NUM_FRAMES
    return made


@pytest.mark.parametrize("count", [1, 2, 3, 7, 30])
def test_every_frame_is_one_workers_in_whole_chunks(job: Job, count: int) -> None:
    source = open_source([str(job.media)])
    shares = [share(source, (number, count)) for number in range(1, count + 1)]
    assert sorted(media for mine in shares for media in mine) == sorted(source.media)
    photos = source.keys()
    for start in range(0, NUM_PHOTOS, 32):
        chunk = {key.media for key in photos[start : start + 32]}
        assert sum(not chunk.isdisjoint(mine) for mine in shares) == 1


def test_a_worker_reads_its_own_share_alone(job: Job) -> None:
    source = open_source([str(job.media)])
    mine = share(source, (2, 3))
    read = [frame.key for frame in source.frames(Outside(mine, ()))]
    assert {key.media for key in read} == mine
    assert source.expected_of(mine) == len(read)


def test_three_processes_one_of_them_killed_and_two_that_take_it_up(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    workers = [
        launcher.start(*job.arguments(run), "--worker", f"{number}/3") for number in (1, 2, 3)
    ]
    wait_for_lines(run / "journal-2-of-3.jsonl", workers[1], 3)
    workers[1].kill()
    assert [worker.wait() for worker in workers] == [0, -signal.SIGKILL, 0]
    assert not (run / "annotations.json").exists()
    others = [
        launcher.start(*job.arguments(run), "--worker", f"{number}/2", "--json")
        for number in (1, 2)
    ]
    assert [worker.wait() for worker in others] == [0, 0]
    ends = [json.loads(worker.stdout) for worker in others]
    assert any(end["annotations"] for end in ends)
    assert sum(end["num_new"] for end in ends) < NUM_FRAMES * 2 / 3
    job.assert_equal(run)


def test_workers_one_after_the_other_and_the_last_writes_the_document(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for number in (1, 2):
        array = {
            "SLURM_ARRAY_TASK_ID": str(number + 4),
            "SLURM_ARRAY_TASK_MIN": "5",
            "SLURM_ARRAY_TASK_COUNT": "2",
        }
        done = launcher.run(*job.arguments(run), environment=array)
        assert done.returncode == 0, done.stderr
        assert f"Worker {number} of 2" in done.stderr
        assert (run / "annotations.json").exists() == (number == 2)
    job.assert_equal(run)


def test_a_part_without_frames_is_called_so(job: Job, launcher: Launcher, tmp_path: Path) -> None:
    done = launcher.run(*job.arguments(tmp_path / "run"), "--worker", "30/30")
    assert done.returncode == 0, done.stderr
    assert "There are no frames in this part; the last worker" in done.stderr
    assert "no frames of" not in done.stderr


def test_another_process_that_is_no_fellow_worker_is_refused(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = launcher.start(*job.arguments(run), "--worker", "1/2")
    wait_for_lines(run / "journal-1-of-2.jsonl", first, 1)
    first.send_signal(signal.SIGSTOP)
    try:
        for arguments in ([], ["--worker", "1/2"], ["--worker", "1/3"]):
            refused = launcher.run(*job.arguments(run), *arguments)
            assert refused.returncode == 3, refused.stderr
            assert "is being written by process" in refused.stderr
    finally:
        first.send_signal(signal.SIGCONT)
    assert first.wait() == 0
    assert launcher.run(*job.arguments(run)).returncode == 0
    job.assert_equal(run)


def test_a_process_for_each_device_and_workers_write_the_shards_of_the_document(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    whole = read_coco(job.run)
    array, devices = tmp_path / "array", tmp_path / "devices"
    for number in (1, 2):
        worker = ("--worker", f"{number}/2", "--shards", "3")
        assert launcher.run(*job.arguments(array), *worker).returncode == 0
    cpus = ("--devices", "cpu,cpu", "--shards", "3", "--json")
    done = vitpose(*job.arguments(devices), *cpus)
    assert done.returncode == 0, done.stderr
    end = json.loads(done.stdout)
    assert end["num_new"] == NUM_FRAMES
    assert {path.name for path in devices.glob("*.jsonl")} == {
        "failures.jsonl", "journal-1-of-2.jsonl", "journal-2-of-2.jsonl",
    }  # fmt: skip
    glob = Path(end["annotations"])
    assert glob == devices / "annotations-*-of-00003.json"
    assert read_coco(glob).annotations == whole.annotations
    for path in document_files(glob):
        assert (array / path.name).read_bytes() == path.read_bytes()
    assert not (array / "annotations.json").exists()


def a_job_that_grows(folder: Path) -> tuple[Job, Path]:
    """Return a job of 20 photos of 40, for which there are boxes, and where the others lie."""
    names = save_photos(folder / "media", 40)
    boxes = save_boxes(folder / "boxes.json", names)
    weights = save_weights(folder / "weights.safetensors")
    for name in names[20:]:
        (folder / "later" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "media" / name).rename(folder / "later" / name)
    return Job(folder / "media", boxes, weights, folder / "run"), folder / "later"


def test_photos_that_came_to_the_part_of_a_worker_that_was_done(
    launcher: Launcher, tmp_path: Path
) -> None:
    job, later = a_job_that_grows(tmp_path)
    for number in (1, 2):
        arguments = (*job.arguments(job.run), "--worker", f"{number}/2")
        assert launcher.run(*arguments).returncode == 0
    shutil.copytree(later, job.media, dirs_exist_ok=True)
    first = (*job.arguments(job.run), "--worker", "1/2", "--json")
    for num_new in (12, 0):
        done = launcher.run(*first)
        assert done.returncode == 0, done.stderr
        end = json.loads(done.stdout)
        assert (end["num_new"], end["num_missing"], end["missing_of"]) == (num_new, 8, ["2/2"])
        assert "8 photos or videos came to parts whose workers were done" in done.stderr
        assert "(--worker 2/2), or --worker 1/1" in done.stderr
        assert "same command" not in done.stderr
    alone = shutil.copytree(job.run, tmp_path / "alone")
    for run, worker in ((job.run, "2/2"), (alone, "1/1")):
        done = launcher.run(*job.arguments(run), "--worker", worker, "--json")
        end = json.loads(done.stdout)
        assert (end["num_new"], end["num_missing"], end["missing_of"]) == (8, 0, [])
        assert end["num_frames"] == len(read_coco(run).images) == 40
        assert "came to parts" not in done.stderr
        assert "came while" not in done.stderr
    end = json.loads(launcher.run(*first).stdout)
    assert (end["num_new"], end["num_missing"], end["missing_of"]) == (0, 0, [])


def test_a_video_that_came_to_the_part_of_a_worker_that_was_done(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    media = shutil.copytree(job.media, tmp_path / "media")
    grown = replace(job, media=media)
    later = (media / "two.avi").rename(tmp_path / "two.avi")
    # Blocks: four of photos, "one.avi", and then "two.avi", which is the third worker's.
    run = tmp_path / "run"
    for number in (1, 2, 3):
        arguments = (*grown.arguments(run), "--worker", f"{number}/3")
        assert launcher.run(*arguments).returncode == 0
    later.rename(media / "two.avi")
    done = launcher.run(*grown.arguments(run), "--worker", "1/3", "--json")
    end = json.loads(done.stdout)
    assert (done.returncode, end["num_missing"], end["missing_of"]) == (0, 1, ["3/3"])
    done = launcher.run(*grown.arguments(run), "--worker", "3/3", "--json")
    assert json.loads(done.stdout)["num_missing"] == 0
    job.assert_equal(run)


def test_devices_label_what_came_and_miss_nothing(launcher: Launcher, tmp_path: Path) -> None:
    """Their processes are workers like others, whose parts they go on with."""
    job, later = a_job_that_grows(tmp_path)
    run = tmp_path / "devices"
    for number in (1, 2):
        assert launcher.run(*job.arguments(run), "--worker", f"{number}/2").returncode == 0
    shutil.copytree(later, job.media, dirs_exist_ok=True)
    done = vitpose(*job.arguments(run), "--devices", "cpu,cpu", "--json")
    assert done.returncode == 0, done.stderr
    end = json.loads(done.stdout)
    assert (end["num_frames"], end["num_new"], end["num_missing"]) == (40, 20, 0)
    assert "came to parts" not in done.stderr
    assert "came while" not in done.stderr
    assert launcher.run(*job.arguments(job.run)).returncode == 0
    job.assert_equal(run)


def journal_pid(journal: Path) -> int:
    pid: int = json.loads(journal.with_suffix(".lock").read_bytes())["pid"]
    return pid


def test_a_device_worker_that_dies_is_told_and_its_part_is_done_by_the_next_call(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    journal = run / "journal-1-of-2.jsonl"
    parent = launcher.start(*job.arguments(run), "--devices", "cpu,cpu")
    wait_for_lines(journal, parent, 3)
    os.kill(journal_pid(journal), signal.SIGKILL)
    parent.wait()
    assert parent.returncode == 5, parent.stderr
    assert "1 of 2 workers died: cpu (SIGKILL)" in parent.stderr
    assert "--max-pixels take less" in parent.stderr
    assert "goes on" in parent.stderr
    assert launcher.run(*job.arguments(run)).returncode == 0
    job.assert_equal(run)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_a_device_worker_that_dies_is_told_while_others_work(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    parent = launcher.start(*job.arguments(tmp_path / "run"), "--devices", "cpu,cpu")
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")

    def workers() -> list[int]:
        running = [int(pid) for pid in children.read_text().split()]
        return [
            pid for pid in running if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    wait_until(lambda: len(workers()) == 2, parent)
    dying, other = workers()
    os.kill(other, signal.SIGSTOP)
    os.kill(dying, signal.SIGKILL)
    told = "The worker on cpu died (SIGKILL). The others go on.\n"
    wait_until(lambda: told in parent.stderr, parent)
    parent.kill()
    os.kill(other, signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_device_workers_end_with_their_parent(
    job: Job, launcher: Launcher, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    journal = run / "journal-1-of-2.jsonl"
    parent = launcher.start(*job.arguments(run), "--devices", "cpu,cpu")
    wait_for_lines(journal, parent, 3)
    child = journal_pid(journal)
    parent.send_signal(number)
    assert parent.wait() == (-9 if number == signal.SIGKILL else 130), parent.stderr
    assert "Traceback" not in parent.stderr
    wait_until(lambda: not is_alive(child))
    assert launcher.run(*job.arguments(run)).returncode == 0
    job.assert_equal(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_while_workers_are_started_is_heard(
    job: Job, launcher: Launcher, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    fault = "a_signal_comes_while_workers_are_started"
    parent = launcher.run(
        *job.arguments(run), "--devices", "cpu,cpu", fault=fault,
        environment={"NUMBER": str(int(number))},
    )  # fmt: skip
    assert parent.returncode == 130, parent.stderr
    assert "Traceback" not in parent.stderr
    assert not (run / "annotations.json").exists()
    assert launcher.run(*job.arguments(run)).returncode == 0
    job.assert_equal(run)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--devices", "cpu,cuda:77"], 2),
        (["--devices", "cpu,cpu", "--weights", "typo.safetensors"], 4),
        (["--devices", "cpu,cpu", "--detect-every", "3"], 2),  # beside --boxes
        (["--devices", "cpu,cpu", "--extract-frames", "MEDIA"], 3),
    ],
)
def test_what_cannot_begin_deletes_nothing(
    job: Job, launcher: Launcher, tmp_path: Path, arguments: list[str], code: int
) -> None:
    run = shutil.copytree(job.run, tmp_path / "run")
    given = [str(job.media) if one == "MEDIA" else one for one in arguments]
    done = launcher.run(*job.arguments(run), "--overwrite", *given)
    assert done.returncode == code, done.stderr
    before, after = ({path.name for path in one.iterdir()} for one in (job.run, run))
    assert after == before
    job.assert_equal(run)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--worker", "0/2"], "0/2"),
        (["--worker", "3/2"], "3/2"),
        (["--worker", "half"], "half"),
        (["--worker", "1/2", "--overwrite"], "--overwrite"),
        (["--devices", "0,,1"], "0,,1"),
        (["--devices", "cpu", "--device", "cpu"], "exclude"),
        (["--devices", "cpu,cuda:77"], "cuda:77"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    job: Job, launcher: Launcher, tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = launcher.run(*job.arguments(tmp_path / "run"), *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert not (tmp_path / "run").exists()
