import pytest
import torch

from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPose, ViTPoseConfig
from vitpose_cli.training.average import MovingAverage
from vitpose_cli.training.config import EmaOptions


def test_an_average_follows_weights_and_statistics() -> None:
    shape = ViTPoseConfig(VARIANTS["tiny-test"], {"coco": HeadConfig("classic", 17)}, (48, 64))
    source = ViTPose(shape).train()
    average = MovingAverage(source, EmaOptions(decay=0.75, warmup=False))
    before = {key: value.clone() for key, value in average.model.state_dict().items()}
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1)
    source(torch.randn(2, 3, 64, 48))
    average.follow(0, torch.tensor(False))
    for key, value in average.model.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, before[key])
    average.follow(0, torch.tensor(True))
    after, target = average.model.state_dict(), source.state_dict()
    for key, value in after.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * before[key] + 0.25 * target[key])
    assert after["heads.coco.bn1.num_batches_tracked"] == 1
    assert not average.model.training
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


def test_warm_up_forgets_the_start() -> None:
    shape = ViTPoseConfig(VARIANTS["tiny-test"], {"coco": HeadConfig("simple", 17)}, (48, 64))
    average = MovingAverage(ViTPose(shape), EmaOptions(decay=0.9))
    assert average.decay(0) == 0
    assert average.decay(7) == pytest.approx(1 - 8 ** (-2 / 3))
    assert average.decay(1000) == 0.9
