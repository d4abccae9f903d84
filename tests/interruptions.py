"""Ctrl-C at moments at which Python makes something else of it."""

from __future__ import annotations


class Part:
    """Something in the body of a class, as libraries have, at which Ctrl-C comes."""

    def __set_name__(self, owner: type, name: str) -> None:
        raise KeyboardInterrupt


def load_interrupted() -> list[object]:
    """Load a library meanwhile: a RuntimeError up to Python 3.11."""
    return [type("Library", (), {"part": Part()})]
