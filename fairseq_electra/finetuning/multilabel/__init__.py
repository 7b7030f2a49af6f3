"""Tasks with several labels for a text, each of which it has or has not."""

MULTI_LABEL = "multi_label_classification"
SEPARATOR = ","  # between the labels of a text, in a cell
METRICS = ("micro_f1", "macro_f1", "exact_match")
