"""The command `multiserver` finds every room, and one broken room does not break the others."""

import pytest
from click.testing import CliRunner

from multiserver import __main__ as entry


@pytest.mark.parametrize("name", sorted(entry.COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(entry.main, [name, "--help"])
    assert result.exit_code == 0
    assert name in result.output


def test_a_broken_room_does_not_break_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(entry.COMMANDS, "agent", "multiserver.no_such_room:agent")
    assert CliRunner().invoke(entry.main, ["prepare", "--help"]).exit_code == 0


def test_an_unknown_command_is_refused_by_name() -> None:
    result = CliRunner().invoke(entry.main, ["destroy"])
    assert result.exit_code == 2
    assert "No such command 'destroy'" in result.output
