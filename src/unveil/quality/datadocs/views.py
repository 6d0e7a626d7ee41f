"""The view that Great Expectations makes pages with: ours before its own templates, all escaped."""

import html
from pathlib import Path
from typing import Any

from great_expectations.render.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader, FileSystemLoader, pass_context


class PageView(DefaultJinjaPageView):  # type: ignore[misc]
    """A page of a suite, of a result or of all of them; Great Expectations makes it by name."""

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
        """Render a block; plain text is escaped, since a face's name is whatever its file's was."""
        if isinstance(content_block, str):
            return html.escape(content_block)
        if isinstance(content_block, list):
            content_block = [
                html.escape(part) if isinstance(part, str) else part for part in content_block
            ]
        return super().render_content_block(context, content_block, *rest, **more)
