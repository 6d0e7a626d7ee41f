"""Finished artefacts -> the report (HTML) and the model card (Markdown).

Takes metrics, comparison, validation, promotion and drift as files; decides nothing.
May import: common, config, data, evaluation, quality, registry, rendering.
"""
