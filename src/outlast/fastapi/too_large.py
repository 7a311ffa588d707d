"""413: the answer to a request that adds a file over the limit, unless its endpoint has another."""

from __future__ import annotations

from fastapi import HTTPException

from outlast.errors import FileTooLarge


class UploadTooLarge(FileTooLarge, HTTPException):
    """FileTooLarge, which FastAPI answers as it does its own errors. What is said of the job stays inside."""

    def __init__(self, message: str) -> None:
        HTTPException.__init__(self, 413, "File too large")
        self.args = (message,)
        self._message = message

    def __str__(self) -> str:
        return self._message
