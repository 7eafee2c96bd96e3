"""Two test processes share the work by files, but a folder with one installation for all its tests stays whole."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.scheduler.protocol import Scheduling

WHOLE = ("tests/conformance/", "tests/browser/")


class ByInstallation(LoadFileScheduling):
    """Its base groups by file."""

    def _split_scope(self, nodeid: str) -> str:
        whole = next((folder for folder in WHOLE if nodeid.startswith(folder)), None)
        return whole or super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return ByInstallation(config, log)
