"""GitHub's errors, as its REST API writes them."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An error in GitHub's form."""

    def __init__(self, status: int, message: str, *errors: dict[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        self.body["status"] = str(status)
        if errors:
            self.body["errors"] = list(errors)
