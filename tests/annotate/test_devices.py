"""What the workers of several devices say to the process that started them."""

from __future__ import annotations

import logging
import multiprocessing
from threading import Thread

from vitpose_cli.annotate.devices import ToParent


def test_messages_of_several_threads_arrive_whole() -> None:
    mine, theirs = multiprocessing.Pipe(duplex=False)
    parent = ToParent(theirs)
    texts = [str(number) * 50_000 for number in range(4)]

    def say(text: str) -> None:
        for _ in range(10):
            parent.send(text)
            parent.emit(logging.makeLogRecord({"msg": text}))

    threads = [Thread(target=say, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    received = [mine.recv() for _ in range(80)]
    for thread in threads:
        thread.join()
    said = [message if isinstance(message, str) else message.text for message in received]
    assert sorted(said) == sorted(texts * 20)
