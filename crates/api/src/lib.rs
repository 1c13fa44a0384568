//! API types of kubestash: all kinds of the three groups, and the foreign kinds it reads.
