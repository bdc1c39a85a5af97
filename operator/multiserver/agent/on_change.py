"""Does something when the content of files has changed, such as that of a mounted ConfigMap."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path


class OnChange:
    """A duty's turn that calls `apply` once for every new content, and again at the next turn if it failed.

    The content is compared, not the time or inode: Kubernetes swaps a symbolic link and rewrites all files at once.
    """

    def __init__(self, files: Sequence[Path], apply: Callable[[], Awaitable[None]], *, applied: bool = False) -> None:
        """Start with the present content as new, or, with `applied`, as one that is in use already."""
        self._files = files
        self._apply = apply
        self._applied = self._digest() if applied else None

    async def __call__(self) -> None:
        """Raises OSError if a file cannot be read, and whatever `apply` raises."""
        digest = self._digest()
        if digest != self._applied:
            await self._apply()
            self._applied = digest

    def _digest(self) -> bytes:
        return b"".join(hashlib.sha256(file.read_bytes()).digest() for file in self._files)
