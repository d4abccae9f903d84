"""The example that puts the network into CVAT, held to what cvat-sdk asks of a function."""

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from runs import save_weights

from vitpose_cli.pose.keypoints import keypoint_set

PIL_Image = pytest.importorskip("PIL.Image")
cvataa = pytest.importorskip("cvat_sdk.auto_annotation", reason="needs cvat-sdk")
models = pytest.importorskip("cvat_sdk.models", reason="needs cvat-sdk")

EXAMPLE = Path(__file__).parents[2] / "examples" / "cvat_function.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """Load the file as `cvat-cli --function-file` does."""
    spec = importlib.util.spec_from_file_location("cvat_function", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_function_as_cvat_wants_it(example: ModuleType, tmp_path: Path) -> None:
    weights = save_weights(tmp_path / "tiny.safetensors")
    function = example.create(
        weights=str(weights), detector="whole-image", device="cpu", keypoint_threshold=0.01
    )
    (label,) = function.spec.labels
    assert (label.name, label.type) == ("person", "skeleton")
    assert [(each.id, each.name, each.type) for each in label.sublabels] == [
        (place, name, "points") for place, name in enumerate(keypoint_set("coco").names)
    ]
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    image = PIL_Image.fromarray(pixels)
    context = SimpleNamespace(frame_name="a/b.jpg", conf_threshold=None, conv_mask_to_poly=False)
    shapes = function.detect(context, image)
    assert len(shapes) == 1
    for shape in shapes:
        assert isinstance(shape, models.LabeledShapeRequest)
        assert (shape.label_id, shape.frame, shape.type.value) == (label.id, 0, "skeleton")
        assert not hasattr(shape, "id")
        assert not hasattr(shape, "source")
        assert [each.label_id for each in shape.elements] == list(range(17))
        for element in shape.elements:
            assert (element.frame, element.type.value, len(element.points)) == (0, "points", 2)
            assert isinstance(element.outside, bool)
    context.conf_threshold = 100.0  # the weights are random, and loud
    assert function.detect(context, image) == []
