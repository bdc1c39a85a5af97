"""Syncthing's config.xml: written whole before the first start, and judged whether a present one may stay. Pure."""

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from multiserver.files.config import Fields, FilesConfig

VERSION = 37
"""Version of the configuration's form, that of Syncthing 1.29 and 1.30. A newer one makes them refuse to start."""

_ATTRIBUTES = {
    *("id", "label", "path", "type", "rescanIntervalS", "fsWatcherEnabled", "fsWatcherDelayS"),
    *("name", "introducer", "unit"),
}
"""Fields that are attributes in the file; all others are elements."""

_TAGS = {
    "deviceID": "id",
    "addresses": "address",
    "devices": "device",
    "listenAddresses": "listenAddress",
    "stunServers": "stunServer",
    "crURL": "crashReportingURL",
}
"""Names in the file that differ from those of the REST interface."""


def render(config: FilesConfig, socket: Path, api_key: str) -> str:
    """Give the whole config.xml. Its REST interface is the unix socket, so no other pod can knock at it."""
    root = Element("configuration", version=str(VERSION))
    for folder in config.folders:
        _fill(SubElement(root, "folder"), folder)
    for device in config.devices:
        _fill(SubElement(root, "device"), device)
    gui = SubElement(root, "gui", enabled="true", tls="false", sendBasicAuthPrompt="false")
    SubElement(gui, "address").text = str(socket)
    SubElement(gui, "unixSocketPermissions").text = "0660"
    SubElement(gui, "apikey").text = api_key
    _fill(SubElement(root, "options"), config.options)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def may_stay(text: str, socket: Path, api_key: str) -> bool:
    """Tell whether Syncthing can start from a present config.xml and be reached for the rest.

    It may not if it is broken, made by a newer Syncthing, or has another socket or key than the agent will use.
    """
    try:
        root = ElementTree.fromstring(text)
        version = int(root.get("version", ""))
    except (ElementTree.ParseError, ValueError):
        return False
    reached = (root.findtext("gui/address"), root.findtext("gui/apikey")) == (str(socket), api_key)
    return root.tag == "configuration" and version <= VERSION and reached


def _fill(element: Element, fields: Fields) -> None:
    """Write fields of the REST form into an element."""
    for key, value in fields.items():
        _write(element, _TAGS.get(key, key), value)


def _write(element: Element, tag: str, value: object) -> None:
    if isinstance(value, list):
        for item in value:
            _write(element, tag, item)
    elif tag == "params" and isinstance(value, dict):
        _write_parameters(element, value.items())
    elif isinstance(value, dict):
        child = SubElement(element, tag)
        child.text = _text(value["value"]) if "value" in value else None
        _fill(child, {key: item for key, item in value.items() if key != "value"})
    elif tag in _ATTRIBUTES:
        element.set(tag, _text(value))
    else:
        SubElement(element, tag).text = _text(value)


def _write_parameters(element: Element, parameters: Iterable[tuple[str, str]]) -> None:
    for key, value in parameters:
        SubElement(element, "param", key=key, val=value)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
