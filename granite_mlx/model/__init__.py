"""The network: configuration, weights, encoder, projector, decoder. It knows arrays, not text."""
