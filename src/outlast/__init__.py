"""Outlast: a durable task queue for FastAPI, behind the BackgroundTasks you already write."""
