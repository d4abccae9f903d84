"""Configuration files: strict models, YAML, `KEY=VALUE` overrides, every mistake told at once.

A configuration is a tree of frozen `StrictModel`s; what a file may say is what the classes say.
Nothing here knows what is configured. Plain pydantic errors were refused as the user's view: they
come as internal locations, and an unknown key gets no suggestion.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import to_jsonable_python

from vitpose_cli.errors import ConfigError, in_short
from vitpose_cli.faults import fault_text, given
from vitpose_cli.plurals import counted, did_you_mean

Model = TypeVar("Model", bound=BaseModel)

_FAULTS_OF_PYYAML = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What it raises, beside its own errors, for a value that is not what its tag says."""
_SIGNS_OF_YAML = ("*", "&", "@", "%", "!")
"""What a plain text may begin with on a command line, as a glob does, and not in YAML."""


def _no_bool(what: str) -> BeforeValidator:
    """Refuse `true` and `false` as numbers, which Python, and so pydantic, takes for 1 and 0."""

    def checked(value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"should be {what}")
        return value

    return BeforeValidator(checked)


Number = Annotated[float, _no_bool("a number")]
Whole = Annotated[int, _no_bool("a whole number")]
Probability = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
AtLeastOne = Annotated[Whole, Field(ge=1)]
Count = Annotated[AtLeastOne, Field(le=10**9)]


class StrictModel(BaseModel):
    """A part of a configuration: unknown keys are refused, numbers finite, values never change.

    The docstring under each field is its documentation.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


def load_config(model: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Read the YAML file at `path` as a `model`, after changing it by `KEY=VALUE` overrides.

    Args:
        model: The class of the configuration.
        path: A YAML file whose top level is a mapping.
        overrides: Texts like `optimizer.lr=1e-3` or `stages.0.steps=100`; values are YAML.

    Raises:
        ConfigError: The file cannot be read or is not YAML, or the configuration is wrong; then
            the message lists every problem.
    """
    return parse_config(model, read_yaml(path), overrides, name=str(path))


def parse_config(
    model: type[Model],
    values: Mapping[str, Any],
    overrides: Sequence[str] = (),
    name: str = "configuration",
) -> Model:
    """Check `values`, changed by `overrides`, as a `model`; `name` is for the messages.

    Raises:
        ConfigError: The configuration is wrong; the message lists every problem.
    """
    changed: Any = values
    for override in overrides:
        changed = _overridden(_with_default_list(model, changed, override), override)
    try:
        return model.model_validate(changed)
    except ValidationError as error:
        problems = [_problem(model, details) for details in _own(error.errors())]
        count = counted(len(problems), "problem")
        raise ConfigError("\n  ".join([f"{count} in {name}:", *problems])) from None


def dump_config(config: BaseModel, *, defaults: bool = True) -> str:
    """Return `config`, with every default written out or with none, as YAML for `load_config`."""
    values = config.model_dump(mode="json", exclude_defaults=not defaults)
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return text


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return the mapping that the YAML file at `path` holds; empty for an empty file.

    Unlike plain YAML 1.1, `1e-3` is a number, `2026-11-30` is text, and a key that occurs twice is
    refused.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or is not a mapping.
    """
    try:
        values = _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ConfigError(f"Cannot read the configuration {path}: {reason}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {_one_line(error)}.") from None
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} must hold a mapping (key: value), not {_kind(values)}.")
    return values


def config_reference(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Yield every key that a `model` may have: its dotted path, its default, what it means."""
    for name, field in model.model_fields.items():
        inner = [one for one in _alternatives(field.annotation) if _is_model(one)]
        many = any(typing.get_origin(one) is not None for one in _unions(field.annotation))
        default = "required" if field.is_required() else _default_text(field)
        yield name, "" if inner and not field.is_required() else default, field.description or ""
        told: set[str] = set()  # the branches of a union share keys
        for part in inner:
            for path, value, text in config_reference(part):
                if path not in told:
                    told.add(path)
                    yield f"{name}{'[]' if many else ''}.{path}", value, text


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, with floats like 1e-3, without doubled keys and without dates.

    A folder or file that is called 2026-11-30 is text.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} occurs twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
_Loader.yaml_constructors = _Loader.yaml_constructors | {
    "tag:yaml.org,2002:timestamp": _Loader.yaml_constructors["tag:yaml.org,2002:str"]
}


