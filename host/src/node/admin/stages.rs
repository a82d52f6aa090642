//! What people order of stages that run, and what holds of each: demand, suspension, rate.

use forebay_proto::{
    names::GlobalName,
    orders::{By, Given, InForce, Ordered, StageOrder},
    pipeline::{self, Scope},
    producer::DemandMode,
    rate::RateLimit,
    stage::MAX_INSTANCES,
    wire::Agreement,
};
use serde::{Deserialize, Serialize};

use super::{Desk, ingest::Door, orders::unreached};
use crate::{registry::Registry, runtime::Role};

/// An order to a stage, or a question what holds of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// `PIPELINE/STAGE`, or `STAGE` where only one pipeline has such a stage.
    pub stage: String,
    /// What is ordered; none: nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Set>,
}

/// What is ordered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Set {
    /// The demand mode; none: as the pipeline file says.
    Demand(Option<Mode>),
    /// Whether the guest is given no events.
    Suspended(bool),
    /// `off`, `100/s`, or as the file has the key `rate_limit`; none: as the file says.
    RateLimit(Option<String>),
    /// How many instances of its plugin run on each of its nodes; none: as the file says.
    Instances(Option<u32>),
}

/// A demand mode, by its name in the pipeline file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Demand reaches the stage's plugin, and events leave
    Forward,
    /// Both wait
    Accumulate,
}

impl From<DemandMode> for Mode {
    fn from(mode: DemandMode) -> Self {
        match mode {
            DemandMode::Forward => Self::Forward,
            DemandMode::Accumulate => Self::Accumulate,
        }
    }
}

impl From<Mode> for DemandMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Forward => Self::Forward,
            Mode::Accumulate => Self::Accumulate,
        }
    }
}

/// What holds of a stage that people can change while it runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Holds {
    /// Its demand mode; none of a consumer.
    pub demand: Option<Setting<Mode>>,
    /// Who has suspended it; none: it is not.
    pub suspended: Option<OrderedBy>,
    /// How many events it handles in a time: `100/1s`, or `off`.
    pub rate_limit: Setting<String>,
    /// How many instances of its plugin run on each of its nodes.
    pub instances: Setting<u32>,
}

/// One setting of a stage.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Setting<T> {
    /// What holds.
    pub now: T,
    /// What the pipeline file says.
    pub file: T,
    /// Who ordered what holds; none: it is the file's.
    pub ordered: Option<OrderedBy>,
}

/// Who ordered something.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OrderedBy {
    /// The node that was asked.
    pub node: String,
    /// The operator, if it was asked over the network.
    pub operator: Option<String>,
    /// Unit: milliseconds since 1970.
    pub at_ms: u64,
}

/// What holds of one stage.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StageHolds {
    /// `PIPELINE/STAGE`.
    pub name: String,
    /// What holds of it.
    #[serde(flatten)]
    pub holds: Holds,
}

impl Holds {
    /// Of a stage of this role with these settings in its file.
    pub(in crate::node) fn new(role: Role, file: InForce, ordered: &Ordered) -> Self {
        let mode = |given: &Given<DemandMode>| Mode::from(given.value);
        let demand = setting(file.demand.into(), ordered.demand.as_ref(), mode);
        let rate = |given: &Given<Option<RateLimit>>| rate_text(given.value);
        Self {
            demand: (role != Role::Consumer).then_some(demand),
            suspended: ordered.suspended.as_ref().filter(|_| role != Role::Producer).map(OrderedBy::of),
            rate_limit: setting(rate_text(file.rate), ordered.rate.as_ref(), rate),
            instances: setting(file.instances, ordered.instances.as_ref(), |given| given.value),
        }
    }
}

fn setting<G, T: Clone>(file: T, ordered: Option<&Given<G>>, of: impl Fn(&Given<G>) -> T) -> Setting<T> {
    Setting { now: ordered.map_or_else(|| file.clone(), of), file, ordered: ordered.map(OrderedBy::of) }
}

impl OrderedBy {
    fn of<G>(Given { by, at_ms, .. }: &Given<G>) -> Self {
        let operator = by.operator.as_ref().map(ToString::to_string);
        Self { node: by.node.to_string(), operator, at_ms: *at_ms }
    }
}

fn rate_text(rate: Option<RateLimit>) -> String {
    rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string())
}

/// # Errors
/// With what was expected.
fn stage_order(set: Set) -> Result<StageOrder, String> {
    Ok(match set {
        Set::Demand(mode) => StageOrder::Demand(mode.map(DemandMode::from)),
        Set::Suspended(suspended) => StageOrder::Suspend(suspended),
        Set::RateLimit(None) => StageOrder::Rate(None),
        Set::RateLimit(Some(text)) => StageOrder::Rate(Some(pipeline::parse_rate(&text)?)),
        Set::Instances(Some(other)) if !(1..=MAX_INSTANCES).contains(&other) => {
            return Err(format!("a stage has 1 to {MAX_INSTANCES} instances on a node, not {other}"));
        }
        Set::Instances(instances) => StageOrder::Resize(instances),
    })
}

impl Desk {
    /// Carries an order to a stage out, wherever the stage runs; says what holds of it then.
    ///
    /// # Errors
    /// With the reason: there is no such stage, it cannot obey, or the group cannot be reached.
    ///
    /// # Cancel safety
    /// It may be carried out all the same.
    pub async fn order_stage(&self, Order { stage, set }: Order) -> Result<StageHolds, String> {
        let (name, door) = self.doors.find(&stage)?;
        let registry = self.registry()?;
        let mut ordered = registry.ordered(&name);
        let order = set.map(stage_order).transpose()?;
        if let Some(order) = order {
            let order = order.beside(door.file);
            order.check_role(door.role).map_err(|why| format!("{name} cannot obey: {why}"))?;
            if let (StageOrder::Resize(Some(2..)), Some(why)) = (order, door.only_one) {
                return Err(format!("{name} cannot obey: it has one instance, as {why}"));
            }
            self.is_in_reach(&name, &door, &*registry)?;
            let by = By { node: self.letters.node().clone(), operator: self.operator.clone() };
            let ordering = registry.order_stage(&name, by.clone(), order);
            ordering.await.map_err(|why| match registry.as_quorum() {
                Some(quorum) => unreached(&quorum.report(), why),
                None => why,
            })?;
            // Not asked for: a follower hears of it a moment later.
            ordered.obey(crate::wall::now_ms(), by, order);
        }
        Ok(StageHolds { name: name.to_string(), holds: Holds::new(door.role, door.file, &ordered) })
    }

    /// On islands nobody hears of an order but who was given it.
    fn is_in_reach(&self, name: &GlobalName, door: &Door, registry: &dyn Registry) -> Result<(), String> {
        let own = self.letters.node();
        if registry.agreement() == Agreement::Quorum {
            return Ok(());
        }
        let owner = match door.scope {
            Scope::Global => registry.lookup(name).map(|claim| claim.node),
            Scope::Node => door.runs_here.then(|| own.clone()),
        };
        match owner {
            Some(owner) if owner == *own => Ok(()),
            Some(owner) => Err(format!(
                "{name} is owned by {owner}, and with `agreement = \"islands\"` a stage obeys only the node that it \
                 runs on; ask {owner}"
            )),
            None => Err(format!(
                "{name} does not run on {own} just now, and with `agreement = \"islands\"` a stage obeys only the \
                 node that it runs on; ask that one"
            )),
        }
    }
}
