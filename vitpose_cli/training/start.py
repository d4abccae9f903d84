"""What training starts from: weights of many kinds, or numbers drawn well; and the next stage.

Encoders come through `models.backbones`, which knows everybody's layout. A head is taken over only
if it is of the same kind, and for keypoints with the same names, which may be joined and measured
in another way; otherwise it starts anew and the encoder stays. What is mirrored is as the files
state, or else as in the weights.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.backbones import load_backbone
from vitpose_cli.models.checkpoint import POSITION_TABLE, CheckpointHeader, HeadHeader
from vitpose_cli.models.experts import pick_experts, spread_experts
from vitpose_cli.models.masked import MaskedAutoencoder, PixelDecoderConfig
from vitpose_cli.models.patches import resize_position_table
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.models.vitpose import VARIANTS, ViTPose
from vitpose_cli.pose.alike_sets import nearest_sets, same_sets
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.training.agreed_sets import said_of, statement_notes, with_statements_of
from vitpose_cli.training.config import AttentionOptions, ModelOptions, TrainConfig
from vitpose_cli.training.initial_weights import InitialWeights, input_wh_of, opened_initial_weights
from vitpose_cli.training.initialise import draw_mimetic
from vitpose_cli.training.knowledge import fitted_token, teacher_with_token, with_token
from vitpose_cli.training.network import Network, same_network, with_head_names
from vitpose_cli.training.taken_heads import TakenHeads


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


def first_network(
    config: TrainConfig,
    keypoint_sets: Mapping[str, KeypointSet],
    learnt_sets: Collection[str] | None = None,
) -> Network:
    """Build the network that a run begins with; see `build_network`.

    Args:
        config: The run.
        keypoint_sets: A head is made for each, by name.
        learnt_sets: The names of those that are learnt; all by default.

    Raises:
        ConfigError: The options contradict each other or the weights, or a head would be measured
            that nobody has trained.
        WeightsError: The weights cannot be found, read or matched.
    """
    input_wh, asked, options = config.stages[0].input_wh, config.pretrain, config.model
    learnt = set(keypoint_sets if learnt_sets is None else learnt_sets)
    if config.task == "token":
        return _fitted(_with_token(options, keypoint_sets, input_wh), learnt)
    pixels = None
    if config.task == "pretrain":
        pixels = PixelDecoderConfig(
            asked.masked, asked.decoder_dim, asked.decoder_depth, asked.normalise
        )
    network = build_network(options, {} if pixels else keypoint_sets, input_wh, pixels)
    depth = network.model.config.variant.depth
    if config.freeze.blocks > depth:
        raise ConfigError(
            f"freeze.blocks is {config.freeze.blocks}; "
            f"{network.header.variant} has {depth} blocks.",
            f"Give {depth} at most; freeze.encoder holds all of it still.",
        )
    if pixels is not None:
        return network
    _check_measured(config, network, learnt)
    network = _fitted(network, learnt)
    if config.distill is None or config.distill.token is None:
        return network
    return with_token(network, fitted_token(config.distill.token, network.model))


def _with_token(
    options: ModelOptions, keypoint_sets: Mapping[str, KeypointSet], input_wh: tuple[int, int]
) -> Network:
    """Return a whole network with a random knowledge token, its heads called as the data's sets."""
    network = teacher_with_token(options.weights or "", input_wh)
    _check_variant(options, network.header.variant)
    known = same_sets(keypoint_sets, network.header.keypoint_sets)
    unknown = sorted(keypoint_sets.keys() - known.keys())
    if unknown:
        raise ConfigError(
            f"{options.weights} has no head for the keypoints of {', '.join(unknown)}.",
            "A token is learnt on labels of keypoints that the teacher knows.",
        )
    said = said_of(keypoint_sets, network.header.keypoint_sets)
    notes = tuple(statement_notes(keypoint_sets, said, options.weights or ""))
    network = with_head_names(network, known, with_statements_of(keypoint_sets, said))
    network = replace(network, notes=network.notes + notes)
    network.model.set_grad_checkpointing(options.activation_checkpointing)
    return network


