"""The demo: `app` is the FastAPI app, the rest sends it requests, kills it, and counts what it accepted."""
