"""Label audit: find labels that are probably wrong, with a contact sheet to review them.

Uses cross-validated classifiers on HOG features (confident learning, Northcutt et al., 2021);
writes ``audit.json``, a ranked list of suspects, and a page for the reviewer.
"""
