//! The embedded node: Jobs, pods as local processes, and the supervisor that ends them.
