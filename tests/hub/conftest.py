"""The folders of transformers that tests of the exchange have as well."""

from tests.interchange.conftest import make_theirs, pretrained, their_pieces  # noqa: F401
