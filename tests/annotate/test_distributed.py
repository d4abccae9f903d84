"""Runs over a Ray cluster of several nodes on this machine, some of which die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from annotate_jobs import NUM_FRAMES, Job, make_job
from launcher import Launcher
from runs import command, environment, wait_for_lines, wait_until

from vitpose_cli.annotate.distributed import ClusterOptions, annotate_on_cluster
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.errors import ConfigError
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.weights_files import weights_hash
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.shards import document_files

pytest.importorskip("ray", reason="needs ray: pip install 'vitpose-cli[ray]'")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, launcher: Launcher) -> Job:
    return make_job(tmp_path_factory.mktemp("cluster"), launcher)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    os.environ.update(environment())
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    started.add_node(num_cpus=1)
    yield started
    started.shutdown()


def on_ray(job: Job, cluster: Any, run: Path) -> list[str]:
    return [*job.arguments(run), "--ray", cluster.address, "--workers", "2", "--json"]


def actors_of(nodes: Iterable[Any]) -> list[int]:
    """Return the processes of our actors on these nodes: children of their raylets."""
    raylets = {each.process.pid for node in nodes for each in node.all_processes.get("raylet", [])}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"ray::_Annotator" in name and parent in raylets:
            found.append(int(folder.name))
    return found


def test_actors_and_nodes_die_and_the_bytes_are_those_of_one_process(
    job: Job, cluster: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    extra = cluster.add_node(num_cpus=1)
    with subprocess.Popen(
        command(*on_ray(job, cluster, run)), env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        journal = run / "journal-1-of-1.jsonl"
        wait_for_lines(journal, process, 1)
        victims = actors_of(cluster.list_all_nodes())
        assert victims
        os.kill(victims[0], signal.SIGKILL)
        cluster.remove_node(extra)
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["num_new"] == NUM_FRAMES
    job.assert_equal(run)


def test_the_driver_dies_and_a_single_process_goes_on(
    job: Job, cluster: Any, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    driver = launcher.start(*on_ray(job, cluster, run))
    wait_for_lines(run / "journal-1-of-1.jsonl", driver, 20)
    driver.kill()
    done = launcher.run(*job.arguments(run))
    assert done.returncode == 0, done.stderr
    job.assert_equal(run)


def test_workers_wait_for_a_share_and_those_that_die_meanwhile_come_again(
    job: Job, cluster: Any, launcher: Launcher, tmp_path: Path
) -> None:
    """Of two that wait, one dies, and the other labels on once the photos are back."""
    run, media, away = tmp_path / "run", tmp_path / "media", tmp_path / "away"
    shutil.copytree(job.media, media)
    words = on_ray(job, cluster, run)
    words[words.index(str(job.media))] = str(media)
    driver = launcher.start(*words)
    wait_for_lines(run / "journal-1-of-1.jsonl", driver, 1)
    media.rename(away)
    wait_until(lambda: driver.stderr.count("waits until it is back") >= 2, driver)
    os.kill(actors_of(cluster.list_all_nodes())[0], signal.SIGKILL)
    away.rename(media)
    assert driver.wait(300) == 0, driver.stderr
    job.assert_equal(run)


def test_a_worker_that_waits_in_vain_ends_alone(
    job: Job, cluster: Any, launcher: Launcher, tmp_path: Path
) -> None:
    """One machine loses its disk for good; the others read on.

    They are held up until it has, or they would be done before it began.
    """
    run, failing = tmp_path / "run", tmp_path / "failing"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if any('default_worker' in each for each in sys.orig_argv):  # others would start late\n"
        "    import injections\n    injections.the_disk_fails_for_a_while()\n"
    )
    tests = Path(__file__).parent.parent
    paths = [str(tmp_path), str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")]
    spoilt = {"PYTHONPATH": os.pathsep.join(paths), "FAILING": str(failing), "PATIENCE_S": "0"}
    others = cluster.list_all_nodes()
    node = cluster.add_node(num_cpus=1, env_vars=spoilt)
    words = on_ray(job, cluster, run)
    words[words.index("--workers") + 1] = "3"
    failing.touch()
    held = set[int]()

    def is_told() -> bool:
        if len(held) < len(others):
            for pid in {*actors_of(others)} - held:
                os.kill(pid, signal.SIGSTOP)
                held.add(pid)
        return "in vain" in driver.stderr

    driver = launcher.start(*words)
    try:
        wait_until(is_told, driver, 240)
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)
    assert driver.wait(300) == 0, driver.stderr
    cluster.remove_node(node)
    job.assert_equal(run)


def test_the_driver_writes_shards(
    job: Job, cluster: Any, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(job.run, run)
    driver = launcher.start(*on_ray(job, cluster, run), "--shards", "2")
    assert driver.wait(300) == 0, driver.stderr
    assert len(document_files(run)) == 2
    assert read_coco(run).annotations == read_coco(job.run).annotations


def test_a_name_is_the_catalogs_as_without_ray(
    job: Job, cluster: Any, launcher: Launcher, tmp_path: Path
) -> None:
    """Whatever folder is called so, such as that of a training run of these weights."""
    (tmp_path / "tiny").mkdir()
    words = on_ray(job, cluster, tmp_path / "run")
    words[words.index(str(job.weights))] = "tiny"
    driver = launcher.start(*words, "--max-frames", "1", cwd=tmp_path)
    assert driver.wait(300) == 0, driver.stderr
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_bytes())
    assert manifest["weights_hash"] == weights_hash(resolve_weights("tiny"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ray", "auto", "--preview"], "no pictures are written"),
        (["--ray", "auto", "--worker", "1/2"], "exclude each other"),
        (["--ray", "auto", "--devices", "0,1"], "exclude each other"),
        (["--workers", "2"], "need --ray"),
    ],
)
def test_what_cannot_be_meant_is_said(
    job: Job, launcher: Launcher, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = launcher.run(*job.arguments(tmp_path / "run"), *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_without_ray_it_is_a_config_error(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options = AnnotateOptions((str(job.media),), tmp_path / "run", LabelerOptions())
    with pytest.raises(ConfigError, match="not installed") as caught:
        annotate_on_cluster(ClusterOptions("auto"), options, lambda *_: None, lambda _: None)
    assert "vitpose-cli[ray]" in caught.value.hint
    assert caught.value.exit_code == 2
