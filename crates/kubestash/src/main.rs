//! kubestash: Kubernetes backup operator, one binary.

fn main() {}
