"""What differs between Syncthing's present configuration and the wanted one."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from multiserver.files.config import Change, Fields, FilesConfig, changes, desired
from tests.unit.files.sites import site_config

FOLDERS = Path("/var/lib/multiserver/files/folders")
NAMES = ("berlin", "hamburg", "leipzig", "dresden")


def rest(config: FilesConfig) -> Fields:
    """Give a configuration as Syncthing answers it: with fields that are not ours."""
    return {
        "options": {**config.options, "maxSendKbps": 500},
        "devices": [{**device, "compression": "metadata"} for device in config.devices],
        "folders": [
            {**folder, "order": "random", "devices": [{**entry, "introducedBy": ""} for entry in folder["devices"]]}
            for folder in config.folders
        ],
    }


def applied(config: Fields, change: Change) -> Fields:
    """Give the configuration after a REST call, as Syncthing treats it."""
    kind, _, key = change.path.removeprefix("/rest/config/").partition("/")
    if kind == "options":
        return {**config, "options": {**config["options"], **(change.body or {})}}
    name = {"devices": "deviceID", "folders": "id"}[kind]
    items: dict[str, Any] = {item[name]: item for item in config[kind]}
    before = {} if change.method == "PUT" else items.pop(key)
    kept = [item for item in items.values() if item[name] != key]
    return {**config, kind: kept if change.method == "DELETE" else [*kept, {**before, **(change.body or {})}]}


worlds = st.builds(
    lambda names, folders: desired(site_config("berlin", ("berlin", *names), folders), FOLDERS),
    st.lists(st.sampled_from(NAMES[1:]), unique=True),
    st.integers(0, 3),
)


@given(worlds)
def test_what_is_as_wanted_needs_no_change_whatever_others_set(config: FilesConfig) -> None:
    assert changes(rest(config), config) == []


@given(worlds, worlds, st.integers(0, 30))
def test_from_any_configuration_the_changes_lead_to_the_wanted_one_also_after_a_kill(
    present: FilesConfig, wanted: FilesConfig, killed_after: int
) -> None:
    config = rest(present)
    for change in changes(config, wanted)[:killed_after]:
        config = applied(config, change)
    for change in changes(config, wanted):
        config = applied(config, change)
    assert changes(config, wanted) == []


def test_a_new_peer_is_added_before_the_folders_that_name_it_and_a_leaver_removed_after() -> None:
    present = desired(site_config(names=("berlin", "hamburg")), FOLDERS)
    wanted = desired(site_config(names=("berlin", "leipzig")), FOLDERS)
    assert [change.sentence for change in changes(rest(present), wanted)] == [
        "add device leipzig",
        "set devices of folder folder0",
        "remove device hamburg",
    ]


def test_a_changed_address_is_sent_alone() -> None:
    wanted = desired(site_config(), FOLDERS)
    present = rest(wanted)
    present["devices"][1]["addresses"] = ["tcp://elsewhere:22000"]
    (change,) = changes(present, wanted)
    assert change.method == "PATCH"
    assert change.body == {"addresses": ["tcp://lab-hamburg-server.default.svc:22000"]}


def test_a_site_never_announces_itself_and_never_accepts_what_no_one_declared() -> None:
    wanted = desired(site_config(), FOLDERS)
    for option in ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled"):
        assert wanted.options[option] is False
    assert not any(device["autoAcceptFolders"] or device["introducer"] for device in wanted.devices)
