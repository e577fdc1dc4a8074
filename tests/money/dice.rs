//! Chance, drawn from a seed.
