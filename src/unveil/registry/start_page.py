"""MLflow's server with another start page: the list of trainings, best first.

MLflow's own start page is for language models and lists no training; no setting changes that. So
``mlflow server --app-name unveil`` runs this app, MLflow's interface for plugins. Every other
address, also one with a fragment such as ``/#/models``, opens MLflow's page as it is.
"""

import json
import os

from mlflow.server.fastapi_app import app
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from unveil.registry.description import FRAGMENT

# A server never sees the fragment of an address, so the browser has to add it.
PAGE = """<!doctype html><title>MLflow</title><script>
location.replace("?trainings" + (location.hash || {fragment}));
</script>
"""


async def open_trainings(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Answer ``/`` with a page that opens the trainings, if MLflow would answer at all."""
    response = await call_next(request)
    if request.url.path != "/" or request.url.query or response.status_code != 200:
        return response
    return HTMLResponse(PAGE.format(fragment=json.dumps(os.environ.get(FRAGMENT, ""))))


app.add_middleware(BaseHTTPMiddleware, dispatch=open_trainings)
