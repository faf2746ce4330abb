"""How many threads torch may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch has one thread for a while.

    Where tensors are small more threads mostly wait for each other: on two idle cores they gain a tenth, and
    beside other work they take twice as long.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
