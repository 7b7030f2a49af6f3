"""Tasks on sentences and pairs of them."""
