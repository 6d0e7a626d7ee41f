"""Faces and labels -> the labels that are probably wrong, with a contact sheet to review them.

Takes HOG features and cross-validated classifiers (confident learning, Northcutt et al., 2021);
gives ``audit.json``, suspects in order of doubt, and a page on which a person decides.
"""
