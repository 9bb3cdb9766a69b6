"""flk, the federated-learning kernel."""
