"""`vitpose weights` in real processes; downloads come from a server that acts as the hub."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import Hub, serving
from runs import command, environment, save_photos, save_weights
from safetensors.torch import save
from torch import Tensor
from weights_terminal import Terminal

from vitpose_cli.models.checkpoint import load_model, read_header
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPose, ViTPoseConfig
from vitpose_cli.models.weights_files import weights_hash

EASY = "JunkyByte/easy_ViTPose/torch/mpii/vitpose-b-mpii.pth"
HUB = "usyd-community/vitpose-base-simple"


@pytest.fixture(name="hub")
def a_hub() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture(name="terminal")
def with_server(hub: Hub, tmp_path: Path) -> Terminal:
    return Terminal(tmp_path, hub.address)


def network(num_keypoints: int) -> ViTPose:
    torch.manual_seed(num_keypoints)
    heads = {"any": HeadConfig("simple", num_keypoints)}
    return ViTPose(ViTPoseConfig(VARIANTS["tiny-test"], heads, (48, 64), patch_shift=True)).eval()


def original(model: ViTPose) -> dict[str, Tensor]:
    """The tensors of `model` as the original ViTPose names them."""
    state = {}
    for key, value in model.state_dict().items():
        key = key.replace("encoder.norm", "backbone.last_norm").replace("encoder.", "backbone.")
        state[key.replace("heads.any.final", "keypoint_head.final_layer")] = value
    table = state["backbone.pos_embed"]
    state["backbone.pos_embed"] = torch.cat([torch.zeros_like(table[:, :1]), table], 1)
    return state


def hugging_face(model: ViTPose) -> dict[str, Tensor]:
    """The tensors of `model` as transformers names them."""
    names = {
        "backbone.pos_embed": "backbone.embeddings.position_embeddings",
        "backbone.patch_embed.proj": "backbone.embeddings.patch_embeddings.projection",
        "backbone.last_norm": "backbone.layernorm",
        "backbone.blocks": "backbone.encoder.layer",
        "attn.proj": "attention.output.dense",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "keypoint_head.final_layer": "head.conv",
    }
    state = {}
    for key, value in original(model).items():
        for theirs, ours in names.items():
            key = key.replace(theirs, ours)
        if "attn.qkv" in key:
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                state[key.replace("attn.qkv", f"attention.attention.{part}")] = rows.contiguous()
        else:
            state[key] = value
    return state


def pickled(state: Any, folder: Path) -> bytes:
    path = folder / "served.pth"
    torch.save(state, path)
    return path.read_bytes()


def assert_same_network(path: Path, model: ViTPose) -> None:
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(load_model(path)(images), model(images), rtol=0, atol=1e-5)


def test_pull_resumes_a_broken_download_and_then_needs_no_network(
    hub: Hub, terminal: Terminal, tmp_path: Path
) -> None:
    model = network(16)
    optimizer = {"momentum": torch.zeros(3_000_000)}  # 12 MB: the library writes 10 MB at a time
    hub.files[EASY] = pickled({"optimizer": optimizer, "state_dict": original(model)}, tmp_path)
    hub.drop_after = 11_000_000
    done = terminal.run("pull", "vitpose-plus-b:mpii")
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.is_relative_to(tmp_path / "huggingface" / "vitpose")
    assert_same_network(path, model)
    header = read_header(path)
    assert header.heads["mpii"].alignment == "udp"
    assert "JunkyByte/easy_ViTPose" in header.source
    downloads = [request for request in hub.requests if EASY.split("/")[-1] in request[1]]
    ranges = [wanted for method, _, wanted in downloads if method == "GET"]
    assert ranges == [None, f"bytes={10 * 2**20}-"], "it goes on where it broke off"
    revisions = {request[1].split("/resolve/")[1].split("/")[0] for request in downloads}
    assert revisions == {"2757e82adcccda02f9f7fef66e5a115b7be439fe"}

    hub.requests.clear()
    again = terminal.run("pull", "vitpose-plus-b", "--keypoint-set", "mpii", "--json")
    assert json.loads(again.stdout) == {"name": "vitpose-plus-b", "path": str(path)}
    assert not [request for request in hub.requests if "/resolve/" in request[1]]
    without = Terminal(tmp_path).run("pull", "vitpose-plus-b:mpii", offline=True)
    assert (without.returncode, without.stdout) == (0, done.stdout)


def test_pull_a_transformers_folder(hub: Hub, terminal: Terminal, tmp_path: Path) -> None:
    model = network(17)
    backbone = {"num_attention_heads": 4, "hidden_size": 64, "image_size": [64, 48]}
    hub.files[f"{HUB}/config.json"] = json.dumps({"backbone_config": backbone}).encode()
    hub.files[f"{HUB}/model.safetensors"] = save(hugging_face(model))
    unknown = json.loads(terminal.run("show", "vitpose-b-simple", "--json").stdout)
    assert (unknown["here"], unknown["hash"]) == (False, None)
    done = terminal.run("pull", "vitpose-b-simple", "--json")
    assert done.returncode == 0, done.stderr
    path = Path(json.loads(done.stdout)["path"])
    assert_same_network(path, model)
    assert read_header(path).layer_norm_eps == 1e-12
    shown = json.loads(terminal.run("show", "vitpose-b-simple", "--json").stdout)
    assert shown["here"] is True
    assert shown["hash"] == weights_hash(path)
    assert shown["accuracy"] == 75.5


def test_a_download_with_other_bytes_is_thrown_away(
    hub: Hub, terminal: Terminal, tmp_path: Path
) -> None:
    served = pickled({"state_dict": original(network(17))}, tmp_path)
    hub.files["camenduru/SMPLer-X/vitpose_small.pth"] = served
    done = terminal.run("pull", "vitpose-s")
    assert done.returncode == 4
    assert "SHA-256 is wrong" in done.stderr
    left = [path for path in tmp_path.rglob("*") if path.stat().st_size == len(served)]
    assert left == [tmp_path / "served.pth"]


def cached_blob(tmp_path: Path, content: bytes) -> Path:
    """Return where Hugging Face's cache has put a file of this content."""
    (blob,) = (path for path in tmp_path.rglob("blobs/*") if path.read_bytes() == content)
    return blob


