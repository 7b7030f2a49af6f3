"""Text -> pieces -> rows -> masked batches. Each step is one module, and none of them knows the next."""
