"""Recursion without the Python stack: nested ELM of any depth is parsed and compiled by suspended generators.

A step is a generator that yields the generator of each child it needs,
receives the child's result, and returns its own.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Step: TypeAlias = Generator["Step[Any]", Any, T]


def run(root: Step[T]) -> T:
    """Run a step and all it asks for with a stack on the heap; exceptions leave at once."""
    stack: list[Step[Any]] = [root]
    value: Any = None
    while True:
        try:
            child = stack[-1].send(value)
        except StopIteration as stop:
            stack.pop()
            value = stop.value
            if not stack:
                return value  # type: ignore[no-any-return]  # the last result is the root's
        else:
            stack.append(child)
            value = None
