"""Plots and offline HTML pages, as all reports use them.

Takes values and a Jinja template; gives PNG files and HTML that opens from disk and loads nothing.
May import: common.
"""
