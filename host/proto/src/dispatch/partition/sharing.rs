//! Who holds which partition, and how one gets from a holder to the next without breaking its order.

use super::{Ledger, Parting, Partition, Reserved, SeqRun, SubId, Subs, Taker, route};

impl Partition {
    /// A subscription is to have a partition: at once if nobody has it, else as soon as its holder has acknowledged
    /// what it got of it.
    pub(super) fn give(&mut self, at: usize, sub: SubId, ledger: &mut Ledger, subs: &Subs) {
        let part = &mut self.parts[at];
        let holder = match part.holder {
            Some(holder) if holder != sub => holder,
            _ => return self.hand_over(at, sub, ledger),
        };
        if part.next.replace(sub).is_none() {
            let unacked = subs.get(&holder).map(|downstream| downstream.unacked().clone()).unwrap_or_default();
            let options = &self.options;
            let of_part = unacked.cut(|batch| route(options, batch)).into_iter();
            let of_part = of_part.filter(|(partition, _)| *partition == Some(at));
            self.parts[at].unacked = of_part.flat_map(|(_, events)| events.runs()).collect();
            self.take_out(holder, at);
        }
        self.move_if_released(at, ledger);
    }

    fn move_if_released(&mut self, at: usize, ledger: &mut Ledger) {
        let part = &self.parts[at];
        if let Some(next) = part.next.filter(|_| part.unacked.is_empty()) {
            self.hand_over(at, next, ledger);
        }
    }

    /// The holder has these no more.
    pub(super) fn count_released(&mut self, sub: SubId, run: SeqRun, ledger: &mut Ledger) {
        for at in 0..self.parts.len() {
            let part = &mut self.parts[at];
            if part.next.is_some() && part.holder == Some(sub) {
                part.unacked = part.unacked.iter().flat_map(|unacked| without(*unacked, run)).collect();
                self.move_if_released(at, ledger);
            }
        }
    }

    /// A subscription is over. What it held waits for it if it was lost, or is free.
    pub(super) fn leave(&mut self, sub: SubId, taker: &Taker, parting: Parting, ledger: &mut Ledger) {
        let until = (parting == Parting::Lost && !self.options.away.is_zero()).then(|| self.now + self.options.away);
        for at in 0..self.parts.len() {
            let part = &mut self.parts[at];
            if part.next == Some(sub) {
                part.next = None;
                part.unacked.clear();
                if let Some(holder) = part.holder.filter(|holder| *holder != sub) {
                    self.hand_over(at, holder, ledger);
                }
            } else if part.holder == Some(sub) {
                part.holder = None;
                part.unacked.clear();
                match part.next.take() {
                    Some(next) => self.hand_over(at, next, ledger),
                    None => {
                        let (consumer, instance) = (taker.consumer.clone(), taker.instance.clone());
                        part.reserved = until.map(|until| Reserved { consumer, instance, until });
                    }
                }
            }
        }
    }

    /// Shares out evenly what nobody has named, moving as little as possible.
    pub(super) fn share_out(&mut self, ledger: &mut Ledger, subs: &Subs) {
        let mut sharing: Vec<(SubId, Vec<usize>)> =
            self.takers.iter().filter(|(_, taker)| !taker.is_pinned).map(|(sub, _)| (*sub, Vec::new())).collect();
        if sharing.is_empty() {
            return;
        }
        let mut free = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            match part.next.or(part.holder) {
                Some(holder) => {
                    sharing.iter_mut().filter(|(sub, _)| *sub == holder).for_each(|(_, held)| held.push(at));
                }
                None if part.reserved.is_none() => free.push(at),
                None => {}
            }
        }
        let count = free.len() + sharing.iter().map(|(_, held)| held.len()).sum::<usize>();
        let (fair, left_over) = (count / sharing.len(), count % sharing.len());
        // Who has most keeps one of those that are left over.
        sharing.sort_by_key(|(sub, held)| (usize::MAX - held.len(), *sub));
        let fair = |place: usize| fair + usize::from(place < left_over);
        for (place, (_, held)) in sharing.iter_mut().enumerate() {
            free.extend(held.split_off(held.len().min(fair(place))));
        }
        free.sort_unstable();
        let mut free = free.into_iter();
        for (place, (sub, held)) in sharing.into_iter().enumerate() {
            let missing = fair(place) - held.len();
            free.by_ref().take(missing).for_each(|at| self.give(at, sub, ledger, subs));
        }
    }
}

/// What is left of `whole` without `part`.
fn without(whole: SeqRun, part: SeqRun) -> impl Iterator<Item = SeqRun> {
    let (from, to) = (part.first.clamp(whole.first, whole.end()), part.end().clamp(whole.first, whole.end()));
    let run = |first: crate::ids::Seq, end: crate::ids::Seq| {
        let count = u32::try_from(end.0.saturating_sub(first.0)).expect("no more than there were");
        (count > 0).then_some(SeqRun { first, count })
    };
    let halves = if from < to { [run(whole.first, from), run(to, whole.end())] } else { [Some(whole), None] };
    halves.into_iter().flatten()
}
