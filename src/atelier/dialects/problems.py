"""The envelope that Atelier's own routes and Comfy API v2 share: {"error": {code, message, details}}."""

from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from atelier.kit.http.answers import json_response
from atelier.kit.http.problems import Problem


class Error(BaseModel):
    code: str = Field(description="Stable, for programs.", examples=["not_found"])
    message: str = Field(description="One sentence, for people.")
    details: dict[str, Any] | None


class ErrorEnvelope(BaseModel):
    """Every error of this API."""

    error: Error


def envelope(problem: Problem) -> Response:
    error = {"code": problem.code, "message": problem.message, "details": problem.details}
    return json_response({"error": error}, problem.status, problem.headers)
