"""The launcher of the tests' processes, which all tests of a process share."""

import signal
from types import FrameType

import pytest
from launcher import Launcher


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm")
def test_the_answer_to_a_question_that_was_interrupted_is_nobodys(launcher: Launcher) -> None:
    """As by the time limit of a test, or Ctrl-C: the next test has an exit code of its own."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    fork = launcher.start("--version")
    before = signal.signal(signal.SIGALRM, interrupt)
    launcher.send_signal(signal.SIGSTOP)  # so that it cannot answer
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            launcher.start("--version")
    finally:
        launcher.send_signal(signal.SIGCONT)
        signal.signal(signal.SIGALRM, before)
    assert fork.wait() == 0
    assert launcher.run("--no-such-option").returncode == 2


def test_an_end_that_was_told_to_nobody_is_told_again(launcher: Launcher) -> None:
    """As where a test is interrupted while it waits for what ends just then."""
    fork = launcher.start("--no-such-option")
    assert fork.wait() == 2
    assert launcher.ask(poll=fork.pid) == 2
    assert launcher.run("--version").returncode == 0
