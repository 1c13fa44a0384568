//! The operator: reconcilers, scheduler and admission webhook.
