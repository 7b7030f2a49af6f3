"""Question answering from a text, with the limits of google-research/electra configure_finetuning.py."""

ANSWERING = "question_answering"
STRIDE, MAX_QUESTION = 128, 64  # of windows and questions, in pieces
ANSWERABILITY_WEIGHT = 0.5
BEAM, MAX_ANSWER_LENGTH, N_BEST = 20, 30, 20
