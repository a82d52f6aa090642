//! The graph of subscriptions: stages in upstream order, or the cycle that prevents one.

/// An order of `0..edges.len()` in which everything in `edges[n]` comes before `n`; among those
/// that may come next, the lowest number.
///
/// # Errors
/// A cycle, each followed by one it needs, the first not repeated.
pub(super) fn upstream_order(edges: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut waits: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut wanted_by = vec![Vec::new(); edges.len()];
    for (consumer, producers) in edges.iter().enumerate() {
        for &producer in producers {
            wanted_by[producer].push(consumer);
        }
    }
    let mut ready: std::collections::BTreeSet<usize> = (0..edges.len()).filter(|&n| waits[n] == 0).collect();
    let mut order = Vec::with_capacity(edges.len());
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for &consumer in &wanted_by[next] {
            waits[consumer] -= 1;
            if waits[consumer] == 0 {
                ready.insert(consumer);
            }
        }
    }
    if order.len() == edges.len() { Ok(order) } else { Err(cycle(edges, &waits)) }
}

/// Follows unordered producers until one comes twice. Loops, as a chain may be as long as a file.
fn cycle(edges: &[Vec<usize>], waits: &[usize]) -> Vec<usize> {
    let mut seen_at = vec![None; edges.len()];
    let mut path = Vec::new();
    let mut here = waits.iter().position(|&count| count > 0).expect("not all are ordered, so one waits");
    loop {
        if let Some(start) = seen_at[here] {
            return path.split_off(start);
        }
        seen_at[here] = Some(path.len());
        path.push(here);
        let producer = edges[here].iter().find(|&&producer| waits[producer] > 0);
        here = *producer.expect("one that waits has a producer that waits");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_first_and_ties_keep_the_order_of_the_file() {
        assert_eq!(upstream_order(&[vec![1, 2], vec![], vec![1]]), Ok(vec![1, 2, 0]));
        assert_eq!(upstream_order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(upstream_order(&[]), Ok(vec![]));
    }

    #[test]
    fn a_cycle_is_shown_without_what_merely_hangs_on_it() {
        assert_eq!(upstream_order(&[vec![1], vec![2], vec![3], vec![1], vec![]]), Err(vec![1, 2, 3]));
    }

    #[test]
    fn a_chain_of_many_stages_needs_no_stack() {
        let count = 200_000;
        let chain: Vec<_> = (0..count).map(|n| if n + 1 < count { vec![n + 1] } else { vec![] }).collect();
        assert_eq!(upstream_order(&chain).unwrap()[0], count - 1);
        let ring: Vec<_> = (0..count).map(|n| vec![(n + 1) % count]).collect();
        assert_eq!(upstream_order(&ring).unwrap_err().len(), count);
    }
}