def test_a_damaged_file_in_the_cache_is_downloaded_again(
    hub: Hub, terminal: Terminal, tmp_path: Path
) -> None:
    model = network(17)
    backbone = {"num_attention_heads": 4, "hidden_size": 64, "image_size": [64, 48]}
    served = save(hugging_face(model))
    hub.files[f"{HUB}/config.json"] = json.dumps({"backbone_config": backbone}).encode()
    hub.files[f"{HUB}/model.safetensors"] = served
    first = terminal.run("pull", "vitpose-b-simple")
    assert first.returncode == 0, first.stderr
    shutil.rmtree(tmp_path / "huggingface" / "vitpose")
    blob = cached_blob(tmp_path, served)
    assert blob.name == hashlib.sha256(served).hexdigest()
    blob.write_bytes(served[:-1] + bytes([served[-1] ^ 1]))  # one bit of a tensor
    damaged = terminal.run("pull", "vitpose-b-simple")
    assert damaged.returncode == 4
    assert "SHA-256 is wrong" in damaged.stderr
    assert "thrown away; pull it again" in damaged.stderr
    again = terminal.run("pull", "vitpose-b-simple")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert_same_network(Path(again.stdout.strip()), model)


def test_half_a_file_of_unknown_hash_is_downloaded_again(
    hub: Hub, terminal: Terminal, tmp_path: Path
) -> None:
    model = network(16)
    served = pickled({"state_dict": original(model)}, tmp_path)
    hub.files[EASY] = served
    first = terminal.run("pull", "vitpose-plus-b:mpii")
    assert first.returncode == 0, first.stderr
    shutil.rmtree(tmp_path / "huggingface" / "vitpose")
    (link,) = tmp_path.rglob(f"snapshots/*/{EASY.split('/', 2)[2]}")
    link.resolve().unlink()
    link.unlink()
    link.write_bytes(served[:5000])  # as where the cache has no links
    half = terminal.run("pull", "vitpose-plus-b:mpii")
    assert half.returncode == 4
    assert "The download of vitpose-plus-b:mpii cannot be used" in half.stderr
    assert "thrown away; pull it again" in half.stderr
    again = terminal.run("pull", "vitpose-plus-b:mpii")
    assert again.returncode == 0, again.stderr
    assert_same_network(Path(again.stdout.strip()), model)


