"""Being here puts this folder on the import path: ``support`` and the models are found from any test."""

from __future__ import annotations

import os

import pytest

from support import Gate, assert_clean, config_of, running


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """Holds and releases the model of every server that the module starts; see ``edge_models``."""
    folder = tmp_path_factory.mktemp("edge")
    made = Gate(folder)
    before = os.environ.get("EDGE")
    os.environ["EDGE"] = str(folder)
    yield made
    if before is None:
        del os.environ["EDGE"]
    made.close()


@pytest.fixture(scope="module")
def shared_server(gate):
    """One server for a module's tests, ended with it: no worker outlives its module."""
    with running(config_of()) as server:
        yield server


@pytest.fixture
def server(shared_server):
    """The module's server; afterwards nothing of the test may be left in it."""
    yield shared_server
    assert_clean(shared_server)
