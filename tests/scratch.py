"""Where tests keep their servers' data: in memory where there is enough of it.

A server is some 1400 small files, of which a disk makes a second's work each time; the suites that start hundreds of
them take half as long in memory. What is measured lies elsewhere: benchmarks use the disk.
"""

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
FREE_BYTES_MIN = 8 * 1024**3
"""What all suites need at once, several times over; a machine with less keeps the memory for its programs."""


def scratch_folder(memory: Path = MEMORY, free_bytes_min: int = FREE_BYTES_MIN) -> Path:
    """Return the folder for temporary folders: TMPDIR if it is set, else memory if it suffices, else the usual one."""
    if "TMPDIR" in os.environ or not memory.is_dir():
        return Path(tempfile.gettempdir())
    runs_programs = not os.statvfs(memory).f_flag & os.ST_NOEXEC
    suffices = runs_programs and shutil.disk_usage(memory).free >= free_bytes_min
    return memory if suffices else Path(tempfile.gettempdir())


def use_scratch_folder() -> None:
    """Have this process, and those that it starts, make temporary folders there."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch_folder())
