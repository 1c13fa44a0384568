//! The embedded Kubernetes API server: durable, on loopback, for one machine.
