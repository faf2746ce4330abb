"""Running the stages of a stream side by side, in order, with bounded queues between them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_POLL = 0.2
"""Seconds after which a stage that waits looks whether the run was given up."""


class Buffered(Generic[T]):
    """Runs an iterator in a thread of its own, at most ``ahead`` values before its reader.

    An exception of the source is raised where the value would have been. Closing it (or leaving the loop)
    stops the thread after the value that it works on.
    """

    def __init__(self, source: Iterable[T], ahead: int) -> None:
        self._queue: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(ahead)
        self._stopped = threading.Event()
        # A daemon, so that an interrupt does not wait for a model that is in the middle of an hour of speech.
        self._thread = threading.Thread(target=self._run, args=(source,), daemon=True)

    def __iter__(self) -> Iterator[T]:
        self._thread.start()
        try:
            while True:
                is_value, value = self._queue.get()
                if not is_value:
                    if isinstance(value, BaseException):
                        raise value
                    return
                yield value  # type: ignore[misc]
        finally:
            self._stopped.set()

    def _run(self, source: Iterable[T]) -> None:
        iterator = iter(source)
        try:
            for value in iterator:
                if not self._put((True, value)):
                    return
            self._put((False, None))
        except BaseException as error:
            self._put((False, error))
        finally:
            if close := getattr(iterator, "close", None):
                close()

    def _put(self, entry: tuple[bool, T | BaseException | None]) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False


def ordered_map(
    work: Callable[[T], R], source: Iterable[T], workers: int, ahead: int
) -> Iterator[tuple[T, R]]:
    """(value, result) in the order of ``source``, computed by threads at most ``ahead`` values ahead."""
    pool = ThreadPoolExecutor(workers)
    waiting: deque[tuple[T, Future[R]]] = deque()
    try:
        for value in source:
            waiting.append((value, pool.submit(work, value)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
