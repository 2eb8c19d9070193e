# SPDX-License-Identifier: Apache-2.0
"""Factories for whole-process tests, and the examination that each test ends with: viewers are closed, edges come to
rest with every counter in balance, programs end with 0 and without a sanitizer's complaint, origins had no trouble.
"""
import shutil

import pytest

from harness import client, counters
from harness.certificates import Authority
from harness.origin import Origin
from harness.processes import Edge, Shim


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: long; only ./run soak runs it")


class Stage:
    """All that one test has started."""

    def __init__(self, folder):
        self.folder = folder
        self.edges, self.shims, self.origins = [], [], []

    def add_edge(self, config=None, start=True, environment=None, **fields):
        """An edge with this configuration (see processes.Edge for what is filled in)."""
        edge = Edge({**(config or {}), **fields}, self.folder / f"edge-{len(self.edges) + 1}", environment)
        self.edges.append(edge)
        return edge.start() if start else edge

    def add_shim(self, root, *options, **fields):
        shim = Shim(root, self.folder / f"shim-{len(self.shims) + 1}", *options, **fields)
        self.shims.append(shim)
        return shim.start()

    def add_origin(self, *arguments, **fields):
        self.origins.append(Origin(*arguments, **fields))
        return self.origins[-1]

    def finish(self):
        """Collects every complaint, so that one does not hide the next."""
        complaints = []

        def attempt(action, *arguments):
            try:
                action(*arguments)
            except Exception as error:  # pylint: disable=broad-except
                complaints.append(str(error) or repr(error))

        client.close_all()
        for origin in self.origins:
            attempt(origin.stop)
            complaints.extend(origin.errors)
        for edge in filter(Edge.is_running, self.edges):
            attempt(counters.wait_for_rest, edge)
        for program in self.programs():
            if program.process is not None:
                attempt(program.stop)
        assert not complaints, "\n".join(complaints)

    def programs(self):
        return [*self.edges, *self.shims]

    def kill_all(self):
        for program in self.programs():
            if program.is_running():
                program.kill()

    def remove_arenas(self):
        """Some 64 MiB each: a run of all tests would leave gigabytes behind."""
        for edge in self.edges:
            shutil.rmtree(edge.folder / "arena", ignore_errors=True)


@pytest.fixture(name="stage")
def _stage(tmp_path):
    stage = Stage(tmp_path)
    try:
        yield stage
        stage.finish()
    finally:
        stage.kill_all()
        stage.remove_arenas()
        for program in stage.programs():  # pytest shows it when the test failed
            print(program.log())


@pytest.fixture(name="edge")
def _edge(stage):
    """edge(sites=[...]): starts one, ready to be asked."""
    return stage.add_edge


@pytest.fixture(name="shim")
def _shim(stage):
    """shim(root, "--live", "news=vod/main.m3u8"): starts one."""
    return stage.add_shim


@pytest.fixture(name="origin")
def _origin(stage):
    """origin(): a scripted one, listening."""
    return stage.add_origin


@pytest.fixture(name="authority", scope="session")
def _authority(tmp_path_factory):
    """Issues certificates; made once for all tests."""
    return Authority(tmp_path_factory.mktemp("authority"))
