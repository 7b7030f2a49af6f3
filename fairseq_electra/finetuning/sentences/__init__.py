"""Tasks on sentences and pairs of them, and multiple choice: their names are fairseq's."""

PREDICTION, RANKING = "sentence_prediction", "sentence_ranking"
