//! What runs inside a session's Job: dump, engine, report, retention.
