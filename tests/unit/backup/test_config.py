"""pgBackRest's configuration. That pgBackRest works with it is shown in tests/backup."""

import configparser

import pytest

from multiserver.backup.config import archive_command, pgbackrest_argv, render, render_secrets


def test_the_configuration_names_the_sites_volumes_and_no_secret() -> None:
    config = configparser.ConfigParser()
    config.read_string(render())
    assert config["global"]["repo1-path"] == "/var/lib/multiserver/repository/pgbackrest"
    assert config["global"]["repo1-cipher-type"] == "aes-256-cbc"
    assert config["site"]["pg1-path"] == "/var/lib/multiserver/data/pgdata"
    assert "repo1-cipher-pass" not in config["global"]


def test_command_lines_name_files_only() -> None:
    assert pgbackrest_argv("backup", "--type=full") == [
        "pgbackrest",
        "--config=/etc/multiserver/config/pgbackrest.conf",
        "--config-include-path=/run/multiserver/pgbackrest.d",
        "--stanza=site",
        "--type=full",
        "backup",
    ]
    assert archive_command().endswith(" archive-push %p")


def test_a_passphrase_stands_in_a_file_of_its_own() -> None:
    assert render_secrets("correct horse") == "[global]\nrepo1-cipher-pass=correct horse\n"


@pytest.mark.parametrize("passphrase", ["", " ", "two\nlines", "outer blank "])
def test_a_passphrase_that_the_file_cannot_hold_is_refused(passphrase: str) -> None:
    with pytest.raises(ValueError, match="set another one"):
        render_secrets(passphrase)
