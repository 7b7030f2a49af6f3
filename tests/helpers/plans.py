"""Plans of comparisons, with a few entries changed."""

LINES = {
    "data": ".",
    "arch": "electra_tiny",
    "objectives": '{electra: "", mlm: --objective mlm}',
    "budgets": "[4e6, 12e6]",
    "seeds": "[1, 2]",
    "rates": "[5e-4, 1e-3]",
    "batch_size": "16",
}


def plan_file(folder, **changes):
    lines = {name: value for name, value in (LINES | changes).items() if value is not None}
    path = folder / "plan.yaml"
    path.write_text("".join(f"{name}: {value}\n" for name, value in lines.items()))
    return path


def cell(objective, seed, tasks, **more):
    """Return the content of a cell's file; ``tasks`` has the accuracies of each task's fine-tunings."""
    return {
        "objective": objective,
        "budget": 4e6,
        "seed": seed,
        "lr": 1e-3,
        "updates": 100,
        "tokens": 4_000_000,
        "flops": 1e12,
        "valid": {"fixed_auc": 0.8 + 0.01 * seed},
        "blimp": {},
        "finetuning": {task: {"accuracy": values} for task, values in tasks.items()},
        "predictions": {},
        **more,
    }
