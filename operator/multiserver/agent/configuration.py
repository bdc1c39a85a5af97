"""What the site is told from outside: `site.json`, read again whenever it changes."""

import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from multiserver.api.siteconfig import SiteConfig

logger = logging.getLogger(__name__)


class ConfigurationError(Exception):
    """`site.json` is missing or not understood; the text says which and what to do."""


def read(path: Path) -> SiteConfig:
    """Read `site.json`. Raises ConfigurationError."""
    try:
        return SiteConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): is the ConfigMap mounted?") from error
    except ValidationError as error:
        raise ConfigurationError(
            f"{path} is not understood, operator and site image differ too much: {error}"
        ) from error


class Configuration:
    """The configuration in use, and who wants to know of a new one."""

    def __init__(self, path: Path, on_change: Callable[[SiteConfig], None]) -> None:
        """Raises ConfigurationError: without a configuration there is nothing to do."""
        self._path = path
        self._on_change = on_change
        self.current = read(path)

    async def reload(self) -> None:
        """Take the present file into use. Raises ConfigurationError; then the one before stays in use."""
        before, self.current = self.current, read(self._path)
        if self.current != before:
            logger.info("site.json is new: %s", describe(before, self.current))
            self._on_change(self.current)


def describe(before: SiteConfig, after: SiteConfig) -> str:
    """Say in words what is new."""
    old, new = {peer.name for peer in before.peers}, {peer.name for peer in after.peers}
    parts = [
        *(f"{name} joined" for name in sorted(new - old)),
        *(f"{name} left" for name in sorted(old - new)),
        *(f"folder {name} added" for name in sorted(set(after.folders) - set(before.folders))),
        *(f"folder {name} removed" for name in sorted(set(before.folders) - set(after.folders))),
    ]
    return ", ".join(parts) or "details changed"
