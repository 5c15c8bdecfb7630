"""The page. Its routes go into `router`; templates and static files lie beside this module."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

STATIC = Path(__file__).parent / "static"
TEMPLATES = Path(__file__).parent / "templates"

router = APIRouter(include_in_schema=False)