def test_a_file_that_the_server_does_not_have(terminal: Terminal) -> None:
    done = terminal.run("pull", "vitpose-plus-l:wholebody")
    assert done.returncode == 4
    assert "has no torch/wholebody/vitpose-l-wholebody.pth" in done.stderr
    assert "HF_ENDPOINT" in done.stderr


def test_without_a_network(tmp_path: Path) -> None:
    taken_s = []
    for said in ("HF_HUB_OFFLINE forbids", "Cannot reach http://127.0.0.1:9"):
        start = time.monotonic()
        done = Terminal(tmp_path).run("pull", "vitpose-h", offline="OFFLINE" in said)
        taken_s.append(time.monotonic() - start)
        assert done.returncode == 4
        assert said in done.stderr
        assert "/camenduru/SMPLer-X/resolve/43a4151a" in done.stderr, "how to fetch it by hand"
        assert "Traceback" not in done.stderr
    assert taken_s[1] - taken_s[0] < 15  # half of what the library alone waits for a dead server


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("all_proxy", "socks://127.0.0.1:9/"),
        ("HTTP_PROXY", "foo://bar:1"),
        ("HF_TOKEN", "\u00fcn\u00ef"),
    ],
)
def test_a_proxy_or_token_that_cannot_be_used(variable: str, value: str, tmp_path: Path) -> None:
    """It is a way to the server that is barred, not a bug."""
    done = Terminal(tmp_path).run("pull", "vitpose-h", variables={variable: value})
    assert done.returncode == 4, done.stderr
    assert "Cannot reach http://127.0.0.1:9" in done.stderr
    assert "ALL_PROXY" in done.stderr


