//! What each directed link between two nodes does to a packet, and what it did so far.

use std::{collections::BTreeSet, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// A directed link: from the node with the first index to that with the second.
pub(crate) type Link = (usize, usize);

/// What is wrong with a link. The default is a perfect one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Trouble {
    /// Nothing passes.
    pub(crate) cut: bool,
    /// The share of packets that vanish, 0 to 1.
    pub(crate) loss: f64,
    /// The share of packets that arrive twice, 0 to 1.
    pub(crate) duplicate: f64,
    /// How long a packet is under way, in the mean.
    pub(crate) delay: Duration,
    /// By how much that is more or less, evenly distributed; so packets overtake each other.
    pub(crate) jitter: Duration,
}

impl Trouble {
    /// A link on which nothing passes.
    pub(crate) const CUT: Self =
        Self { cut: true, loss: 0.0, duplicate: 0.0, delay: Duration::ZERO, jitter: Duration::ZERO };
}

/// What became of the packets of a link. All but `packets` are parts of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    /// Packets that were sent into it.
    pub(crate) packets: u64,
    /// Of these, dropped as it was cut.
    pub(crate) cut: u64,
    /// Of these, lost by chance.
    pub(crate) lost: u64,
    /// Of these, delivered twice.
    pub(crate) duplicated: u64,
    /// Of these, held back for a time.
    pub(crate) delayed: u64,
}

impl Counts {
    /// What came since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets - before.packets,
            cut: self.cut - before.cut,
            lost: self.lost - before.lost,
            duplicated: self.duplicated - before.duplicated,
            delayed: self.delayed - before.delayed,
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.cut += other.cut;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.delayed += other.delayed;
    }
}

/// When the copies of a packet arrive, counted from now: none, one or two.
pub(crate) type Arrivals = [Option<Duration>; 2];

/// All directed links between some nodes.
#[derive(Debug)]
pub(crate) struct Links {
    nodes: usize,
    trouble: Vec<Trouble>,
    counts: Vec<Counts>,
    random: SmallRng,
}

impl Links {
    pub(crate) fn new(nodes: usize, seed: u64) -> Self {
        Self {
            nodes,
            trouble: vec![Trouble::default(); nodes * nodes],
            counts: vec![Counts::default(); nodes * nodes],
            random: SmallRng::seed_from_u64(seed),
        }
    }

    fn index(&self, (from, to): Link) -> usize {
        assert!(from < self.nodes && to < self.nodes, "no link {from}>{to} between {} nodes", self.nodes);
        from * self.nodes + to
    }

    /// Gives these links this trouble, instead of what they had.
    pub(crate) fn set(&mut self, links: &BTreeSet<Link>, trouble: Trouble) {
        for link in links {
            let index = self.index(*link);
            self.trouble[index] = trouble;
        }
    }

    /// Makes all links perfect again.
    pub(crate) fn heal(&mut self) {
        self.trouble.fill(Trouble::default());
    }

    /// What this link did so far.
    pub(crate) fn counts(&self, link: Link) -> Counts {
        self.counts[self.index(link)]
    }

    /// Decides about one packet, and counts it.
    pub(crate) fn pass(&mut self, link: Link) -> Arrivals {
        let index = self.index(link);
        let trouble = self.trouble[index];
        let counts = &mut self.counts[index];
        counts.packets += 1;
        if trouble.cut {
            counts.cut += 1;
            return [None, None];
        }
        if self.random.random_bool(trouble.loss) {
            counts.lost += 1;
            return [None, None];
        }
        if !trouble.delay.is_zero() {
            counts.delayed += 1;
        }
        let twice = self.random.random_bool(trouble.duplicate);
        counts.duplicated += u64::from(twice);
        [Some(self.delay(trouble)), twice.then(|| self.delay(trouble))]
    }

    fn delay(&mut self, trouble: Trouble) -> Duration {
        if trouble.jitter.is_zero() {
            return trouble.delay;
        }
        let most = trouble.delay + trouble.jitter;
        let least = trouble.delay.saturating_sub(trouble.jitter);
        self.random.random_range(least..=most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = (0, 1);

    fn with(trouble: Trouble) -> Links {
        let mut links = Links::new(3, 7);
        links.set(&BTreeSet::from([LINK]), trouble);
        links
    }

    #[test]
    fn a_perfect_link_passes_everything_at_once() {
        let mut links = Links::new(3, 1);
        for _ in 0..100 {
            assert_eq!(links.pass((2, 0)), [Some(Duration::ZERO), None]);
        }
        assert_eq!(links.counts((2, 0)), Counts { packets: 100, ..Counts::default() });
        assert_eq!(links.counts((0, 2)), Counts::default());
    }

    #[test]
    fn a_cut_is_one_way_and_ends_when_healed() {
        let mut links = with(Trouble::CUT);
        assert_eq!(links.pass((0, 1)), [None, None]);
        assert_eq!(links.pass((1, 0)), [Some(Duration::ZERO), None]);
        links.heal();
        assert_eq!(links.pass((0, 1)), [Some(Duration::ZERO), None]);
        assert_eq!(links.counts((0, 1)), Counts { packets: 2, cut: 1, ..Counts::default() });
    }

    #[test]
    fn loss_and_duplication_keep_to_their_shares() {
        let mut links = with(Trouble { loss: 0.2, duplicate: 0.1, ..Trouble::default() });
        let copies: usize = (0..10_000).map(|_| links.pass(LINK).iter().flatten().count()).sum();
        let counts = links.counts(LINK);
        assert!((1_800..2_200).contains(&counts.lost), "{counts:?}");
        assert!((650..950).contains(&counts.duplicated), "10 % of the 8,000 that were left: {counts:?}");
        assert_eq!(copies as u64, counts.packets - counts.lost + counts.duplicated);
    }

    #[test]
    fn a_delay_stays_within_its_jitter() {
        let (delay, jitter) = (Duration::from_millis(50), Duration::from_millis(20));
        let mut links = with(Trouble { delay, jitter, ..Trouble::default() });
        let delays: Vec<_> = (0..1_000).filter_map(|_| links.pass(LINK)[0]).collect();
        assert!(delays.iter().all(|it| (delay - jitter..=delay + jitter).contains(it)));
        assert!(delays.iter().any(|it| *it < delay) && delays.iter().any(|it| *it > delay));
        assert_eq!(links.counts(LINK).delayed, 1_000);
    }

    #[test]
    fn the_same_seed_decides_the_same() {
        let trouble = Trouble { loss: 0.5, duplicate: 0.5, ..Trouble::default() };
        let decide = || {
            let mut links = with(trouble);
            (0..100).map(|_| links.pass(LINK)).collect::<Vec<_>>()
        };
        assert_eq!(decide(), decide());
    }

    #[test]
    fn counts_are_told_since_a_moment() {
        let mut links = with(Trouble::CUT);
        links.pass(LINK);
        let before = links.counts(LINK);
        links.pass(LINK);
        links.pass(LINK);
        assert_eq!(links.counts(LINK).since(before), Counts { packets: 2, cut: 2, ..Counts::default() });
    }
}
