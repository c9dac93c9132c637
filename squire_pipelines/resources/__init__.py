"""Thin ConfigurableResources over the libraries."""
