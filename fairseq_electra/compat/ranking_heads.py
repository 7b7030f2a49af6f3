"""The head of fairseq's sentence_ranking has the name that ``--ranking-head-name`` gives.

tasks/sentence_ranking.py::build_model, ``getattr(args, "ranking_head_name", ...)``, is called with the
options of the model, which lack that name. So the head has another name than the one under which the
criterion looks for it. Here the name is read from the options of the task.
"""


def name_ranking_heads() -> None:
    """Change tasks/sentence_ranking.py::SentenceRankingTask.build_model."""
    from fairseq import models
    from fairseq.tasks.sentence_ranking import SentenceRankingTask

    def build_model(self, args, from_checkpoint=False):
        model = models.build_model(args, self, from_checkpoint)
        model.register_classification_head(self.args.ranking_head_name, num_classes=1)
        return model

    SentenceRankingTask.build_model = build_model
