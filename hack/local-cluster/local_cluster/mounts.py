"""What is mounted where. The kernel's list is read: a folder mounted on itself looks like no mount from outside."""

from pathlib import Path

from hack.common.command import run

UNMOUNT_TIMEOUT_SECONDS = 30.0


def points(mountinfo: str | None = None) -> list[Path]:
    """Return every mount point, as often as something is mounted there; `mountinfo` instead of the kernel's list."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    return [Path(line.split()[4]) for line in text.splitlines()]


def hold_in_memory(folder: Path) -> None:
    """Mount memory on a folder; one that holds something already stays what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder not in points() and not any(folder.iterdir()):
        run(["mount", "-t", "tmpfs", "-o", "mode=0755", "multiserver-local", str(folder)])


def detach_below(folder: Path) -> None:
    """Detach every mount below a folder, inner ones first, even if something still uses it."""
    for point in sorted((point for point in points() if point.is_relative_to(folder)), reverse=True):
        run(["umount", "--lazy", str(point)], timeout_seconds=UNMOUNT_TIMEOUT_SECONDS)


def detach_empty(folder: Path) -> None:
    """Detach what is mounted on a folder, as often as it is, if there is nothing in it."""
    if folder.exists() and not any(folder.iterdir()):
        for _ in range(points().count(folder)):
            run(["umount", str(folder)], timeout_seconds=UNMOUNT_TIMEOUT_SECONDS)
