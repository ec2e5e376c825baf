"""Per-image scores: the table that everything after the metric reads, and the way to it from score maps on disk.

``table`` makes, saves and reads it; ``maps`` computes the scores of maps that any framework wrote, and what other
normal images would do to them; ``threshold`` finds the threshold to use.
"""

from aupimo_helpers.scores.table import load_scores, save_scores, score_table

__all__ = ["load_scores", "save_scores", "score_table"]
