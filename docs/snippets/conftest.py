import pytest


@pytest.fixture(autouse=True)
def tasks_run_at_once(outlast_inline):
    pass
