//! Secret bytes of a fixed length in one place of the heap.

use zeroize::Zeroize;

use crate::random::{self, RandomError};

/// `N` secret bytes that never leave their heap place and are wiped on drop.
///
/// Only the pointer moves when a value moves, and every constructor fills the bytes in place: a secret built on the
/// stack and moved into a box would leave a copy behind that nothing wipes. No `Clone`, `Debug` or `Serialize`.
pub(crate) struct SecretBytes<const N: usize>(Box<[u8; N]>);

impl<const N: usize> SecretBytes<N> {
    /// Random bytes, written to their place by the operating system.
    pub(crate) fn generate() -> Result<Self, RandomError> {
        Self::try_fill(|bytes| random::fill(bytes))
    }

    /// Bytes written in place by `fill`, which finds zeros.
    pub(crate) fn fill(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// As [`SecretBytes::fill`], for a `fill` that can fail.
    pub(crate) fn try_fill<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0)?;
        Ok(secret)
    }

    pub(crate) fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for SecretBytes<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(
        SecretBytes<32>: Clone, Copy, std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq
    );

    #[test]
    fn generated_secrets_differ() {
        let first = SecretBytes::<32>::generate().unwrap();
        let second = SecretBytes::<32>::generate().unwrap();
        assert_ne!(first.expose(), second.expose());
        assert_ne!(first.expose(), &[0; 32]);
    }
}
