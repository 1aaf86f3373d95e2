"""Where models come from: local paths, the Hugging Face Hub and its cache."""
