"""The way to a model: the only place that speaks to a provider."""
