"""Statistics of score tables: pick images, pair models by image, and report what SciPy and scikit-posthocs find.

Nothing here is a formula of its own. The functions check that a question can be asked of the scores, pair them by
image path, hand them to ``scipy.stats`` or ``scikit_posthocs``, and return the answers with their names.
"""