def _fitted(network: Network, learnt_sets: Collection[str]) -> Network:
    """Say of heads that are learnt which regions training shows, and of whom that is new."""
    heads = network.header.heads
    squares = [name for name in heads if heads[name].region == "square" and name in learnt_sets]
    fitted = {name: replace(heads[name], region="fitted") for name in squares}
    notes = tuple(
        f"The head {name} was shown square regions, and is shown those of the input now."
        for name in squares
    )
    header = replace(network.header, heads={**heads, **fitted})
    return replace(network, header=header, notes=network.notes + notes)


def _check_measured(config: TrainConfig, network: Network, learnt_sets: Collection[str]) -> None:
    """Refuse to measure a head that nobody trains: its rubbish would say which weights are best."""
    drawn = network.drawn_heads
    if len({stage.loss.kind for stage in config.stages}) > 1:
        why = "after a stage with another kind of loss all heads start anew"
        drawn = {**dict.fromkeys(network.header.heads, why), **drawn}
    untrained = [f"{name} ({drawn[name]})" for name in sorted(drawn.keys() - set(learnt_sets))]
    if untrained:
        raise ConfigError(
            "data.validation has keypoints of heads that start anew and learn from no source of "
            f"data.train with a `repeat` above 0: {', '.join(untrained)}.",
            "Leave these sources out, give data.train people with these keypoints, or start from "
            "weights whose head can be taken over.",
        )


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
    with opened_initial_weights(options.weights) as initial:
        return _loaded(options, keypoint_sets, input_wh, initial, pixels)


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
    state[POSITION_TABLE] = resize_position_table(
        state[POSITION_TABLE], old.config.grid_wh, model.config.grid_wh
    )
    model.load_state_dict(state, strict=not fresh_heads)
    return Network(model, header)


def _loaded(
    options: ModelOptions,
    keypoint_sets: Mapping[str, KeypointSet],
    input_wh: tuple[int, int],
    initial: InitialWeights,
    pixels: PixelDecoderConfig | None,
) -> Network:
    """Build a network and put the weights of `initial` into it."""
    variant = initial.variant
    _check_variant(options, variant)
    named = options.model_copy(update={"variant": variant})
    weights, header = options.weights or "", initial.header
    said = said_of(keypoint_sets, header.keypoint_sets) if header is not None else {}
    agreed = with_statements_of(keypoint_sets, said)
    network = _blank(named, agreed, input_wh, header, pixels)
    model, taken = network.model, TakenHeads.of(network.header, header, weights)
    first = next(iter(taken.nearest.values()), None)
    encoder = load_backbone(initial.path, grid_wh=model.config.grid_wh, head=first)
    if network.header.num_experts:
        encoder = _with_experts(encoder, network.header, initial, taken.nearest)
    state = model.state_dict() | encoder
    stored = read_state(initial.path) if taken.rows else {}
    try:
        model.load_state_dict(state | taken.tensors(state, stored))
    except (RuntimeError, IndexError) as error:
        raise WeightsError(f"{weights} does not fit a {variant} network: {error}") from error
    notes = _notes(network.header, initial, taken)
    stated = statement_notes(keypoint_sets, said, weights)
    return replace(network, drawn_heads=taken.drawn, notes=(*notes, *stated))


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
    initial: InitialWeights,
    nearest: Mapping[str, str],
) -> dict[str, Tensor]:
    """Give the folded `encoder` of `initial` one expert for each head.

    It begins with that of the `nearest` head of `initial`; where there is none, with a copy of the
    folded one, as those of ViTPose+ begin with a copy of the pretrained rows.
    """
    expert_dim = VARIANTS[header.variant].expert_dim
    spread = spread_experts(encoder, num_experts=header.num_experts, expert_dim=expert_dim)
    if initial.header is None or not initial.header.num_experts:
        return spread
    theirs = initial.header.heads
    first = next(iter(nearest.values()), next(iter(theirs)))
    chosen = [theirs[nearest.get(name, first)].expert for name in header.heads]
    return spread | pick_experts(read_state(initial.path), chosen)


