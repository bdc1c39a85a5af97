"""Where tests keep their servers' data: in memory where there is enough of it.

A server is some 1400 small files, of which a disk may make half a second's work each time, and the suites start
hundreds of them. What is measured lies elsewhere: benchmarks use the disk.
"""

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
FREE_BYTES_MIN = 12 * 1024**3
"""What the most demanding suite needs, its programs' own memory included, twice over."""


def memory_suffices(memory: Path = MEMORY, free_bytes_min: int = FREE_BYTES_MIN) -> bool:
    """Say whether so much memory is free, and as much of it may hold files, programs among them."""
    if not memory.is_dir() or os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return False
    return min(_available_bytes(), shutil.disk_usage(memory).free) >= free_bytes_min


def _available_bytes() -> int:
    """Return what programs could still have without swapping."""
    [line] = (line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def scratch_folder(memory: Path = MEMORY, free_bytes_min: int = FREE_BYTES_MIN) -> Path:
    """Return the folder for temporary folders: TMPDIR if it is set, else memory if it suffices, else the usual one."""
    if "TMPDIR" not in os.environ and memory_suffices(memory, free_bytes_min):
        return memory
    return Path(tempfile.gettempdir())


def use_scratch_folder() -> None:
    """Have this process, and those that it starts, make temporary folders there."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch_folder())
