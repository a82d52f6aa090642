//! Making a group of one out of what a stopped member has, when the others are gone for good.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use forebay_proto::ids::NodeName;

use super::{
    DATABASE, Directory, Files, Runner, SNAPSHOTS, Storage, StoreError,
    database::Write,
    files::{create_directory, sync_directory},
    open_database,
    snapshot::Snapshots,
    spare::Spare,
};
use crate::registry::raft::types::{
    LeaderId, LogId, Machine, MemberId, Membership, Named, Payload, Snapshot, SnapshotMeta, StoredMembership, Vote,
};

/// A store was not recovered. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The old store cannot be read.
    #[error(transparent)]
    Old(#[from] StoreError),
    /// There is nothing to recover from.
    #[error("{} holds no state of a group", .0.display())]
    Empty(PathBuf),
    /// The machine does not take what the old store holds.
    #[error("the last snapshot is refused: {0}")]
    Refused(String),
    /// The new store cannot be written.
    #[error("{} cannot be written", path.display())]
    Disk {
        /// Which file or directory.
        path: PathBuf,
        /// What the disk says.
        #[source]
        source: io::Error,
    },
}

/// What a recovery did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recovered {
    /// Where the old store is now.
    pub old: PathBuf,
    /// The index of the last command that the new state has.
    pub last_index: u64,
    /// How many entries of them nobody had told this member to be agreed on.
    pub unconfirmed: u64,
    /// Who were members, by the last membership that this store knows.
    pub members: Vec<(MemberId, NodeName)>,
}

/// What a stopped member's store holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Survey {
    /// The index of the last command.
    pub last_index: u64,
    /// How many entries of the log nobody had told this member to be agreed on.
    pub unconfirmed: u64,
    /// Who votes, by the last membership that this store knows.
    pub voters: Vec<(MemberId, NodeName)>,
}

/// Brings `machine` to the state that [`recover`] would go on with, and changes nothing, but that a
/// recovery which was interrupted by a loss of power is finished.
///
/// Blocks.
///
/// # Errors
/// See [`RecoverError`].
pub fn survey(directory: &Path, machine: &mut impl Machine) -> Result<Survey, RecoverError> {
    finish_half(directory)?;
    let old = read_old(directory, machine)?;
    Ok(Survey { last_index: old.last.index, unconfirmed: old.unconfirmed, voters: old.voters })
}

/// Rewrites a stopped member's store as that of a group whose only voter is `member`, called `node`.
///
/// The state is the last snapshot and *every* entry of the log after it: also those of which this member
/// never heard that they are agreed on, for the others may have told somebody so before they were lost.
/// `machine` is brought to that state, `edit` may change it, and it becomes the first snapshot of the new
/// store. The old directory is kept beside, as `NAME.before-recovery-N`.
///
/// Whoever was a member before must never come back under its old number: it does not know of this.
///
/// Blocks. When it is interrupted, [`Storage::Directory`] refuses to open until it has run again.
///
/// # Errors
/// See [`RecoverError`]; the old store is in its place then.
pub fn recover<M: Machine>(
    directory: &Path,
    member: MemberId,
    node: &NodeName,
    machine: &mut M,
    edit: impl FnOnce(&mut M),
) -> Result<Recovered, RecoverError> {
    recover_with(directory, member, node, machine, edit, |_| Ok(()))
}

/// As [`recover`]; `complete` adds what else belongs into the new directory, before it gets its name.
///
/// # Errors
/// As [`recover`].
pub fn recover_with<M: Machine>(
    directory: &Path,
    member: MemberId,
    node: &NodeName,
    machine: &mut M,
    edit: impl FnOnce(&mut M),
    complete: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<Recovered, RecoverError> {
    finish_half(directory)?;
    let old = read_old(directory, machine)?;
    edit(machine);
    let fresh = beside(directory, "recovering");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(disk(&fresh))?;
    }
    write_new(&fresh, member, node, &old, machine.snapshot())?;
    complete(&fresh).map_err(disk(&fresh))?;
    let kept = free_name(directory);
    fs::rename(directory, &kept).map_err(disk(directory))?;
    put_in_place(&fresh, directory)?;
    let Old { last, unconfirmed, members, .. } = old;
    Ok(Recovered { old: kept, last_index: last.index, unconfirmed, members })
}

struct Old {
    /// The last entry.
    last: LogId,
    term: u64,
    unconfirmed: u64,
    members: Vec<(MemberId, NodeName)>,
    voters: Vec<(MemberId, NodeName)>,
}

