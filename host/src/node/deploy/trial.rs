//! What this node has to say of the step of a roll-out.

use std::time::Duration;

use forebay_proto::{
    deploy::{Change, Probation, Report, Rollout, Verdict},
    ids::NodeName,
    names::{Claim, GlobalName},
};

use super::{Standings, standings::Standing};

/// New stages are not watched for long: nothing was there that could be worse now.
const NEW_WATCHED: Duration = Duration::from_secs(1);

/// A stage that has not begun yet is looked at again after this time, if nothing is heard of it before.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is known by now: `Ok` a report, `Err` how long to wait for more.
pub(super) type Found = Result<Report, Duration>;

/// Looks at all stages of the step that is being taken. `owner` tells who owns a name.
pub(super) fn look(
    rollout: &Rollout,
    node: &NodeName,
    name: impl Fn(&forebay_proto::ids::StageName) -> GlobalName,
    standings: &Standings,
    owner: impl Fn(&GlobalName) -> Option<Claim>,
) -> Found {
    let Some(step) = rollout.step() else { return Err(Duration::MAX) };
    let watch = match step.change {
        Change::Replace => rollout.canary,
        Change::Start | Change::Stop => rollout.canary.min(NEW_WATCHED),
    };
    let (mut here, mut wait) = (false, None);
    for stage in &step.stages {
        let name = name(stage);
        let standing = standings.get(&name);
        let found = match step.change {
            Change::Stop => standing.map_or(Ok(Report::Well), |_| Err(LOOK_AGAIN)),
            _ => judge(rollout.revision, watch, standing, owner(&name), node),
        };
        match found {
            Ok(Report::Failed(why)) => return Ok(Report::Failed(format!("{stage}: {why}"))),
            Ok(Report::Well) => here = true,
            Ok(Report::NotHere) => {}
            Err(again) => wait = Some(wait.unwrap_or(again).min(again)),
        }
    }
    match wait {
        Some(again) => Err(again),
        None => Ok(if here { Report::Well } else { Report::NotHere }),
    }
}

fn judge(revision: u64, watch: Duration, standing: Option<Standing>, owner: Option<Claim>, node: &NodeName) -> Found {
    // Its labels are not those of this node.
    let Some(standing) = standing else { return Ok(Report::NotHere) };
    if standing.revision != revision {
        // The former version is still ending.
        return Err(LOOK_AGAIN);
    }
    if let Some(why) = standing.failed {
        return Ok(Report::Failed(why));
    }
    if standing.is_global {
        match owner {
            Some(claim) if claim.node != *node => return Ok(Report::NotHere),
            // Whoever claims it says how it does.
            None => return Err(LOOK_AGAIN),
            Some(_) => {}
        }
    }
    let Some(ran) = standing.vitals.ran().filter(|_| standing.runs) else { return Err(LOOK_AGAIN) };
    let probation = Probation { watch, former: standing.former };
    match probation.verdict(ran, standing.vitals.meter()) {
        Verdict::Wait(again) => Err(again),
        Verdict::Well => Ok(Report::Well),
        Verdict::Failed(why) => Ok(Report::Failed(why)),
    }
}
