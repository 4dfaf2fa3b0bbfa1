//! The order in which the nodes of a zone stand for a camera.

use crate::{CameraId, NodeId};

/// Where the node stands among others for the camera, the lowest first (rendezvous hashing): another
/// order for each camera, and when a node goes the others stay as they were. The same on every
/// machine and in every version, so that all who know the same nodes agree without a word.
#[must_use]
pub fn rendezvous(camera: CameraId, node: NodeId) -> u64 {
    let (camera_high, camera_low) = camera.uuid().as_u64_pair();
    let (node_high, node_low) = node.uuid().as_u64_pair();
    [camera_high, camera_low, node_high, node_low]
        .into_iter()
        .fold(0, |state, word| mix(state ^ word))
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output. What orders of
/// nodes are made of.
#[must_use]
pub fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn place(camera: u128, node: u128) -> u64 {
        rendezvous(Uuid::from_u128(camera).into(), Uuid::from_u128(node).into())
    }

    #[test]
    fn each_node_is_the_first_for_its_share_of_cameras() {
        let mut firsts = [0; 4];
        for camera in 0..4000 {
            let first = (0..4).min_by_key(|node| place(camera << 8, *node));
            firsts[first.expect("there are some") as usize] += 1;
        }
        for count in firsts {
            assert!((900..1100).contains(&count), "{firsts:?}");
        }
    }

    #[test]
    fn the_order_is_the_same_in_every_version() {
        let ids = (
            0x0190_f3c2_a1b2_7c3d_8e4f_5a6b_7c8d_9e0f,
            0x0190_f3c2_a1b2_7c3d_8e4f_5a6b_7c8d_9e10,
        );
        assert_eq!(place(ids.0, ids.1), 1_826_508_010_188_548_867);
    }
}
