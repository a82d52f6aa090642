//! What people have ordered of stages that run: each order stands above the pipeline file until it is taken back.
//!
//! As with Kafka's dynamic configuration, a later file does not undo an order: who has suspended a stage, or slowed it
//! down, in the middle of an incident is not overruled by a deployment that somebody else makes. An order goes with its
//! stage: once a deployment has taken the stage away, nothing is left of it.
//!
//! ```text
//!   the file's key  --------------------+
//!                                       +--> what holds of the stage
//!   the order, if there is one  --------+    (the order, else the file)
//! ```

use std::{collections::BTreeMap, fmt};

use crate::{
    ids::{NodeName, OperatorName, PipelineName, StageName},
    names::GlobalName,
    pipeline,
    producer::DemandMode,
    rate::RateLimit,
    stage::Role,
};

/// Of how many stages orders may stand: each is kept until it is taken back.
pub const ORDERED_MAX: usize = 10_000;

/// Who ordered something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct By {
    /// The node that was asked.
    pub node: NodeName,
    /// The operator who asked over the network; `None`: somebody on the node's machine.
    pub operator: Option<OperatorName>,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operator {
            Some(operator) => write!(f, "{operator} at {}", self.node),
            None => write!(f, "at {}", self.node),
        }
    }
}

/// One thing that was ordered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Given<T> {
    /// What.
    pub value: T,
    /// By whom.
    pub by: By,
    /// Unit: milliseconds since 1970.
    pub at_ms: u64,
}

/// What is ordered of one stage. `None`: what the pipeline file says holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ordered {
    /// Whether demand reaches its guest (GenStage's `demand/2`).
    pub demand: Option<Given<DemandMode>>,
    /// Its guest is given no events, and none are asked for.
    pub suspended: Option<Given<()>>,
    /// How many events it handles in a time (Broadway's `update_rate_limiting`); `None` inside: as many as it can.
    pub rate: Option<Given<Option<RateLimit>>>,
    /// How many instances of its plugin run on each of its nodes.
    pub instances: Option<Given<u32>>,
}

/// An order: it changes one thing and leaves the others as they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StageOrder {
    /// Hold demand back or let it through; `None`: as the file says.
    Demand(Option<DemandMode>),
    /// Give the guest no more events, or give them again.
    Suspend(bool),
    /// No more events than this in a time, `Some(None)`: as many as it can; `None`: as the file says.
    Rate(Option<Option<RateLimit>>),
    /// So many instances of its plugin on each of its nodes, from 1 to [`MAX_INSTANCES`](crate::stage::MAX_INSTANCES); `None`: as the file says.
    Resize(Option<u32>),
}

impl Ordered {
    /// Whether nothing is ordered.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Carries an order out. The same order again leaves by whom and when it was given first.
    pub fn obey(&mut self, at_ms: u64, by: By, order: StageOrder) {
        match order {
            StageOrder::Demand(value) => replace(&mut self.demand, value, by, at_ms),
            StageOrder::Suspend(value) => replace(&mut self.suspended, value.then_some(()), by, at_ms),
            StageOrder::Rate(value) => replace(&mut self.rate, value, by, at_ms),
            StageOrder::Resize(value) => replace(&mut self.instances, value, by, at_ms),
        }
    }

    /// What holds of a stage with these settings.
    pub fn in_force(&self, settings: &pipeline::Stage) -> InForce {
        InForce {
            demand: self.demand.as_ref().map_or(settings.demand, |given| given.value),
            suspended: self.suspended.is_some(),
            rate: self.rate.as_ref().map_or(settings.rate_limit, |given| given.value),
            instances: self.instances.as_ref().map_or(settings.concurrency.instances, |given| given.value),
        }
    }
}

fn replace<T: PartialEq>(standing: &mut Option<Given<T>>, value: Option<T>, by: By, at_ms: u64) {
    if standing.as_ref().map(|given| &given.value) != value.as_ref() {
        *standing = value.map(|value| Given { value, by, at_ms });
    }
}

/// What holds of a stage: what was ordered, and else what its file says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InForce {
    /// Whether demand reaches its guest. Of no consequence for a consumer.
    pub demand: DemandMode,
    /// Whether its guest is given no events. Of no consequence for a producer.
    pub suspended: bool,
    /// How many events it handles in a time.
    pub rate: Option<RateLimit>,
    /// How many instances of its plugin run on each of its nodes. Of no consequence for one that can have but one.
    pub instances: u32,
}

