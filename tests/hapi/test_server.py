"""The HAPI server of these tests leaves nothing running."""

import subprocess

import hapi_server
import pytest

pytestmark = pytest.mark.hapi


def test_it_ends_with_whoever_started_it() -> None:
    """When its input ends, as it does when the test session is killed, the server ends too."""
    command = ["java", "-cp", hapi_server.build(), hapi_server.MAIN, "--until-input-ends", "--server.port=0"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0
