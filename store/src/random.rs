//! Random bytes from the operating system: for ids, and for secrets.

/// Bytes of the operating system's random source.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness once it runs programs");
    bytes
}
