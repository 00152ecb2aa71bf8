"""Options of the whole test run."""

from __future__ import annotations

import os

import pytest

# The reports of the many runs that the tests make: brief, but where a test asks for more.
os.environ.setdefault("DLN_BRIEF", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the expected texts beside the files in tests/errors (then read the difference)",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether expected texts are to be rewritten instead of compared."""
    return bool(request.config.getoption("--update-golden"))
