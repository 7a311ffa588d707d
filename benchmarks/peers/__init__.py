"""The same app and the same tasks for other task queues, each by its own documentation and with its own defaults.

Each module has `app` (with `/task` and `/latency`), `fill(count)` to enqueue no-op jobs, and `clean()`, which removes
what it has left in its broker. They run in environments of their own, where Outlast is not installed.
"""
