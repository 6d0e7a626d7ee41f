"""The report (HTML) and the model card (Markdown), written from finished artifacts.

Input: metrics, comparison, validation result, promotion decision and explanations, as files.
May import: common, config, data, dataset, evaluation, quality, registry, rendering.
"""
