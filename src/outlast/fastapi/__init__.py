"""The face for FastAPI: BackgroundTasks, the commit of a request, the worker beside the server, the HTTP router."""
