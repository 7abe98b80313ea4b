//! The RFC 6962 Merkle tree over a segment's part hashes (FORMAT.md, "Part hashes and root").

use sha2::{Digest as _, Sha256};

use crate::ids::Digest;

/// `SHA-256(0x00 ‖ data)`, RFC 6962 section 2.1.
pub fn leaf_hash(data: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(data);
    Digest::from_bytes(hash.finalize().into())
}

/// `SHA-256(0x01 ‖ left ‖ right)`, RFC 6962 section 2.1.
fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left.as_bytes());
    hash.update(right.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// Builds a root in one pass with memory logarithmic in the number of leaves.
#[derive(Debug, Clone, Default)]
pub struct TreeBuilder {
    /// Complete subtrees, largest first; the sizes are the set bits of `leaves`.
    peaks: Vec<Digest>,
    leaves: u64,
}

impl TreeBuilder {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one leaf with the given data.
    pub fn push(&mut self, data: &[u8]) {
        let mut node = leaf_hash(data);
        let mut size = self.leaves;
        while size & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
            size >>= 1;
        }
        self.peaks.push(node);
        self.leaves += 1;
    }

    /// Number of leaves so far.
    pub const fn len(&self) -> u64 {
        self.leaves
    }

    /// Whether there is no leaf yet.
    pub const fn is_empty(&self) -> bool {
        self.leaves == 0
    }

    /// The root; for an empty tree the hash of nothing, as RFC 6962 defines it.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Digest::of(b""),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// Root over part hashes: each leaf's data is the 32-byte SHA-256 of one part.
pub fn parts_root<'a>(parts: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let mut tree = TreeBuilder::new();
    for part in parts {
        tree.push(part.as_bytes());
    }
    tree.root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// The definition of RFC 6962 section 2.1, recursive, for comparison.
    fn recursive(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [one] => leaf_hash(one),
            many => {
                let split = many.len().next_power_of_two() / 2;
                node_hash(&recursive(&many[..split]), &recursive(&many[split..]))
            }
        }
    }

    #[test]
    fn the_one_pass_root_is_the_recursive_one() {
        let leaves: Vec<Vec<u8>> = (0..70u8).map(|i| vec![i; i as usize]).collect();
        for n in 0..=leaves.len() {
            let mut tree = TreeBuilder::new();
            leaves[..n].iter().for_each(|leaf| tree.push(leaf));
            assert_eq!(tree.root(), recursive(&leaves[..n]), "{n} leaves");
        }
    }

    /// Roots of the eight-leaf tree that certificate-transparency implementations share as test data.
    #[test]
    fn known_roots() {
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = TreeBuilder::new();
        assert_eq!(
            tree.root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for (leaf, root) in leaves.iter().zip(roots) {
            tree.push(&HEXLOWER.decode(leaf.as_bytes()).unwrap());
            assert_eq!(tree.root().to_string(), root);
        }
    }
}
