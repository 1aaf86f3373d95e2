"""What is added to a model beside LoRAs: ControlNets, embeddings, style pictures, IP-Adapters."""
