//! A generic in-memory Kubernetes API server that kube clients and kubectl can talk to.
