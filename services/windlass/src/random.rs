//! Randomness for waits.

/// A number from 0 to 1. Without randomness clients come back together, which is a pity and no error.
pub(crate) fn unit() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
