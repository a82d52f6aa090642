//! Does what a fault is, and proves that it bit.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{kind::Kind, schedule::Plan, targets::Roles};
use crate::{
    clients::Probe,
    cluster::{Cluster, ClusterError, was_killed},
    net::{Counts, Link, Trouble},
};

/// How often a full disk is filled up again, as a node frees some room itself.
const FILL_AGAIN: Duration = Duration::from_millis(20);

/// What a fault is going to strike.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) victim: usize,
    pub(crate) links: BTreeSet<Link>,
}

impl Target {
    /// Chooses by who is what. None if nobody is in the role that the fault is about.
    pub(crate) fn choose(plan: &Plan, roles: &Roles) -> Option<Self> {
        let victim = roles.victim(plan.kind, plan.pick)?;
        Some(Self { victim, links: roles.links(plan.kind, victim, plan.pick) })
    }

    /// The nodes it is done to: for links, those at whose side there is less than half of the cluster.
    pub(crate) fn nodes(&self, kind: Kind, cluster: &Cluster) -> BTreeSet<usize> {
        let all = || (0..cluster.len()).collect();
        match kind {
            Kind::Shatter
            | Kind::Loss
            | Kind::Delay
            | Kind::Duplicate
            | Kind::PowerAll
            | Kind::RollingRestart
            | Kind::FullAll => all(),
            Kind::CutOwner | Kind::CutOther => {
                let reached = |node: &usize| !self.links.contains(&(self.victim, *node));
                (0..cluster.len()).filter(reached).collect()
            }
            Kind::NonTransitive => self.links.iter().map(|(from, _)| *from).collect(),
            _ => BTreeSet::from([self.victim]),
        }
    }
}

/// Whether a fault had an effect, in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Bite {
    Bit(String),
    DidNot(String),
}

impl Bite {
    fn of(bit: bool, text: String) -> Self {
        if bit { Self::Bit(text) } else { Self::DidNot(text) }
    }
}

/// Strikes, holds for as long as planned, and takes the fault back.
pub(crate) fn strike(
    cluster: &mut Cluster,
    plan: &Plan,
    target: &Target,
    recovery: Duration,
) -> Result<Bite, ClusterError> {
    let delay = Trouble { delay: plan.delay, jitter: plan.delay / 2, ..Trouble::default() };
    match plan.kind {
        Kind::KillOwner | Kind::KillLeader | Kind::KillOther => kill(cluster, &[target.victim], plan.hold),
        Kind::PowerAll => kill(cluster, &(0..cluster.len()).collect::<Vec<_>>(), plan.hold),
        Kind::PowerOwner => {
            cluster.network.set(&target.links, Trouble::CUT);
            let bite = kill(cluster, &[target.victim], plan.hold);
            cluster.network.heal();
            bite
        }
        Kind::StopOwner | Kind::StopLeader | Kind::StopOther => stop(cluster, target.victim, plan.hold),
        Kind::CutOwner | Kind::CutOther | Kind::Shatter | Kind::Mute | Kind::Deaf | Kind::NonTransitive => {
            disturb(cluster, target, Trouble::CUT, plan.hold)
        }
        Kind::Loss => disturb(cluster, target, Trouble { loss: plan.share, ..Trouble::default() }, plan.hold),
        Kind::Delay => disturb(cluster, target, delay, plan.hold),
        Kind::Duplicate => disturb(cluster, target, Trouble { duplicate: plan.share, ..delay }, plan.hold),
        Kind::RollingRestart => restart_each(cluster, recovery),
        Kind::FullOwner | Kind::FullLeader => fill(cluster, &[target.victim], plan.hold),
        Kind::FullAll => fill(cluster, &(0..cluster.len()).collect::<Vec<_>>(), plan.hold),
    }
}

/// Fills the disks of these, and makes room again after a while. Each must refuse events meanwhile, with the figures.
fn fill(cluster: &mut Cluster, victims: &[usize], hold: Duration) -> Result<Bite, ClusterError> {
    let until = Instant::now() + hold;
    let mut refused = BTreeMap::new();
    let filled = fill_until(cluster, victims, until, &mut refused);
    for victim in victims {
        cluster.disk(*victim)?.clear()?;
    }
    filled?;
    let names: Vec<_> = refused.keys().map(|victim| cluster.name(*victim)).collect();
    let (count, last) = (victims.len(), refused.values().last().map_or("", String::as_str));
    let text = format!("of {count} nodes these took nothing: [{}]; {last}", names.join(", "));
    Ok(Bite::of(refused.len() == count, text))
}

fn fill_until(
    cluster: &mut Cluster,
    victims: &[usize],
    until: Instant,
    refused: &mut BTreeMap<usize, String>,
) -> Result<(), ClusterError> {
    let data = cluster.data();
    let mut probes: Vec<_> = victims.iter().map(|victim| (*victim, Probe::of(&data[*victim]))).collect();
    while Instant::now() < until {
        for victim in victims {
            cluster.disk(*victim)?.fill()?;
        }
        cluster.hear_until((Instant::now() + FILL_AGAIN).min(until))?;
        for (victim, probe) in &mut probes {
            if !refused.contains_key(victim) {
                refused.extend(probe.refusal(cluster.inlet()).map(|why| (*victim, why)));
            }
        }
    }
    Ok(())
}