impl StageOrder {
    /// The order that says this of a stage with these settings. What the file says already is no order: it takes back
    /// what was ordered, so that a later file is heeded.
    pub fn beside(self, settings: InForce) -> Self {
        match self {
            Self::Demand(Some(mode)) if mode == settings.demand => Self::Demand(None),
            Self::Rate(Some(rate)) if rate == settings.rate => Self::Rate(None),
            Self::Resize(Some(instances)) if instances == settings.instances => Self::Resize(None),
            order => order,
        }
    }

    /// Whether a stage of this role can obey.
    ///
    /// # Errors
    /// With the reason, and what to do instead.
    pub fn check_role(self, role: Role) -> Result<(), &'static str> {
        match (self, role) {
            (Self::Demand(_), Role::Consumer) => Err("it is a consumer: nobody demands anything of it; to have it \
                                                      process nothing, suspend it with `forebay suspend`"),
            (Self::Suspend(_), Role::Producer) => {
                Err("it is a producer: it consumes nothing that could be suspended; \
                                                       to hold back what is asked of it, use `forebay demand`")
            }
            _ => Ok(()),
        }
    }
}

/// What is ordered of all stages.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OrderBook(BTreeMap<GlobalName, Ordered>);

impl OrderBook {
    /// What is ordered of one stage.
    pub fn of(&self, name: &GlobalName) -> Ordered {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// All stages of which something is ordered.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&GlobalName, &Ordered)> {
        self.0.iter()
    }

    /// Whether an order of one more stage is taken, if it is of none of which something is ordered already.
    ///
    /// # Errors
    /// With the reason.
    pub fn has_room(&self, name: &GlobalName) -> Result<(), String> {
        match self.0.len() < ORDERED_MAX || self.0.contains_key(name) {
            true => Ok(()),
            false => Err(format!("orders of {ORDERED_MAX} stages stand, and no more are taken; take some back first")),
        }
    }

    /// Carries an order out.
    ///
    /// # Errors
    /// As of [`OrderBook::has_room`].
    pub fn obey(&mut self, name: GlobalName, at_ms: u64, by: By, order: StageOrder) -> Result<(), String> {
        self.has_room(&name)?;
        let ordered = self.0.entry(name.clone()).or_default();
        ordered.obey(at_ms, by, order);
        if ordered.is_nothing() {
            self.0.remove(&name);
        }
        Ok(())
    }

    /// Forgets what is ordered of stages of a pipeline that are none of these.
    pub fn retain(&mut self, pipeline: &PipelineName, is_there: impl Fn(&StageName) -> bool) {
        self.0.retain(|name, _| name.pipeline != *pipeline || is_there(&name.stage));
    }

