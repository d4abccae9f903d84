"""What `--help` shows: plain text that is readable in 80 columns, options by what they are for.

Typer's own tables give each option's text a fifth of such a terminal. `docs/generate.py` takes
from here how an option is spelled, so that the page and the terminal say the same.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from typer.core import TyperCommand, TyperGroup

NETWORKS, VIDEOS, HARDWARE = "Networks and boxes", "Videos", "Hardware and speed"
MACHINES, DRAWING = "Several GPUs or machines", "Drawing"
"""The sections of options; what is in none stands under "Options"."""

_KINDS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}
_OTHER_WORDS = {
    **dict.fromkeys(("label", "predict", "infer", "detect", "estimate"), ("annotate",)),
    **dict.fromkeys(("draw", "visualize", "visualise", "overlay"), ("render",)),
    **dict.fromkeys(("correct", "edit"), ("review",)),
    **dict.fromkeys(("join", "combine"), ("merge",)),
    **dict.fromkeys(("finetune", "fine-tune", "fit"), ("train",)),
    **dict.fromkeys(("download", "get", "fetch"), ("pull", "weights pull")),
    "compare": ("diff",),
    "check": ("validate",),
    "count": ("stats",),
    "info": ("show", "stats"),
    "ls": ("list", "weights list"),
    "models": ("weights",),
}
"""What other programs call commands, and what they are called here, in one group or the other."""
_SPELLED_WIDTH = 30  # characters; a longer option has a line of its own above its text


class Command(TyperCommand):
    """A command whose options are shown in sections (`rich_help_panel` of Typer's options)."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what must be given: options, and behind them what has a place, as `SOURCE...`."""
        hints = get_type_hints(self.callback) if self.callback else {}
        options: list[Any] = self.get_params(ctx)
        return [
            "[OPTIONS]",
            *(
                spelled(each, hints.get(each.name))[0]
                for each in options
                if each.required and not is_argument(each)
            ),
            *(
                f"{each.metavar}{'...' if each.nargs == -1 else ''}"
                for each in options
                if is_argument(each)
            ),
        ]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the paragraphs of the text, examples line by line."""
        for paragraph in inspect.cleandoc(self.help or "").split("\n\n"):
            formatter.write_paragraph()
            with formatter.indentation():
                if paragraph.startswith("Example"):
                    formatter.write(
                        textwrap.indent(f"{paragraph}\n", " " * formatter.current_indent)
                    )
                else:
                    formatter.write_text(paragraph)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options of each section."""
        hints = get_type_hints(self.callback) if self.callback else {}
        for title, options in sections(self.get_params(ctx)).items():
            rows = []
            for option in options:
                default = shown_default(option)
                facts = (limits(option), f"default: {default}" if default else "")
                known = "; ".join(filter(None, facts))
                text = f"{option.help or ''}{f' [{known}]' if known else ''}"
                rows.append((", ".join(spelled(option, hints.get(option.name))), text))
            with formatter.section(title):
                formatter.write_dl(rows, col_max=_SPELLED_WIDTH)


class Group(TyperGroup):
    """Several commands, shown in sections (`rich_help_panel`) in the order of their use."""

    format_help_text = Command.format_help_text

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first word names; say which it is for a word of others."""
        word = args[0] if args else ""
        for meant in () if word in self.commands else _OTHER_WORDS.get(word.casefold(), ()):
            if meant.partition(" ")[0] in self.commands:
                ctx.fail(f"No such command {word!r}. Did you mean {meant!r}?")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands before the few options of all of them."""
        self.format_commands(ctx, formatter)
        Command.format_options(self, ctx, formatter)  # type: ignore[arg-type]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its text."""
        parts: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            row = name, (command.help or "").partition("\n\n")[0].replace("\n", " ")
            title = getattr(command, "rich_help_panel", None) or "Commands"
            parts.setdefault(title, []).append(row)
        for title, rows in parts.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def sections(options: Sequence[Any]) -> dict[str, list[Any]]:
    """Return Typer's parameters by the section they stand in, in the order of declaration."""
    found: dict[str, list[Any]] = {}
    for option in options:
        if not option.hidden:
            title = "Arguments" if is_argument(option) else getattr(option, "rich_help_panel", None)
            found.setdefault(title or "Options", []).append(option)
    return found


def is_argument(option: Any) -> bool:
    """Return whether a parameter is given by its place and not by a name."""
    return bool(option.param_type_name == "argument")


def spelled(option: Any, hint: Any) -> list[str]:
    """Return the spellings of an option or argument, the first with what it takes.

    Args:
        option: Typer's parameter.
        hint: Its type in the command's signature.
    """
    if is_argument(option):
        return [option.metavar or option.name]
    if option.secondary_opts:
        return [*option.opts, *option.secondary_opts]
    names = [*option.opts]
    if option.name == "help":  # Typer has its names in a set
        names.sort(key=len)
    if takes := option.metavar or _kind(hint):
        names[0] += f" {takes}"
    return names


def limits(option: Any) -> str:
    """Return what a number must be, or that an option must be given; empty for neither."""
    kind = getattr(option, "type", option)  # older Typer keeps the limits there
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    within = "" if low is None else f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
    must = "required" if option.required and not is_argument(option) else ""
    return "; ".join(filter(None, (must, within)))


def shown_default(option: Any) -> str:
    """Return an option's default as it is typed; empty where there is none worth saying."""
    default = option.default
    if isinstance(default, bool) and option.secondary_opts:
        return str((option.opts if default else option.secondary_opts)[0])
    hidden = default is None or default is False or option.required or option.show_default is False
    return "" if hidden else str(default)


def _kind(hint: Any) -> str:
    """Return what an option takes: its choices, or a kind; empty for a flag."""
    for part in (hint, *get_args(hint)):
        if get_origin(part) is Literal:
            return "|".join(get_args(part))
        if part in _KINDS:
            return _KINDS[part]
    return ""
