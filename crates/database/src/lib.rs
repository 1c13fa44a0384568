//! Database families: how to find, wait for, dump and load a database with its own client.
