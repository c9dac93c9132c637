"""Agents as Jobs of a Kubernetes cluster: the API's requests, the Job, its pod's endings, and the runner."""
