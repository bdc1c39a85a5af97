"""What runs as the first process of a container ends at once when it is told to."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.sites import eventually

A_LONG_COMMAND = """
import time
import click
from multiserver import __main__ as program

def callback():
    print("runs", flush=True)
    time.sleep(60)

program.Rooms.get_command = lambda *_: click.Command("long", callback=callback)
program.main(["long"])
"""


def test_a_command_that_is_told_to_end_as_first_process_ends_at_once() -> None:
    argv = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", A_LONG_COMMAND]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as outer:
        assert outer.stdout is not None
        assert outer.stdout.readline() == "runs\n"
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        first = eventually(lambda: children.read_text().split(), "the first process is there")[0]
        os.kill(int(first), signal.SIGTERM)
        try:
            assert outer.wait(10) == 128 + signal.SIGTERM
        finally:
            outer.kill()
