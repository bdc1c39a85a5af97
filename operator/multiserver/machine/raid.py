"""The machine's software disk arrays in one plain sentence, from /proc/mdstat.

A container sees the machine's own /proc/mdstat. Hardware arrays do not show there, and are not spoken of.
"""

import re
from dataclasses import dataclass
from pathlib import Path

MDSTAT = Path("/proc/mdstat")
NO_ARRAY = "OK: no RAID present"

_ARRAY = re.compile(r"^(?P<name>md\S*)\s*:\s*(?P<state>\S+)\s*(?P<rest>.*)$")
_DISKS = re.compile(r"\[(?P<wanted>\d+)/(?P<working>\d+)\]")
_REPAIR = re.compile(r"(?P<act>recovery|resync|reshape|check)\s*=\s*(?P<percent>[\d.]+)%")


@dataclass
class Array:
    """A disk array as the kernel describes it."""

    name: str
    state: str
    """active, or inactive when it could not be put together."""
    failed: tuple[str, ...]
    """Disks that the kernel gave up."""
    wanted: int = 0
    working: int = 0
    repair: str = ""
    """What the kernel is doing to the array, for example "recovery 12 %"."""

    @property
    def fault(self) -> str:
        """Say what is wrong; empty if nothing is."""
        if self.state != "active":
            return f"{self.name} is {self.state}"
        if self.working >= self.wanted and not self.failed:
            return ""
        failed = f", failed: {', '.join(self.failed)}" if self.failed else ""
        repair = f", {self.repair}" if self.repair else ""
        return f"{self.name} is degraded ({self.working} of {self.wanted} disks{failed}{repair})"


def raid_sentence(mdstat: Path = MDSTAT) -> str:
    """Say in one sentence how the machine's disk arrays are; Unknown if the kernel does not tell."""
    try:
        text = mdstat.read_text()
    except FileNotFoundError:
        # Where the kernel lists its disks it would list its arrays too, if it had the driver for them.
        if mdstat.with_name("diskstats").exists():
            return NO_ARRAY
        return f"Unknown: {mdstat} does not exist, so disk arrays cannot be seen"
    except OSError as error:
        return f"Unknown: {mdstat} cannot be read: {error.strerror}"
    return judge(text)


def judge(mdstat: str) -> str:
    """Give the sentence for the text of /proc/mdstat."""
    if not mdstat.startswith("Personalities"):
        return "Unknown: the kernel's description of disk arrays is not understood"
    arrays = parse(mdstat)
    if not arrays:
        return NO_ARRAY
    faults = [array.fault for array in arrays if array.fault]
    if faults:
        return f"RAID: {'; '.join(faults)}: replace the disk"
    return f"OK: RAID {', '.join(array.name for array in arrays)} complete"


def parse(mdstat: str) -> list[Array]:
    """Read the arrays from the text of /proc/mdstat."""
    arrays: list[Array] = []
    for line in mdstat.splitlines():
        if match := _ARRAY.match(line):
            failed = tuple(part.split("[")[0] for part in match["rest"].split() if part.endswith("(F)"))
            arrays.append(Array(match["name"], match["state"], failed))
        elif arrays and line.startswith(" "):
            _detail(arrays[-1], line)
    return arrays


def _detail(array: Array, line: str) -> None:
    """Take in a further line of an array's description."""
    if match := _DISKS.search(line):
        array.wanted, array.working = int(match["wanted"]), int(match["working"])
    if match := _REPAIR.search(line):
        array.repair = f"{match['act']} {float(match['percent']):.0f} %"
