"""The page: one `index.html` for every address in it, and what Vite built around it."""

from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

IMMUTABLE = "public, max-age=31536000, immutable"
NOT_BUILT = "The page is not built yet. Run `make run`, or `npm run build` in frontend/.\n"


class Assets(StaticFiles):
    """Files with a hash of their content in the name: what was loaded once never changes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code < 400:
            response.headers["Cache-Control"] = IMMUTABLE
        return response


def page_routes(static_dir: Path) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/c/{conversation_id}")
    def index() -> Response:
        built = static_dir / "index.html"
        if not built.is_file():
            return PlainTextResponse(NOT_BUILT, status_code=503)
        return FileResponse(built, headers={"Cache-Control": "no-cache"})

    @router.get("/{name}")
    def file_beside_index(name: str) -> Response:
        """An icon and the like. One name, so it can't lead out of the folder."""
        path = static_dir / name
        if name.startswith(".") or "/" in name or "\\" in name or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return router


def assets(static_dir: Path) -> Assets:
    return Assets(directory=static_dir / "assets", check_dir=False)
