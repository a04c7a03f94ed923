import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
pytest.register_assert_rewrite("world")

from testbed.conftest import pytest_runtest_makereport  # noqa: E402, F401 - keeps the logs of a world whose test failed
