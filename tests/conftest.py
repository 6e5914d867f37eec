"""What all tests have in common: none fails because this machine is slow, and they are spread over its processors."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

MOST = 8


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share the HAPI server in one process, for `--dist loadgroup`, which reads these marks."""
    for item in items:
        if item.get_closest_marker("hapi") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("hapi"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the processes of `-n auto`: one a processor, and one more to wait for the HAPI server."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting = "not hapi" not in config.option.markexpr
    return min(processors, MOST) + waiting
