"""LoRAs: what their files change, and the weights of a model with them."""
