"""The course's plots. Every function takes an ``ax`` (or makes one) and returns it.

``style``: colours and matplotlib defaults; ``images``: grids, heat maps, galleries; ``curves``: PIMO curves and what
surrounds them; ``scores``: distributions of per-image scores; ``models``: comparisons of models.
"""
