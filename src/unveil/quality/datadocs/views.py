"""Jinja view for Great Expectations: own templates take precedence, and all text is escaped."""

import html
from pathlib import Path
from typing import Any

from great_expectations.render.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader, FileSystemLoader, pass_context


class PageView(DefaultJinjaPageView):  # type: ignore[misc]
    """View of a suite, a result or the index; Great Expectations instantiates it by name."""

    def __init__(
        self,
        custom_styles_directory: str | None = None,
        custom_views_directory: str | None = None,
    ) -> None:
        super().__init__(custom_styles_directory, custom_views_directory)
        ours = FileSystemLoader(Path(__file__).with_name("templates"))
        self.env.loader = ChoiceLoader([ours, self.env.loader])

    @pass_context
    def render_content_block(
        self, context: Any, content_block: Any, *rest: Any, **more: Any
    ) -> Any:
        """Render a block; plain text is escaped, because file names of faces are untrusted."""
        if isinstance(content_block, str):
            return html.escape(content_block)
        if isinstance(content_block, list):
            content_block = [
                html.escape(part) if isinstance(part, str) else part for part in content_block
            ]
        return super().render_content_block(context, content_block, *rest, **more)
