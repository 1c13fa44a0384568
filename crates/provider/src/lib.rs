//! The embedded database provider: real database servers for Druid's metadata.
