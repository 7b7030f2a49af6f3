"""fairseq-electra inspect of an Electric model."""

import torch

from fairseq_electra.cli import inspect


def test_noise_columns_show_noise_its_probability_and_energies(make_task, make_model):
    task = make_task()
    dataset = task.load_dataset("valid")
    sample = dataset.collater([int(dataset.sizes.argmin()), int(dataset.sizes.argmax())])
    model = make_model(task, objective="electric").eval()
    with torch.no_grad():
        output = model(**sample["net_input"])
    symbols = task.source_dictionary.symbols
    net_input = sample["net_input"]
    for index in range(2):
        cells = inspect.noise_columns(sample, output, index, symbols)
        length = int((~net_input["padding_mask"][index]).sum())
        assert len(cells) == length + (index == 0) and len(cells[0]) == len(inspect.LABELS_OF_ELECTRIC)
        at = [p for p in net_input["masked_positions"][index].tolist() if p]
        assert [i for i, cell in enumerate(cells) if cell[1]] == at
        for position, target in zip(at, sample["target"][index].tolist(), strict=False):
            token, noise, probability, energy = cells[position]
            assert token == symbols[target] and noise == symbols[output.corrupted_tokens[index, position]]
            assert float(probability) == round(float(output.disc_logits[index, position].sigmoid()), 2)
            assert float(energy) == round(float(output.energies[index, position]), 1)
        assert cells[0][0] == "<s>" and cells[0][2] == ".00"  # surely no noise
    assert inspect.noise_columns(sample, output, 0, symbols)[-1][0].startswith("<pad> x")
    assert inspect.grid(cells, 60, inspect.LABELS_OF_ELECTRIC).count("\nenergy ") > 2