def _parsed(text: str) -> Any:
    """Return what a text means as YAML; whatever it does not mean is an error of YAML."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deep") from None
    except _FAULTS_OF_PYYAML as error:
        raise yaml.YAMLError(f"a value makes no sense: {in_short(error)}") from None


def _with_default_list(
    model: type[BaseModel], values: Mapping[str, Any], override: str
) -> Mapping[str, Any]:
    """Return `values` with a list written out that is left to its default and has an item changed.

    As `stages` where an override is `stages.0.steps=5` and the file has none.
    """
    name, *below = override.partition("=")[0].split(".")
    field = model.model_fields.get(name)
    if field is None or not below or not below[0].isdecimal() or values.get(name) is not None:
        return values
    default = field.get_default(call_default_factory=True)
    if not isinstance(default, tuple) or not all(_is_model(type(one)) for one in default):
        return values
    items = (one.model_dump(mode="json", exclude_unset=True) for one in default)
    return {**values, name: list(items)}


def _overridden(values: Any, override: str) -> Any:
    """Return a copy of `values` with one `KEY=VALUE` applied."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r} is not of the form KEY=VALUE.", "As in optimizer.lr=1e-3.")
    try:
        value = _parsed(text)
    except yaml.YAMLError as error:
        if not text.startswith(_SIGNS_OF_YAML):
            raise ConfigError(
                f"The value of {override!r} is not YAML: {_one_line(error)}."
            ) from None
        value = text
    return _replaced(values, key.split("."), value, override)


def _replaced(values: Any, path: list[str], value: Any, override: str) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(values, list):
        if not head.isdecimal() or int(head) >= len(values):
            raise ConfigError(
                f"{override!r}: {head!r} is no position in a list of {len(values)}.",
                "Positions count from 0.",
            )
        number = int(head)
        changed = _replaced(values[number], rest, value, override)
        return [*values[:number], changed, *values[number + 1 :]]
    if values is not None and not isinstance(values, Mapping):
        raise ConfigError(f"{override!r}: {_kind(values)} has no key {head!r}.")
    known = dict(values or {})
    return {**known, head: _replaced(known.get(head), rest, value, override)}


def _own(problems: Sequence[Any]) -> Iterator[Any]:
    """Leave out that a list is too short where that is because of problems in its items."""
    for details in problems:
        place = details["loc"]
        below = (one["loc"] for one in problems if len(one["loc"]) > len(place))
        caused = any(other[: len(place)] == place for other in below)
        if details["type"] != "too_short" or not caused:
            yield details


def _problem(model: type[BaseModel], details: Any) -> str:
    """Say one of pydantic's errors in the words of the file."""
    location: tuple[str | int, ...] = details["loc"]
    if details["type"] == "extra_forbidden":
        path, keys = _locate(model, location[:-1])
        wrong = str(location[-1])
        unknown = f"{'.'.join([*path, wrong])}: {fault_text(details)}"
        guess = did_you_mean(wrong, sorted(keys)).rstrip()
        return f"{unknown}. {guess}" if guess else unknown
    path, _ = _locate(model, location)
    if details["type"] in ("union_tag_not_found", "union_tag_invalid"):
        context = details["ctx"]
        key = context["discriminator"].strip("'")
        place = ".".join([*path, key])
        if "tag" not in context:
            return f"{place}: is missing"
        value = details["input"][key]
        return f"{place}: must be one of {context['expected_tags']}{given(value)}"
    return f"{'.'.join(path) or 'the whole'}: {fault_text(details)}"


def _locate(model: type[BaseModel], location: Sequence[str | int]) -> tuple[list[str], set[str]]:
    """Return `location` as a path of the file, and the keys that are allowed there.

    pydantic's locations also hold parts that only name the branch of a union: its tag, or its
    class. They are dropped, and with them the keys of the other branches; and so is the `[key]`
    behind a key that is wrong itself.
    """
    candidates: list[Any] = [model]
    path: list[str] = []
    for part in location:
        models = [one for one in candidates if _is_model(one)]
        below = [one.model_fields[part].annotation for one in models if part in one.model_fields]
        if below:
            candidates = [one for annotation in below for one in _alternatives(annotation)]
        elif branch := [one for one in models if _is_called(one, part)]:
            candidates = branch
        if part != "[key]" and (below or not models or isinstance(part, int)):
            path.append(str(part))
    return path, {key for one in candidates if _is_model(one) for key in one.model_fields}


def _is_called(branch: type[BaseModel], part: str | int) -> bool:
    """Return whether this part of a location means a branch of a union."""
    literals = (
        typing.get_args(field.annotation)
        for field in branch.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
    )
    return part == branch.__name__ or any((part,) == tags for tags in literals)


def _unions(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, without `Annotated`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _unions(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for one in typing.get_args(annotation):
            yield from _unions(one)
    else:
        yield annotation


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types that a value, or an item of it, may have."""
    for one in _unions(annotation):
        arguments = typing.get_args(one)
        if arguments and typing.get_origin(one) is not typing.Literal:
            for argument in arguments:
                yield from _alternatives(argument)
        else:
            yield one


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _default_text(field: Any) -> str:
    return json.dumps(to_jsonable_python(field.get_default(call_default_factory=True)))


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "a text" if isinstance(value, str) else f"the value {value!r}"


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())
