"""What the figures were taken on: figures of another machine are other figures."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Return processor, cores, memory and kernel, and how busy the machine is with other things right now."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": model[1].strip() if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gigabytes": round(int(memory[1]) / 1024**2) if memory else None,
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }
