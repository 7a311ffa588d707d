"""The public surface: a name comes or goes only on purpose."""

import subprocess
import sys

import pytest

import outlast

NAMES = [
    *(
        "AppNotFound",
        "AppRefused",
        "Attempt",
        "BackgroundTasks",
        "CurrentJob",
        "Explanation",
        "Fail",
        "FileMissing",
    ),
    *(
        "FileTooLarge",
        "Job",
        "JobFailed",
        "JobNotFound",
        "JobRecord",
        "LogLine",
        "LuggageMisfit",
        "LuggageRefused",
    ),
    *(
        "LuggageTooLarge",
        "NotConfirmed",
        "OptionRefused",
        "OutlastError",
        "Progress",
        "Reason",
        "Retry",
        "RetryPolicy",
    ),
    *("Snooze", "State", "StoreError", "StoreUnusable", "Task", "TaskQueue", "TaskRefused", "TaskUnknown"),
    *("Why", "current_job", "in_worker"),
]


def test_these_are_the_public_names():
    assert sorted(outlast.__all__) == NAMES
    assert set(NAMES) <= set(dir(outlast))


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_had(name):
    assert getattr(outlast, name) is getattr(outlast, name)


def test_another_is_refused():
    with pytest.raises(AttributeError, match="'outlast' has no attribute 'Tasks'"):
        _ = outlast.Tasks


@pytest.mark.parametrize("name", ["RetryPolicy", "Retry", "State", "in_worker"])
def test_a_plain_name_loads_no_web_framework(name):
    code = f"from outlast import {name}; import sys; assert not {{'fastapi', 'pydantic'}} & set(sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
