"""What a pre-trained model knows before it is fine-tuned."""