@pytest.mark.parametrize("endpoint", ["http://[bad", "http://host:port", "http://host:99999"])
def test_an_address_of_the_hub_that_is_none(endpoint: str, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, endpoint)
    for arguments in (("pull", "vitpose-h"), ("pull", "dfine-n"), ("show", "vitpose-h")):
        done = terminal.run(*arguments)
        assert done.returncode == 4, done.stderr
        assert f"HF_ENDPOINT is '{endpoint}', which is no address" in done.stderr
        assert "unset it" in done.stderr
        assert "mporting" not in done.stderr
    photo, weights = (
        save_photos(tmp_path / "photos", 1)[0],
        save_weights(tmp_path / "w.safetensors"),
    )
    done = subprocess.run(  # new huggingface_hub asks for it when it is loaded, which timm does
        command("annotate", tmp_path / "photos" / photo, "-o", tmp_path / "run", "-w", weights),
        env=environment() | {"HF_ENDPOINT": endpoint},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:  # versions that do not ask for it label the photo
        assert done.returncode == 4, done.stderr
        assert f"HF_ENDPOINT is '{endpoint}', which is no address" in done.stderr


def test_without_a_network_all_files_of_a_folder_are_named(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    done = terminal.run("pull", "vitpose-b", offline=True)
    assert "fetch config.json and model.safetensors from" in done.stderr
    assert "/usyd-community/vitpose-base/tree/95be2991424e" in done.stderr
    assert "put them in one folder, and give the folder to --weights." in done.stderr
    done = terminal.run("pull", "dfine-n", offline=True)
    assert "fetch config.json, preprocessor_config.json and model.safetensors from" in done.stderr
    assert "put them in one folder, and give the folder to --detector." in done.stderr
    done = terminal.run("pull", "vitpose-b-easy:coco25", offline=True)
    assert "give the file to --weights, with --keypoint-set coco25." in done.stderr


def test_pull_a_detector(hub: Hub, terminal: Terminal) -> None:
    for file in ("config.json", "preprocessor_config.json", "model.safetensors"):
        hub.files[f"ustc-community/dfine-nano-coco/{file}"] = file.encode()
    done = terminal.run("pull", "dfine-n")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert (folder / "config.json").read_text() == "config.json"
    assert (folder / "model.safetensors").is_file()


def test_a_file_and_a_training_run_are_shown(tmp_path: Path) -> None:
    terminal, run = Terminal(tmp_path), tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").touch()
    best = save_weights(run / "best.safetensors", "ap10k")
    for given in (run, best):
        shown = terminal.run("show", given)
        assert shown.returncode == 0, shown.stderr
        rows = [" ".join(row.split()) for row in shown.stdout.splitlines()]
        assert {"variant tiny-test", "input 96 x 128 px"} <= {*rows}
        assert "head main simple, 17 keypoints, udp" in rows
    facts = json.loads(terminal.run("show", run, "--json").stdout)
    assert facts["path"] == str(best)
    assert facts["hash"] == weights_hash(best)
    assert facts["heads"][0]["keypoints"][0] == "left_eye"
    torch.save({"state_dict": {}}, tmp_path / "theirs.pth")
    refused = terminal.run("show", tmp_path / "theirs.pth")
    assert (refused.returncode, "`vitpose weights convert " in refused.stderr) == (4, True)


def test_list_and_show(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    everything = terminal.run("list")
    assert everything.returncode == 0
    for name in ("tiny", "vitpose-b-simple-original", "wholebody 57.4", "rfdetr-l"):
        assert name in everything.stdout
    found = json.loads(terminal.run("list", "wholebody", "--json").stdout)
    assert {row["keypoint_set"] for row in found["pose"]} == {"wholebody"}
    assert found["detectors"] == []
    shown = terminal.run("show", "dfine-s")
    assert "ustc-community/dfine-small-coco" in shown.stdout
    assert "main (not pinned)" in shown.stdout
    published = terminal.run("show", "vitpose-s").stdout
    assert "not pinned" not in published
    assert "metric" in published
    assert "metric" not in terminal.run("show", "tiny").stdout, "none was published"
    assert terminal.run("list", "nonsense").returncode == 2


def test_a_name_that_is_nearly_right(tmp_path: Path) -> None:
    done = Terminal(tmp_path).run("pull", "vitpose-plusb")
    assert done.returncode == 4
    assert "Did you mean 'vitpose-plus-b'?" in done.stderr


def test_convert(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    model = network(17)
    (tmp_path / "theirs.pth").write_bytes(pickled(original(model), tmp_path))
    arguments = ("convert", "theirs.pth", "-o", "ours.safetensors", "--half")
    done = terminal.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert "taken for coco" in done.stderr
    facts = json.loads(done.stdout)
    assert facts["hash"] == weights_hash(tmp_path / "ours.safetensors")
    assert facts["layout"] == "original ViTPose"
    assert (facts["variant"], facts["head"]) == ("tiny-test", "simple")
    assert (facts["keypoint_set"], facts["alignment"]) == ("coco", "udp")
    assert facts["input_wh"] == [48, 64]
    refused = terminal.run(*arguments)
    assert refused.returncode == 3
    assert "--overwrite" in refused.stderr
    replaced = terminal.run(*arguments, "--overwrite")
    assert replaced.returncode == 0, replaced.stderr
    assert terminal.run("convert", "theirs.pth", "-o", "ours.pth").returncode == 2
    deeper = terminal.run("convert", "theirs.pth", "-o", "new/folder/ours.safetensors")
    assert deeper.returncode == 0, deeper.stderr


class Attack:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> Any:
        return os.system, ("touch harm",)


def test_convert_refuses_a_malicious_pickle(tmp_path: Path) -> None:
    state = {"state_dict": original(network(17)), "meta": Attack()}
    (tmp_path / "theirs.pth").write_bytes(pickled(state, tmp_path))
    done = Terminal(tmp_path).run("convert", "theirs.pth", "-o", "ours.safetensors")
    assert done.returncode == 4
    assert "refused" in done.stderr
    assert "system" in done.stderr
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "ours.safetensors").exists()
