"""An Electric model in Python: features and energies, and no probabilities of replacement."""

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.hub.interface import ElectraHubInterface


def test_hub_gives_features_of_an_electric_model_and_refuses_what_it_lacks(pretrained):
    hub = ElectraHubInterface(pretrained(objective="electric"))
    text = "The name of a class."
    assert hub.extract_features(text).shape == (1, len(hub.encode(text)), 32)
    with pytest.raises(InputError, match=r"detect_replaced needs p.*gives energies.*sentence_scores"):
        hub.detect_replaced(text)
    with pytest.raises(InputError, match=r"fill_mask needs a generator.*uniform or electric has none"):
        hub.fill_mask("The <mask> of a class.")
