"""A site's tree, and the command line tool with the site image's programs on its path."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from multiserver.api import paths as pod
from multiserver.api.names import Names
from multiserver.identity.certificates import make_site
from tests import rootfs as rootfs_module
from tests.agent.sites import Mesh, Site
from tests.files.line import Line
from tests.sites import CLUSTER, NAMESPACE, SiteTree, single_site, site_tree

PROGRAMS = ("initdb", "postgres", "pg_basebackup", "pg_resetwal")

StartPrepare = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def rootfs() -> rootfs_module.Rootfs:
    return rootfs_module.ensure()


@pytest.fixture
def tree(rootfs: rootfs_module.Rootfs) -> Iterator[SiteTree]:
    """A site's tree with what the operator mounts, and empty volumes."""
    with site_tree("berlin", rootfs) as made:
        made.mount(*single_site())
        yield made


@pytest.fixture
def start_prepare(tree: SiteTree, tmp_path: Path) -> StartPrepare:
    """Start `multiserver prepare` on the tree as a process group of its own."""
    for program in PROGRAMS:
        script = tmp_path / program
        argv = " ".join(f"'{word}'" for word in tree.command([program]))
        script.write_text(f'#!/bin/sh\nexec {argv} "$@"\n')
        script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    argv = [sys.executable, "-m", "multiserver", "prepare", "--root", str(tree.paths.root)]

    def start() -> subprocess.Popen[str]:
        tree.hand_over()
        return subprocess.Popen(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    return start


@pytest.fixture
def leipzig(mesh: Mesh, tree: SiteTree) -> Iterator[Site]:
    """A third site that has joined the members of the file's mesh and has no database yet."""
    with ExitStack() as stack:
        site = Site(tree, 3, make_site(Names(CLUSTER, NAMESPACE), "leipzig"))
        site.lines = {peer.name: stack.enter_context(Line(peer.port)) for peer in mesh.sites}
        stack.callback(site.stop, "postgres", signal.SIGQUIT)
        everybody = Mesh((*mesh.sites, site))
        for peer in mesh.sites:
            peer.write(peer.tree.paths.trust, everybody.trust)
            peer.tree.hand_over()
            peer.sql("select pg_reload_conf()")
        everybody.mount(site)
        told = everybody.config(site).model_copy(update={"site": "leipzig", "donors": ("berlin", "hamburg")})
        site.write(tree.paths.site_config, told.model_dump_json(by_alias=True))
        site.write(tree.paths.at(pod.POSTGRES_CONFIG), "max_active_replication_origins = 40\n")
        tree.hand_over()
        yield site
