"""The networks' parts. Shapes: B rows, T tokens a row, K masked slots a row, V vocabulary, E embedding, C hidden, H heads."""
