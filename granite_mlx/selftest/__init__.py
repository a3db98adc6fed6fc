"""The product's own proof: the network at its real widths against stored values of the reference.

Users have Metal and half precision, developers of this package mostly had neither. So the values
that transformers computed in float32 travel with the package, and `granite-mlx doctor --selftest`
compares them with what the user's machine computes.
"""
