"""Plots and offline HTML pages shared by all reports.

Renders PNG files, and Jinja templates to self-contained HTML that opens from disk.
May import: common.
"""
