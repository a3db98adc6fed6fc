"""Conversion of checkpoints: names and layouts, quantisation recipes, verification, model cards.

Lies at the top of the repository and is imported as `granite_mlx.convert`, through the symbolic
link `granite_mlx/convert`. Nothing here yet: conversion comes with a later version.
"""