/// Kills these at once, and starts them again after a while.
fn kill(cluster: &mut Cluster, victims: &[usize], hold: Duration) -> Result<Bite, ClusterError> {
    let until = Instant::now() + hold;
    let mut deaths = Vec::new();
    for victim in victims {
        let id = cluster.process_id(*victim);
        let was_killed = cluster.kill(*victim)?.is_some_and(was_killed);
        deaths.push((was_killed, id));
    }
    cluster.hear_until(until)?;
    for victim in victims {
        cluster.start(*victim)?;
    }
    for victim in victims {
        cluster.wait_for_listening(*victim)?;
    }
    let ids: Vec<_> = deaths.iter().filter_map(|(_, id)| id.map(|id| id.to_string())).collect();
    let all = deaths.iter().all(|(was_killed, _)| *was_killed);
    Ok(Bite::of(all, format!("SIGKILL ended {}", ids.join(", "))))
}

/// Stops a process where it is, and lets it go on after a while.
fn stop(cluster: &mut Cluster, victim: usize, hold: Duration) -> Result<Bite, ClusterError> {
    let began = Instant::now();
    cluster.pause(victim)?;
    let heard = cluster.hear_until(began + hold);
    let was_stopped = cluster.is_paused(victim);
    let lasted = began.elapsed();
    // Also when something else went wrong: a stopped process could not end in good order.
    cluster.resume(victim)?;
    heard?;
    Ok(Bite::of(was_stopped && lasted >= hold, format!("state T for {:.1} s", lasted.as_secs_f64())))
}

/// Gives links a trouble, and makes them perfect again after a while.
fn disturb(cluster: &mut Cluster, target: &Target, trouble: Trouble, hold: Duration) -> Result<Bite, ClusterError> {
    let before = cluster.network.counts(&target.links);
    cluster.network.set(&target.links, trouble);
    let heard = cluster.hear_until(Instant::now() + hold);
    cluster.network.heal();
    heard?;
    let after = cluster.network.counts(&target.links);
    let counts: Vec<_> = after.iter().zip(before).map(|((_, after), (_, before))| after.since(before)).collect();
    Ok(bite_of_links(trouble, &counts))
}

/// A cut or a delay is to be felt on every link; what strikes by chance, on one at least.
fn bite_of_links(trouble: Trouble, counts: &[Counts]) -> Bite {
    let links = counts.len();
    let mut sum = Counts::default();
    for link in counts {
        sum += *link;
    }
    if trouble.cut {
        let silent = counts.iter().filter(|link| link.cut == 0).count();
        let text = format!("{} packets cut on {links} links, none on {silent} of them", sum.cut);
        return Bite::of(silent == 0 && links > 0, text);
    }
    let chance = [(trouble.loss, sum.lost, "lost"), (trouble.duplicate, sum.duplicated, "doubled")];
    for (share, count, word) in chance {
        if share > 0.0 {
            return Bite::of(count > 0, format!("{count} of {} packets {word} on {links} links", sum.packets));
        }
    }
    let idle = counts.iter().filter(|link| link.delayed == 0).count();
    let text = format!("{} packets delayed on {links} links, none on {idle} of them", sum.delayed);
    Bite::of(idle == 0 && links > 0, text)
}

/// SIGTERM and a new start of one node after the other, each when all is well again.
fn restart_each(cluster: &mut Cluster, recovery: Duration) -> Result<Bite, ClusterError> {
    let mut ended = Vec::new();
    for node in 0..cluster.len() {
        let status = cluster.end(node)?;
        ended.push(status.is_some_and(|status| status.success()));
        cluster.start(node)?;
        cluster.wait_for_listening(node)?;
        cluster.wait_for_recovery(Instant::now(), recovery)?;
    }
    let count = ended.iter().filter(|success| **success).count();
    Ok(Bite::of(count == cluster.len(), format!("{count} nodes ended with 0 after SIGTERM")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_that_no_packet_met_did_not_bite() {
        let felt = Counts { packets: 5, cut: 5, ..Counts::default() };
        let idle = Counts::default();
        assert_eq!(
            bite_of_links(Trouble::CUT, &[felt, felt]),
            Bite::Bit("10 packets cut on 2 links, none on 0 of them".to_owned())
        );
        assert_eq!(
            bite_of_links(Trouble::CUT, &[felt, idle]),
            Bite::DidNot("5 packets cut on 2 links, none on 1 of them".to_owned())
        );
        assert!(matches!(bite_of_links(Trouble::CUT, &[]), Bite::DidNot(_)));
    }

    #[test]
    fn loss_and_duplication_bite_when_they_met_one_packet() {
        let loss = Trouble { loss: 0.1, ..Trouble::default() };
        let duplicate = Trouble { duplicate: 0.1, ..Trouble::default() };
        let lossy = Counts { packets: 9, lost: 1, ..Counts::default() };
        assert_eq!(
            bite_of_links(loss, &[lossy, Counts::default()]),
            Bite::Bit("1 of 9 packets lost on 2 links".to_owned())
        );
        assert!(matches!(bite_of_links(duplicate, &[lossy]), Bite::DidNot(_)));
    }

    #[test]
    fn a_delay_bites_when_every_link_felt_it() {
        let delay = Trouble { delay: Duration::from_millis(20), ..Trouble::default() };
        let slow = Counts { packets: 3, delayed: 3, ..Counts::default() };
        assert!(matches!(bite_of_links(delay, &[slow, slow]), Bite::Bit(_)));
        assert!(matches!(bite_of_links(delay, &[slow, Counts::default()]), Bite::DidNot(_)));
    }
}
