import json
from pathlib import Path

import pytest

from multiserver.agent.configuration import Configuration, ConfigurationError, describe
from multiserver.api.siteconfig import SiteConfig
from tests.unit.agent.sightings import CONFIG

ALONE = CONFIG.model_copy(update={"members": CONFIG.members[:1]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "site.json", CONFIG)


def write(path: Path, config: SiteConfig | str, indent: int | None = None) -> Path:
    path.write_text(config if isinstance(config, str) else config.model_dump_json(by_alias=True, indent=indent))
    return path


async def test_a_new_configuration_is_told_to_who_wants_to_know(path: Path) -> None:
    told: list[SiteConfig] = []
    configuration = Configuration(path, told.append)
    write(path, ALONE)
    await configuration.reload()
    assert configuration.current == ALONE
    assert told == [ALONE]


async def test_an_equal_configuration_is_nothing_new(path: Path) -> None:
    told: list[SiteConfig] = []
    configuration = Configuration(path, told.append)
    write(path, CONFIG, indent=2)
    await configuration.reload()
    assert told == []


async def test_a_broken_file_leaves_the_configuration_before_in_use(path: Path) -> None:
    configuration = Configuration(path, lambda _: None)
    write(path, '{"cluster": "lab", "future": true}')
    with pytest.raises(ConfigurationError, match="operator and site image differ too much"):
        await configuration.reload()
    assert configuration.current == CONFIG


def test_without_a_configuration_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"site\.json cannot be read .*: is the ConfigMap mounted\?"):
        Configuration(tmp_path / "site.json", lambda _: None)


def test_a_change_is_described_in_words() -> None:
    assert describe(ALONE, CONFIG) == "hamburg joined"
    assert describe(CONFIG, ALONE) == "hamburg left"
    more = CONFIG.model_copy(update={"folders": ("scans",)})
    assert describe(CONFIG, more) == "folder scans added, folder documents removed"
    assert describe(CONFIG, CONFIG.model_copy(update={"owner": "other"})) == "details changed"


async def test_a_field_of_a_newer_operator_is_no_fault(path: Path) -> None:
    newer = CONFIG.wire() | {"compression": "zstd"}
    write(path, json.dumps(newer))

    assert Configuration(path, lambda _: None).current == CONFIG
