//! Host sets.
