"""Ordered, bounded read-ahead in threads."""

import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from runs import wait_until

from vitpose_cli.media.frames import FrameKey, PixelBudget, prefetch


def test_a_key_reads_as_the_path_of_the_frame() -> None:
    assert str(FrameKey("a/b.jpg")) == "a/b.jpg"
    assert str(FrameKey("clip.mp4", 123)) == "clip.mp4/frame_000123.jpg"


@pytest.mark.parametrize(("num_threads", "ahead"), [(1, 1), (1, 8), (4, 1), (4, 0), (4, 8)])
def test_results_come_in_the_order_of_the_items(num_threads: int, ahead: int) -> None:
    def slow_when_even(item: int) -> int:
        time.sleep(0.004 if item % 2 == 0 else 0)
        return item * item

    results = prefetch(slow_when_even, range(30), num_threads=num_threads, ahead=ahead)
    assert list(results) == [item * item for item in range(30)]


def test_no_item_yields_nothing() -> None:
    assert list(prefetch(str, [], num_threads=2, ahead=2)) == []


def test_no_more_than_ahead_is_drawn_before_it_is_needed() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    results = prefetch(str, items(), num_threads=2, ahead=5)
    assert drawn == []  # nothing starts before the first result is asked for
    for consumed in range(1, 20):
        next(results)
        assert len(drawn) == consumed + 5
    results.close()
    assert len(drawn) == 24


def test_an_exception_comes_at_its_items_place() -> None:
    def fail_at_seven(item: int) -> int:
        if item == 7:
            raise ValueError("seven")
        return item

    results = prefetch(fail_at_seven, range(20), num_threads=4, ahead=10)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(ValueError, match="seven"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("how", ["close", "drop", "consumer raises", "function raises", "end"])
def test_no_thread_stays_behind(how: str) -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        if how == "function raises":
            raise ValueError(item)
        time.sleep(0.002)
        return item

    def consume() -> None:
        results = prefetch(work, range(8 if how == "end" else 1000), num_threads=3, ahead=6)
        next(results)
        if how == "close":
            results.close()
        elif how == "consumer raises":
            raise ValueError("consumer")
        elif how == "end":
            list(results)

    if how in ("consumer raises", "function raises"):
        with pytest.raises(ValueError, match="0" if how == "function raises" else "consumer"):
            consume()
    else:
        consume()
    gc.collect()
    wait_until(lambda: not any(each.name.startswith("prefetch") for each in threading.enumerate()))
    assert len(started) <= 8


def test_it_can_be_dropped_while_a_thread_begins() -> None:
    """The garbage collector can run in a thread that holds the lock by which threads are joined.

    Python 3.13 has no such lock any more.
    """
    lock = getattr(threading, "_shutdown_locks_lock", threading.Lock())
    results = prefetch(str, range(9), num_threads=2, ahead=2)
    next(results)
    circle: list[object] = [results]
    circle.append(circle)
    del results, circle

    def begin() -> None:
        with lock:
            gc.collect()

    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_an_interrupt_ends_the_process_at_once() -> None:
    program = (
        "import _thread, threading, time\n"
        "from vitpose_cli.media.frames import prefetch\n"
        "threading.Timer(0.2, _thread.interrupt_main).start()\n"
        "for _ in prefetch(lambda _: time.sleep(0.05), range(10**6), num_threads=2, ahead=8):\n"
        "    pass\n"
    )
    done = subprocess.run(  # which would take hours
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert "KeyboardInterrupt" in done.stderr


@pytest.mark.parametrize("num_threads", [1, 3, 8])
def test_a_budget_bounds_what_waits_and_never_blocks(num_threads: int) -> None:
    budget, lock = PixelBudget(100), threading.Lock()
    sizes = [60, 30, 500, 10, 0, 90, 20, 40] * 5  # one is larger than the budget
    waiting, most = 0, []

    def decode(place: int) -> int:
        nonlocal waiting
        time.sleep(0.001 * (place % 3))
        budget.take(place, sizes[place])
        with lock:
            waiting += sizes[place]
            most.append(waiting)
        return place

    for place in prefetch(decode, range(len(sizes)), num_threads=num_threads, ahead=12):
        with lock:
            waiting -= sizes[place]
        budget.give_back(place)
    assert len(most) == len(sizes)
    assert max(most) <= 500
    assert sorted(set(most))[-1] == 500
    assert sum(each > 100 for each in most) == sizes.count(500)


def test_who_waits_for_room_is_let_go_when_nobody_takes_any_more() -> None:
    budget = PixelBudget(10)
    budget.take(0, 10)
    waiting = threading.Thread(target=budget.take, args=(1, 10))
    waiting.start()
    budget.close()
    waiting.join(60)
    assert not waiting.is_alive()


def test_a_picture_that_raises_lets_those_behind_it_go() -> None:
    budget = PixelBudget(10)

    def decode(place: int) -> int:
        if place == 1:
            raise ValueError("no picture")
        budget.take(place, 10)
        return place

    decoded = prefetch(decode, range(9), num_threads=4, ahead=8, release=budget.close)
    budget.give_back(next(decoded))
    with pytest.raises(ValueError, match="no picture"):
        next(decoded)


def test_an_interrupt_ends_the_process_while_large_photos_wait_for_room(tmp_path: Path) -> None:
    photo = np.zeros((6000, 8000), np.uint8)  # 48 million pixels: few are held at once
    assert cv2.imwrite(str(tmp_path / "0.png"), photo)
    for number in range(1, 40):
        (tmp_path / f"{number}.png").symlink_to(tmp_path / "0.png")
    program = (
        "import sys\n"
        "from vitpose_cli.media.source import open_source\n"
        "for number, _ in enumerate(open_source([sys.argv[1]]).frames()):\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert "KeyboardInterrupt" in said
