"""config.xml. That Syncthing reads it as meant is shown by the real meshes of tests/files."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from multiserver.files.config import desired
from multiserver.files.configfile import VERSION, may_stay, render
from tests.unit.files.sites import site_config

SOCKET = Path("/run/multiserver/syncthing.sock")
KEY = "a key <&>"
TEXT = render(desired(site_config(), Path("/folders")), SOCKET, KEY)


def test_the_interface_is_a_socket_that_only_the_pod_reaches() -> None:
    gui = ElementTree.fromstring(TEXT).find("gui")
    assert gui is not None
    assert gui.findtext("address") == str(SOCKET)
    assert gui.findtext("unixSocketPermissions") == "0660"
    assert gui.findtext("apikey") == KEY


def test_folders_devices_and_options_are_where_syncthing_looks_for_them() -> None:
    root = ElementTree.fromstring(TEXT)
    assert [device.get("id") for device in root.findall("device")] == ["BERLIN", "HAMBURG"]
    assert [device.get("id") for device in root.findall("folder/device")] == ["BERLIN", "HAMBURG"]
    assert root.findtext("device[2]/address") == "tcp://lab-hamburg-server.default.svc:22000"
    assert [param.attrib for param in root.findall("folder/versioning/param")] == [{"key": "maxAge", "val": "2592000"}]
    assert (root.findtext("folder/minDiskFree"), root.findtext("options/globalAnnounceEnabled")) == ("1", "false")


def test_a_configuration_that_syncthing_can_start_from_may_stay() -> None:
    assert may_stay(TEXT, SOCKET, KEY)
    assert may_stay(TEXT.replace("</configuration>", "<more/></configuration>"), SOCKET, KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT[:200],
        TEXT.replace("configuration", "other"),
        TEXT.replace(f'version="{VERSION}"', f'version="{VERSION + 1}"'),
        TEXT.replace(f'version="{VERSION}"', 'version="new"'),
        TEXT.replace(str(SOCKET), "127.0.0.1:8384"),
    ],
    ids=["missing", "cut short", "something else", "newer", "no number", "another address"],
)
def test_any_other_is_written_anew(text: str) -> None:
    assert not may_stay(text, SOCKET, KEY)


def test_a_configuration_with_another_key_is_written_anew() -> None:
    assert not may_stay(TEXT, SOCKET, "another key")
