"""The worker: a supervisor process that claims and settles, and children that run tasks."""
