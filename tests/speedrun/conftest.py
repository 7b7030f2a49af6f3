"""The results of a speedrun, made up."""

import pytest


def summary(task, metrics, trouble=None):
    found = {
        name: {
            "median": value,
            "mean": value - 1,
            "standard_deviation": 0.5,
            "values": [value] * 5,
            "ensemble": value,
        }
        for name, value in metrics.items()
    }
    return {
        "task": task,
        "seeds": [1, 2, 3, 4, 5],
        "degenerate_seeds": trouble or {},
        "metrics": {"valid": found} if metrics else {},
    }


@pytest.fixture
def results():
    return {
        "size": "tiny",
        "rows": 16,
        "lr": 1e-3,
        "warmup": 70,
        "updates": 1400,
        "minutes": 5.0,
        "device": "a laptop, 2 threads",
        "vocabulary": 8192,
        "tokens": 2_600_000,
        "padded_tokens": 2_867_200,
        "parameters": 1_900_000,
        "flops": {"paper": 2e14, "products": 3e13},
        "seconds": {"pretraining": 297.4, "finetuning": 600.0},
        "valid": {"mask_token_accuracy": 12.34, "disc_auc": 0.654},
        "glue": {
            "summary": [
                summary("CoLA", {"mcc": 10.0}),
                summary("MRPC", {"accuracy": 70.0, "f1": 80.0}, {"3": "constant"}),
                summary("WNLI", {"accuracy": 50.0}),
                summary("RTE", {}, {"1": "diverged"}),
            ]
        },
    }
