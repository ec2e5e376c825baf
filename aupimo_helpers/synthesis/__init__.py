"""Procedural images and defects for the embedded data sets."""
