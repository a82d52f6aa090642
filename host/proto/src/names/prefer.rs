//! Which node should own a name: rendezvous hashing (Thaler and Ravishankar, 1998).

use super::GlobalName;
use crate::ids::NodeName;

/// The candidates, most preferred first. Every node comes to the same order from the same candidates,
/// names spread evenly, and a node that comes or goes changes nothing among the others.
pub fn preference<'a>(name: &GlobalName, candidates: impl IntoIterator<Item = &'a NodeName>) -> Vec<&'a NodeName> {
    let mut ranked: Vec<_> = candidates.into_iter().collect();
    ranked.sort_by_key(|node| std::cmp::Reverse((weight(name, node), *node)));
    ranked
}

/// Whether `node` goes before `other` in the order of [`preference`]: so that one's place can be counted without
/// sorting.
pub(super) fn is_preferred(name: &GlobalName, node: &NodeName, other: &NodeName) -> bool {
    (weight(name, node), node) > (weight(name, other), other)
}

/// FNV-1a over the three names, then mixed: FNV alone barely changes its upper bits at the end.
/// Nodes of different releases must agree, so this never changes.
fn weight(name: &GlobalName, node: &NodeName) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let texts = [name.pipeline.as_str(), name.stage.as_str(), node.as_str()];
    for byte in texts.iter().flat_map(|text| text.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<NodeName> {
        (0..5).map(|n| format!("n{n}").parse().unwrap()).collect()
    }

    fn name(n: u32) -> GlobalName {
        GlobalName { pipeline: "p".parse().unwrap(), stage: format!("s{n}").parse().unwrap() }
    }

    #[test]
    fn names_spread_over_the_nodes() {
        let nodes = nodes();
        let mut counts = [0u32; 5];
        for n in 0..1000 {
            let first = preference(&name(n), &nodes)[0];
            counts[nodes.iter().position(|node| node == first).unwrap()] += 1;
        }
        assert!(counts.iter().all(|&count| (140..=260).contains(&count)), "{counts:?}");
    }

    #[test]
    fn a_node_that_goes_moves_only_its_own_names() {
        let nodes = nodes();
        for n in 0..100 {
            let before = preference(&name(n), &nodes);
            let after = preference(&name(n), nodes.iter().filter(|node| **node != nodes[2]));
            let kept: Vec<_> = before.into_iter().filter(|node| **node != nodes[2]).collect();
            assert_eq!(kept, after);
        }
    }
}
