//! The rules of kubestash as pure functions: names, phases, schedule, retention, variables, formats.
