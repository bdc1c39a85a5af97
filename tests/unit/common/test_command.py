import time

import pytest

from hack.common.command import CommandFailed, run, succeeds


def test_a_program_that_succeeds_gives_its_output() -> None:
    assert run(["echo", "hello"]) == "hello\n"


def test_a_failed_program_is_told_with_its_command_its_code_and_its_words() -> None:
    with pytest.raises(CommandFailed, match=r"`sh -c 'echo the reason >&2; exit 3'` ended with 3:\nthe reason"):
        run(["sh", "-c", "echo the reason >&2; exit 3"])


def test_a_missing_program_is_named() -> None:
    with pytest.raises(CommandFailed, match="cannot start `no-such-program -v`"):
        run(["no-such-program", "-v"])


def test_a_question_is_answered_by_the_exit_code() -> None:
    assert succeeds(["true"])
    assert not succeeds(["false"])
    assert not succeeds(["no-such-program"])


def test_a_question_without_an_answer_in_time_is_a_no() -> None:
    started_at = time.monotonic()

    assert not succeeds(["sleep", "60"], timeout_seconds=0.1)
    assert time.monotonic() - started_at < 10
