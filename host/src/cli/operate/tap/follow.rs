//! Following one stage, or one instance of it, from page to page and from owner to owner.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_proto::{
    batch::BatchLimits,
    stage::Role,
    taps::{About, Answer as Told, Counts, Entry, Follower, Heard, Kinds, Page},
    wire::{self, Frame},
};

use super::{super::something_else, Client};
use crate::{
    cli::Failure,
    node::admin::{
        Tap, Tapped,
        wire::{Answer, Request},
    },
    transport::FRAME_BYTES_MAX,
};

/// What is heard of a stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum News {
    /// A run of it is followed from now on, with a moment in between if there was one before.
    Began {
        /// `PIPELINE/STAGE`.
        stage: String,
        /// What it is.
        about: About,
    },
    /// Nobody can be asked now; it is tried again.
    Waits {
        /// Why.
        why: String,
    },
    /// So many events were missed.
    Missed(Counts),
    /// What comes next.
    Entry(Entry),
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Following {
    stage: String,
    /// The node that is meant; none: whoever owns the stage, or the node asked.
    on: Option<String>,
    /// None: what its role has.
    kinds: Option<Kinds>,
    follower: Follower,
    /// Who was heard last.
    node: String,
    /// What was said last of why nobody can be asked.
    waits: Option<String>,
}

impl Following {
    pub(super) fn new(stage: String, on: Option<String>, kinds: Option<Kinds>) -> Self {
        let node = on.clone().unwrap_or_default();
        Self { stage, on, kinds, follower: Follower::new(Kinds::NONE), node, waits: None }
    }

    /// The node that was heard last.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// Whether nobody could be asked.
    pub(super) fn is_waiting(&self) -> bool {
        self.waits.is_some()
    }

    /// What there is to hear.
    ///
    /// # Errors
    /// If nobody answers, or there is no such stage.
    pub(super) fn poll(&mut self, client: &Client, wait: Duration) -> Result<Vec<News>, Failure> {
        let (at, kinds) = self.follower.asks();
        let asked = Tap {
            stage: self.stage.clone(),
            node: self.on.clone(),
            kinds: kinds.bits(),
            run: at.run,
            next: at.next,
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        };
        match client.ask(Request::Tap(asked))? {
            Answer::Tapped(Tapped::NotThere(why)) => Ok(self.hear_of_none(why)),
            Answer::Tapped(Tapped::Page { node, stage, page }) => {
                let page = read(&page).ok_or_else(something_else)?;
                Ok(self.hear(node, &stage, page))
            }
            _ => Err(something_else()),
        }
    }

    /// Once for each reason.
    fn hear_of_none(&mut self, why: String) -> Vec<News> {
        if self.waits.as_ref() == Some(&why) {
            return Vec::new();
        }
        self.waits = Some(why.clone());
        vec![News::Waits { why }]
    }

    fn hear(&mut self, node: String, stage: &str, page: Page) -> Vec<News> {
        (self.node, self.waits) = (node, None);
        let mut news = Vec::new();
        for heard in self.follower.take(page) {
            news.push(match heard {
                Heard::Began(about) => {
                    let kinds = self.kinds.unwrap_or_else(|| by_role(about.role));
                    self.follower.want(kinds);
                    News::Began { stage: stage.to_owned(), about }
                }
                Heard::Missed(missed) => News::Missed(missed),
                Heard::Entry(entry) => News::Entry(entry),
            });
        }
        news
    }
}

/// What a stage does with events is what it emits, if it does.
fn by_role(role: Role) -> Kinds {
    match role {
        Role::Producer | Role::ProducerConsumer => Kinds::ANSWERED,
        Role::Consumer => Kinds::GIVEN,
    }
}

fn read(page: &str) -> Option<Page> {
    let frame = STANDARD.decode(page).ok()?.into();
    let limits = BatchLimits { events_max: u32::MAX, bytes_max: FRAME_BYTES_MAX };
    match wire::decode(&frame, &limits) {
        Ok(Frame::TapTold(Told::Page(page))) => Some(*page),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use forebay_proto::{ids::Epoch, pipeline::Limits, taps::Cursor};

    use super::*;

    fn page(run: u64, role: Role) -> Page {
        let (plugin, config) = ("sha256:0".to_owned(), "null".to_owned());
        let about = About { role, epoch: Epoch::from_u64(run), plugin, config, limits: Limits::default() };
        Page { at: Cursor { run, next: 0 }, about: Some(about), entries: Vec::new() }
    }

    #[test]
    fn what_is_wanted_follows_from_the_role_unless_it_is_said() {
        for (said, role, wanted) in [
            (None, Role::Producer, Kinds::ANSWERED),
            (None, Role::ProducerConsumer, Kinds::ANSWERED),
            (None, Role::Consumer, Kinds::GIVEN),
            (Some(Kinds::GIVEN), Role::ProducerConsumer, Kinds::GIVEN),
        ] {
            let mut following = Following::new("s".into(), None, said);
            assert_eq!(following.follower.asks().1, Kinds::NONE, "its role is not known");
            following.hear("a".into(), "p/s", page(7, role));
            assert_eq!(following.follower.asks(), (Cursor { run: 7, next: 0 }, wanted), "{role}");
        }
    }

    #[test]
    fn why_nobody_can_be_asked_is_said_once_until_somebody_was() {
        let mut following = Following::new("s".into(), None, None);
        let waits = |why: &str| vec![News::Waits { why: why.to_owned() }];
        assert_eq!(following.hear_of_none("nobody".into()), waits("nobody"));
        assert_eq!(following.hear_of_none("nobody".into()), []);
        assert!(following.is_waiting());
        following.hear("a".into(), "p/s", page(7, Role::Producer));
        assert!(!following.is_waiting());
        assert_eq!(following.hear_of_none("nobody".into()), waits("nobody"));
        let heard = following.hear("b".into(), "p/s", page(8, Role::Producer));
        assert!(matches!(&heard[..], [News::Began { about, .. }] if about.epoch == Epoch::from_u64(8)), "{heard:?}");
        assert_eq!(following.node(), "b");
    }
}
