"""What all tests have in common: none fails because this machine is slow, and they are spread over its processors."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

MOST = 8
ANOTHER_SERVER = "::test_package_installs"


class OneServer(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each test to the next process that is free, and all that share the HAPI server to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        shared = nodeid.startswith("tests/hapi/") and not nodeid.endswith(ANOTHER_SERVER)
        return "hapi" if shared else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneServer:
    """Return how tests are given to processes (`--dist loadgroup` of xdist 3.8 does not group with pytest 9.2)."""
    return OneServer(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the processes of `-n auto`: one a processor, and one more to wait for the HAPI server."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting = "not hapi" not in config.option.markexpr
    return min(processors, MOST) + waiting
