"""What Syncthing is asked, so that its answers stay small."""

from typing import Any

from multiserver.files.health import FAILED_ITEMS_TOLD_MAX
from multiserver.files.observe import ask
from tests.unit.files.sites import site_config


class Syncthing:
    """One with a folder of which many files fail; it answers as many of them as it is asked for."""

    async def get(self, path: str, **parameters: str) -> Any:
        if path == "/rest/config":
            return {"folders": [{"id": "folder0"}], "devices": []}
        if path == "/rest/db/status":
            return {"errors": 5000}
        if path == "/rest/folder/errors":
            items = [{"path": f"f{number}", "error": "permission denied"} for number in range(5000)]
            return {"errors": items[: int(parameters.get("perpage", 65536))]}
        return {}


async def test_no_more_failing_files_are_asked_for_than_are_told() -> None:
    answers = await ask(Syncthing(), site_config())  # type: ignore[arg-type]
    assert len(answers.failed_items["folder0"]["errors"]) == FAILED_ITEMS_TOLD_MAX
