import subprocess
import sys
from pathlib import Path

import pytest

from hack.common.lock import file_lock

HOLD = """
import sys
from pathlib import Path
from hack.common.lock import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
CHECKOUT = Path(__file__).resolve().parents[3]


def hold(lock: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLD, str(lock)]
    return subprocess.Popen(argv, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with file_lock(lock):
        second = hold(lock)
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(timeout=1)

    assert wait_for_line(second) == "held\n"
    second.communicate("", timeout=30)


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    first = hold(lock)
    assert wait_for_line(first) == "held\n"

    first.kill()
    first.communicate(timeout=30)

    with file_lock(lock):
        pass
