"""Other formats: transformers' folders, in both directions."""

import importlib.util

from fairseq_electra.errors import InputError


def require_transformers() -> None:
    """Refuse to begin without the packages that only interchange needs."""
    for package in ("safetensors", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"the package {package} is missing; install it with: pip install"
                " 'fairseq_electra[transformers]'"
            )
