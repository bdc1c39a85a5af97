"""The command line: `up` tells the story, `down` removes all of it."""

import os
import time

import click

from hack.common.cli import ToolGroup
from hack.common.progress import say
from hack.demo import story
from hack.demo.kubernetes import choose


@click.group(cls=ToolGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Three sites on a real Kubernetes: the current context with USE_CURRENT_CONTEXT=1, else kind, k3d or our own."""


@main.command()
def up() -> None:
    """Start a Kubernetes if need be, install the operator, apply three sites, and show what they do."""
    started_at = time.monotonic()
    story.tell(choose(os.environ))
    say(f"the demo took {time.monotonic() - started_at:.0f} s; `make demo-down` removes it")


@main.command()
def down() -> None:
    """Remove all that `up` made; of a Kubernetes that was there before, only what the demo put in."""
    choose(os.environ).remove(story.NAMESPACE, story.OPERATOR_NAMESPACE)
