"""The documentation as the tests read it."""

import re
import subprocess
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
RUNBOOKS = CHECKOUT / "docs" / "runbooks"


@cache
def pages() -> tuple[Path, ...]:
    """Every page of the project, with those not committed yet; what git ignores is not ours."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(CHECKOUT / line for line in sorted(listed.splitlines()) if (CHECKOUT / line).exists())


def name(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def without_code(text: str) -> str:
    """The text without its code blocks and code words, where a bracket is no link."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that a heading gets, as code hosts make it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")