    /// Stages of which something else is ordered in `other`.
    pub fn differences(&self, other: &Self) -> Vec<GlobalName> {
        let names = self.0.keys().chain(other.0.keys());
        let mut names: Vec<_> = names.filter(|name| self.0.get(name) != other.0.get(name)).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn restore(orders: Vec<(GlobalName, Ordered)>) -> Self {
        Self(orders.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(stage: &str) -> GlobalName {
        GlobalName { pipeline: "p".parse().unwrap(), stage: stage.parse().unwrap() }
    }

    fn by(node: &str) -> By {
        By { node: node.parse().unwrap(), operator: None }
    }

    fn per_second(events: u32) -> RateLimit {
        RateLimit { events, per: Duration::from_secs(1) }
    }

    fn settings(text: &str) -> pipeline::Stage {
        let text = format!("name = \"p\"\n[stages.s]\nplugin = \"native\"\n{text}");
        pipeline::Pipeline::parse(&text, "p.toml").unwrap().stages()[0].clone()
    }

    #[test]
    fn an_order_stands_above_the_file_until_it_is_taken_back() {
        let file = settings("demand = \"accumulate\"\nrate_limit = { events = 5 }");
        let mut ordered = Ordered::default();
        let rate = Some(per_second(5));
        let said = InForce { demand: DemandMode::Accumulate, suspended: false, rate, instances: 1 };
        assert_eq!(ordered.in_force(&file), said);
        ordered.obey(1, by("a"), StageOrder::Demand(Some(DemandMode::Forward)));
        ordered.obey(2, by("a"), StageOrder::Rate(Some(None)));
        ordered.obey(3, by("b"), StageOrder::Suspend(true));
        ordered.obey(3, by("b"), StageOrder::Resize(Some(4)));
        let all = InForce { demand: DemandMode::Forward, suspended: true, rate: None, instances: 4 };
        assert_eq!(ordered.in_force(&file), all);
        assert_eq!(ordered.in_force(&settings("rate_limit = { events = 9 }")), all, "whatever a later file says");
        ordered.obey(4, by("b"), StageOrder::Demand(None));
        ordered.obey(5, by("b"), StageOrder::Rate(None));
        ordered.obey(6, by("b"), StageOrder::Suspend(false));
        ordered.obey(7, by("b"), StageOrder::Resize(None));
        assert!(ordered.is_nothing());
        assert_eq!(ordered.in_force(&file), said);
    }

    #[test]
    fn the_same_order_again_keeps_who_gave_it_first_and_another_does_not() {
        let mut ordered = Ordered::default();
        ordered.obey(1, by("a"), StageOrder::Suspend(true));
        ordered.obey(2, by("b"), StageOrder::Suspend(true));
        assert_eq!(ordered.suspended, Some(Given { value: (), by: by("a"), at_ms: 1 }));
        ordered.obey(3, by("a"), StageOrder::Rate(Some(Some(per_second(5)))));
        ordered.obey(4, by("b"), StageOrder::Rate(Some(Some(per_second(6)))));
        assert_eq!(ordered.rate, Some(Given { value: Some(per_second(6)), by: by("b"), at_ms: 4 }));
    }

    #[test]
    fn what_the_file_says_already_takes_an_order_back() {
        let file = Ordered::default().in_force(&settings("rate_limit = { events = 5 }"));
        let rate = |rate| StageOrder::Rate(Some(rate)).beside(file);
        assert_eq!(rate(Some(per_second(5))), StageOrder::Rate(None));
        assert_eq!(rate(None), StageOrder::Rate(Some(None)));
        assert_eq!(StageOrder::Demand(Some(DemandMode::Forward)).beside(file), StageOrder::Demand(None));
        let resize = |instances| StageOrder::Resize(Some(instances));
        assert_eq!([resize(1), resize(2)].map(|order| order.beside(file)), [StageOrder::Resize(None), resize(2)]);
        let accumulate = StageOrder::Demand(Some(DemandMode::Accumulate));
        assert_eq!(accumulate.beside(file), accumulate);
    }

    #[test]
    fn a_role_obeys_what_it_can() {
        let demand = StageOrder::Demand(None);
        assert!(demand.check_role(Role::Consumer).unwrap_err().contains("`forebay suspend`"));
        assert!(StageOrder::Suspend(true).check_role(Role::Producer).unwrap_err().contains("`forebay demand`"));
        for role in [Role::Producer, Role::ProducerConsumer, Role::Consumer] {
            assert_eq!(StageOrder::Rate(None).check_role(role), Ok(()));
        }
        assert_eq!(demand.check_role(Role::ProducerConsumer), Ok(()));
        assert_eq!(StageOrder::Suspend(true).check_role(Role::Consumer), Ok(()));
    }

    #[test]
    fn a_book_keeps_what_is_ordered_and_no_more_than_it_may() {
        let mut book = OrderBook::default();
        let suspend = |book: &mut OrderBook, stage: &str| book.obey(name(stage), 1, by("a"), StageOrder::Suspend(true));
        for number in 0..ORDERED_MAX {
            suspend(&mut book, &format!("s{number}")).unwrap();
        }
        assert!(suspend(&mut book, "more").unwrap_err().starts_with("orders of 10000 stages stand"));
        assert_eq!(suspend(&mut book, "s1"), Ok(()), "it is known");
        let before = book.clone();
        book.obey(name("s1"), 2, by("a"), StageOrder::Suspend(false)).unwrap();
        assert_eq!(book.differences(&before), [name("s1")]);
        assert_eq!(suspend(&mut book, "more"), Ok(()));
        book.retain(&"other".parse().unwrap(), |_| false);
        assert_eq!(book.iter().len(), ORDERED_MAX);
        book.retain(&"p".parse().unwrap(), |stage| stage.as_str() == "more");
        assert_eq!(book.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), [name("more")]);
    }
}