fn read_old(directory: &Path, machine: &mut impl Machine) -> Result<Old, RecoverError> {
    if !directory.join(DATABASE).exists() {
        return Err(RecoverError::Empty(directory.to_owned()));
    }
    // Closed again at the end: two of them cannot have the file open.
    let (_database, contents, files) = Storage::Directory(directory.to_owned()).parts()?;
    let snapshots = Snapshots::open(files.clone(), Runner::Inline)?;
    super::covers(&snapshots, &contents, &*files).map_err(StoreError::from)?;
    let snapshot = snapshots.last();
    let mut membership = Membership::default();
    let (mut last, mut unconfirmed) = (None, 0);
    if let Some(Snapshot { meta, snapshot }) = snapshot {
        machine.restore(&snapshot).map_err(RecoverError::Refused)?;
        last = meta.last_log_id;
        membership = meta.last_membership.membership().clone();
    }
    let first = last.map_or(0, |last| last.index + 1);
    for (index, entry) in contents.entries.range(first..) {
        match &entry.payload {
            Payload::Blank => {}
            Payload::Normal(command) => drop(machine.apply(*index, &command.0)),
            Payload::Membership(changed) => membership = changed.clone(),
        }
        last = Some(entry.log_id);
        unconfirmed += u64::from(contents.committed.is_none_or(|committed| committed < entry.log_id));
    }
    let last = last.ok_or_else(|| RecoverError::Empty(directory.to_owned()))?;
    let voted = contents.vote.map_or(0, |vote| vote.leader_id.term);
    let named = |(member, node): (&u64, &Named)| (MemberId(*member), node.0.clone());
    let members: Vec<_> = membership.nodes().map(named).collect();
    let voting: Vec<_> = membership.voter_ids().collect();
    let voters = members.iter().filter(|(member, _)| voting.contains(&member.0)).cloned().collect();
    Ok(Old { last, term: voted.max(last.leader_id.term), unconfirmed, members, voters })
}

/// As if a new leader had agreed with itself on one more entry, which nobody else ever saw.
fn write_new(path: &Path, member: MemberId, node: &NodeName, old: &Old, state: Vec<u8>) -> Result<(), RecoverError> {
    let leader_id = LeaderId { term: old.term + 1, node_id: member.0 };
    let last = LogId { leader_id, index: old.last.index + 1 };
    let membership = Membership::new(
        vec![[member.0].into()],
        [(member.0, Named(node.clone()))].into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    )
    .expect("the only voter is a member");
    let meta = SnapshotMeta { last_log_id: Some(last), last_membership: StoredMembership::new(Some(last), membership) };
    let failed = disk(path);
    create_directory(path).map_err(&failed)?;
    let files: Arc<dyn Files> = Arc::new(Directory::open(&path.join(SNAPSHOTS)).map_err(&failed)?);
    Snapshots::open(files, Runner::Inline)?.save_now(Snapshot { meta, snapshot: state.into() }).map_err(&failed)?;
    let (database, _) = open_database(path, &Arc::new(Spare::take(path)))?;
    let writes = [
        Write::Member(member.0),
        Write::Vote(Vote { leader_id, committed: false }),
        Write::Committed(Some(last)),
        Write::Purge(last),
    ];
    database.commit(&writes.iter().collect::<Vec<_>>()).map_err(&failed)
}

fn disk(path: &Path) -> impl Fn(io::Error) -> RecoverError + use<> {
    let path = path.to_owned();
    move |source| RecoverError::Disk { path: path.clone(), source }
}

fn beside(directory: &Path, what: &str) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    directory.with_file_name(name)
}

fn free_name(directory: &Path) -> PathBuf {
    let names = (1_u64..).map(|number| beside(directory, &format!("before-recovery-{number}")));
    names.into_iter().find(|path| !path.exists()).expect("numbers do not run out")
}

fn put_in_place(fresh: &Path, directory: &Path) -> Result<(), RecoverError> {
    fs::rename(fresh, directory).map_err(disk(directory))?;
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_directory(parent).map_err(disk(parent))
}

/// Power was lost between the two renames: the new store is whole, and only its name is missing.
fn finish_half(directory: &Path) -> Result<(), RecoverError> {
    let fresh = beside(directory, "recovering");
    match !directory.exists() && fresh.exists() {
        true => put_in_place(&fresh, directory),
        false => Ok(()),
    }
}

/// # Errors
/// [`StoreError::HalfRecovered`]: a new and empty store here would forget everything.
pub(super) fn refuse_half(directory: &Path) -> Result<(), StoreError> {
    let fresh = beside(directory, "recovering");
    match !directory.exists() && fresh.exists() {
        true => Err(StoreError::HalfRecovered { place: fresh.display().to_string() }),
        false => Ok(()),
    }
}
