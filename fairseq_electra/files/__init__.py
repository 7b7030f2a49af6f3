"""Read and write files of text and of records."""