def _notes(header: CheckpointHeader, initial: InitialWeights, taken: TakenHeads) -> Iterator[str]:
    """Yield what a user should know of what is taken from weights, and what is not."""
    weights = taken.weights
    if initial.header is not None and initial.header.heads:
        yield from taken.notes(header, initial.header)
    if initial.header is None and header.variant == "small" and not weights.startswith("timm:"):
        yield (
            f"{weights} does not say how many attention heads it has: ViTPose's small has 12, as "
            "MAE's for ViTPose; weights of timm or ImageNet with 6 fit as well, and start badly."
        )


def _blank(
    options: ModelOptions,
    keypoint_sets: Mapping[str, KeypointSet],
    input_wh: tuple[int, int],
    initial: CheckpointHeader | None,
    pixels: PixelDecoderConfig | None,
) -> Network:
    """Build a network whose weights are drawn; what options leave open is as in `initial`."""
    variant = VARIANTS.get(options.variant or "")
    if variant is None:
        raise ConfigError(
            f"model.variant is {options.variant!r}; sizes are {', '.join(VARIANTS)}.",
            "Name one, or give model.weights.",
        )
    nearest = nearest_sets(keypoint_sets, initial.keypoint_sets) if initial else {}
    old = {name: initial.heads[theirs] for name, theirs in nearest.items()} if initial else {}
    finer = None if pixels is not None else initial  # pre-training needs neither of the two
    stride = options.stride or (finer.stride if finer is not None else 16)
    same_maps = initial is not None and initial.stride == stride
    heads = _head_headers(options, keypoint_sets, old, same_maps=same_maps)
    shift = initial is not None and initial.patch_shift and stride == 16
    header = CheckpointHeader(
        variant=variant.name,
        heads=heads,
        input_wh=input_wh,
        source=f"vitpose train, from {options.weights or 'scratch'}",
        licence=options.licence,
        patch_shift=shift if options.patch_shift is None else options.patch_shift,
        stride=stride,
        knowledge_token=initial is not None and initial.knowledge_token,
        layer_norm_eps=initial.layer_norm_eps if initial is not None else 1e-6,
        attention=_attention(options.attention, finer),
        num_experts=len(heads) if options.experts else 0,
    )
    drop_path = variant.drop_path if options.drop_path is None else options.drop_path
    config = replace(header.config(), drop_path=drop_path)
    model = ViTPose(config) if pixels is None else MaskedAutoencoder(config, pixels)
    model.set_grad_checkpointing(options.activation_checkpointing)
    return Network(model.train(), header, dict.fromkeys(heads, "there are no model.weights"))


def _head_headers(
    options: ModelOptions,
    keypoint_sets: Mapping[str, KeypointSet],
    old: Mapping[str, HeadHeader],
    *,
    same_maps: bool,
) -> dict[str, HeadHeader]:
    """Say what each head is; what the `old` one is that it is taken from stays.

    One of another kind, or without the `same_maps`, is not taken over: its kind alone counts.
    """
    heads = {}
    for number, (name, keypoints) in enumerate(keypoint_sets.items()):
        before = old.get(name)
        kind = options.head or (before.kind if before is not None else "classic")
        expert = number if options.experts else 0
        if before is not None and before.kind == kind and same_maps:
            heads[name] = replace(before, keypoint_set=keypoints, expert=expert)
        else:
            heads[name] = HeadHeader(kind, keypoints, "udp", expert)
    return heads


def _attention(options: AttentionOptions, initial: CheckpointHeader | None) -> AttentionConfig:
    """Return the attention that is asked for, or that of `initial`, or full attention."""
    if options.pattern is not None:
        return AttentionConfig(options.pattern, options.window_wh)
    return initial.attention if initial is not None else AttentionConfig()
