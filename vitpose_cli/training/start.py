"""What training starts from: weights of many kinds, or numbers drawn well; and the next stage.

Encoders come through `models.backbones`, which knows everybody's layout. A head is taken over only
if it is of the same kind and the same keypoint set; otherwise it starts anew and the encoder stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.backbones import load_backbone
from vitpose_cli.models.checkpoint import CheckpointHeader, HeadHeader
from vitpose_cli.models.experts import pick_experts, spread_experts
from vitpose_cli.models.masked import MaskedAutoencoder, PixelDecoderConfig
from vitpose_cli.models.patches import resize_position_table
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.models.vitpose import VARIANTS, ViTPose
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.training.config import ModelOptions, TrainConfig
from vitpose_cli.training.initialise import draw_mimetic
from vitpose_cli.training.knowledge import fitted_token, teacher_with_token, with_token
from vitpose_cli.training.network import Network, same_network
from vitpose_cli.training.origin import Origin, input_wh_of, opened_origin

_POSITION_TABLE = "encoder.pos_embed"


def with_input_sizes(config: TrainConfig) -> TrainConfig:
    """Return `config` with the input size of every stage that names none.

    It is that of the weights to start from, or the default where they do not say.

    Raises:
        WeightsError: The weights cannot be found or read.
    """
    weights = config.model.weights
    named = ["input_wh" in stage.model_fields_set for stage in config.stages]
    if weights is None or all(named):
        return config
    size = input_wh_of(weights) or config.stages[named.index(False)].input_wh
    stages = tuple(
        stage if says else stage.model_copy(update={"input_wh": size})
        for stage, says in zip(config.stages, named, strict=True)
    )
    return config.model_copy(update={"stages": stages})


def first_network(config: TrainConfig, keypoint_sets: Mapping[str, KeypointSet]) -> Network:
    """Build the network that a run begins with; see `build_network`."""
    input_wh, asked, options = config.stages[0].input_wh, config.pretrain, config.model
    if config.task == "token":
        network = teacher_with_token(options.weights or "", input_wh)
        _check_variant(options, network.header.variant)
        unknown = keypoint_sets.keys() - network.header.heads.keys()
        if unknown:
            raise ConfigError(
                f"{options.weights} has no head for {', '.join(sorted(unknown))}.",
                "A token is learnt on labels of keypoints that the teacher knows.",
            )
        network.model.set_grad_checkpointing(options.activation_checkpointing)
        return network
    if config.task == "pose":
        network = build_network(options, keypoint_sets, input_wh)
        if config.distill is None or config.distill.token is None:
            return network
        return with_token(network, fitted_token(config.distill.token, network.model))
    pixels = PixelDecoderConfig(
        asked.masked, asked.decoder_dim, asked.decoder_depth, asked.normalise
    )
    return build_network(options, {}, input_wh, pixels)


def build_network(
    options: ModelOptions,
    keypoint_sets: Mapping[str, KeypointSet],
    input_wh: tuple[int, int],
    pixels: PixelDecoderConfig | None = None,
) -> Network:
    """Build the network of the first stage, on the CPU.

    Args:
        options: What it is and what it starts from.
        keypoint_sets: A head is made for each, by name.
        input_wh: Width and height of its input, px.
        pixels: The decoder to pre-train it with; None for poses.

    Raises:
        ConfigError: The options contradict each other or the weights.
        WeightsError: The weights cannot be found, read or matched.
    """
    if options.weights is None:
        network = _blank(options, keypoint_sets, input_wh, None, pixels)
        if options.initialisation == "mimetic":
            draw_mimetic(network.model)
        return network
    with opened_origin(options.weights) as origin:
        return _loaded(options, keypoint_sets, input_wh, origin, pixels)


def next_network(network: Network, input_wh: tuple[int, int], *, fresh_heads: bool) -> Network:
    """Return the network of the next stage: the same weights for another input size.

    Args:
        network: That of the last stage, on any device.
        input_wh: Width and height of the new input, px; the position table is interpolated.
        fresh_heads: Let the heads start anew, as after a loss whose maps mean something else.
    """
    old = network.model
    header = replace(network.header, input_wh=input_wh)
    model = same_network(old, replace(header.config(), drop_path=old.config.drop_path)).train()
    model.set_grad_checkpointing(old.encoder.grad_checkpointing)
    state = {
        key: value.cpu()
        for key, value in old.state_dict().items()
        if not (fresh_heads and key.startswith("heads."))
    }
    state[_POSITION_TABLE] = resize_position_table(
        state[_POSITION_TABLE], old.config.grid_wh, model.config.grid_wh
    )
    model.load_state_dict(state, strict=not fresh_heads)
    return Network(model, header)


def _loaded(
    options: ModelOptions,
    keypoint_sets: Mapping[str, KeypointSet],
    input_wh: tuple[int, int],
    origin: Origin,
    pixels: PixelDecoderConfig | None,
) -> Network:
    """Build a network and put the weights of `origin` into it."""
    variant = origin.variant
    _check_variant(options, variant)
    named = options.model_copy(update={"variant": variant})
    network = _blank(named, keypoint_sets, input_wh, origin.header, pixels)
    model = network.model
    known = _same_sets(network.header, origin.header)
    encoder = load_backbone(origin.path, grid_wh=model.config.grid_wh, head=next(iter(known), None))
    if network.header.num_experts:
        encoder = _with_experts(encoder, network.header, origin, known)
    state = model.state_dict() | encoder
    if origin.header is not None:
        kept = _same_heads(network.header, origin.header)
        stored = read_state(origin.path)
        state |= {key: value for key, value in stored.items() if key.split(".")[1] in kept}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"{options.weights} does not fit a {variant} network: {error}"
        ) from error
    return network


def _check_variant(options: ModelOptions, variant: str) -> None:
    """Refuse weights of another size than the options name."""
    if options.variant not in (None, variant):
        raise ConfigError(
            f"model.variant is {options.variant}, but {options.weights} is {variant}.",
            "Leave model.variant out.",
        )


def _with_experts(
    encoder: dict[str, Tensor],
    header: CheckpointHeader,
    origin: Origin,
    known: Mapping[str, HeadHeader],
) -> dict[str, Tensor]:
    """Give the folded `encoder` of `origin` one expert for each head.

    A keypoint set that `origin` has `known` keeps its expert; the others begin with a copy of the
    folded one, as those of ViTPose+ begin with a copy of the pretrained rows.
    """
    expert_dim = VARIANTS[header.variant].expert_dim
    spread = spread_experts(encoder, num_experts=header.num_experts, expert_dim=expert_dim)
    if origin.header is None or not origin.header.num_experts:
        return spread
    first = next(iter(known.values()), next(iter(origin.header.heads.values())))
    chosen = [known.get(name, first).expert for name in header.heads]
    return spread | pick_experts(read_state(origin.path), chosen)


def _same_sets(ours: CheckpointHeader, theirs: CheckpointHeader | None) -> dict[str, HeadHeader]:
    """Return those of `their` heads whose keypoint set is one of ours, in our order."""
    old = {} if theirs is None else theirs.heads
    return {
        name: old[name]
        for name, head in ours.heads.items()
        if name in old and old[name].keypoint_set == head.keypoint_set
    }


def _same_heads(ours: CheckpointHeader, theirs: CheckpointHeader) -> set[str]:
    """Return the heads that are taken over."""
    if ours.stride != theirs.stride:
        return set()
    return {
        name
        for name, head in _same_sets(ours, theirs).items()
        if replace(head, expert=0) == replace(ours.heads[name], expert=0)
    }


def _blank(
    options: ModelOptions,
    keypoint_sets: Mapping[str, KeypointSet],
    input_wh: tuple[int, int],
    origin: CheckpointHeader | None,
    pixels: PixelDecoderConfig | None,
) -> Network:
    """Build a network whose weights are drawn; what options leave open is as in `origin`."""
    variant = VARIANTS.get(options.variant or "")
    if variant is None:
        raise ConfigError(
            f"model.variant is {options.variant!r}; sizes are {', '.join(VARIANTS)}.",
            "Name one, or give model.weights.",
        )
    old = origin.heads if origin is not None else {}
    heads = {}
    for number, (name, keypoints) in enumerate(keypoint_sets.items()):
        before = old.get(name)
        same = before is not None and before.keypoint_set == keypoints
        default = before.kind if before is not None and same else "classic"
        heads[name] = HeadHeader(
            kind=options.head or default,
            keypoint_set=keypoints,
            alignment=before.alignment if before is not None and same else "udp",
            expert=number if options.experts else 0,
        )
    shift = origin.patch_shift if origin is not None else False
    header = CheckpointHeader(
        variant=variant.name,
        heads=heads,
        input_wh=input_wh,
        source=f"vitpose train, from {options.weights or 'scratch'}",
        licence=options.licence,
        patch_shift=shift if options.patch_shift is None else options.patch_shift,
        stride=options.stride,
        knowledge_token=origin is not None and origin.knowledge_token,
        layer_norm_eps=origin.layer_norm_eps if origin is not None else 1e-6,
        attention=AttentionConfig(options.attention.pattern, options.attention.window_wh),
        num_experts=len(heads) if options.experts else 0,
    )
    drop_path = variant.drop_path if options.drop_path is None else options.drop_path
    config = replace(header.config(), drop_path=drop_path)
    model = ViTPose(config) if pixels is None else MaskedAutoencoder(config, pixels)
    model.set_grad_checkpointing(options.activation_checkpointing)
    return Network(model.train(), header)
