"""The command `multiserver`: one entry for everything that runs in a container."""

import importlib
import os
import signal

import click

COMMANDS = {
    "agent": "multiserver.agent.command:agent",
    "backup": "multiserver.backup.command:backup",
    "operator": "multiserver.control.command:operator",
    "prepare": "multiserver.prepare.command:prepare",
    "stop": "multiserver.stop.command:stop",
    "verify": "multiserver.agent.verify_command:verify",
}
"""Each command and where its room keeps it."""


class Rooms(click.Group):
    """Commands that are imported when they are called, so that each container loads only what it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), f"{COMMANDS[cmd_name]} is no click command"
        return command


@click.group(cls=Rooms)
@click.version_option(package_name="multiserver-operator")
def main() -> None:
    """Sites that keep working when their line is down."""
    # The first process of a container gets no signal for which it has no handler, so it would be killed after minutes.
    # What it has started ends with it, and whatever it was at may be broken off. Servers set handlers of their own.
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))


if __name__ == "__main__":
    main()
