import pytest

from . import controlplane


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The logs of a world outlive it when one of its tests failed."""
    outcome = yield
    if outcome.get_result().failed:
        controlplane.note_failure()
