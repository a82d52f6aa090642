//! One machine of a cluster: a runtime of its own with a paused clock, and on it a node's process.
//!
//! A process that is killed loses its runtime, and with it all its tasks where they stand. One that is paused is
//! not run, while its socket goes on filling; when it goes on, its clock has moved by as much as everybody's, and
//! all its timers fire at once. So both are what SIGKILL, SIGSTOP and SIGCONT do to a process.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use forebay::{
    config::PeerAddr,
    inbox::LocalStore,
    node::{AgreementOptions, Node, NodeControl, NodeExit, NodeOptions, Tracer},
    registry::{
        Clock,
        quorum::{Home, MemoryHome, QuorumOptions},
    },
    transport::{
        Transport,
        identity::NodeIdentity,
        quic::{
            Quic, QuicOptions,
            simulated::{SimulatedMachine, SimulatedNetwork},
        },
    },
};
use forebay_check::Agreement;
use forebay_proto::ids::{BootId, NodeName};
use forebay_trace::Collector;
use tokio::{runtime::Runtime, task::JoinHandle};

use crate::{
    growth::{Counted, Tally},
    load::Load,
    story::{Story, What},
};

/// What all machines of a cluster share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) network: SimulatedNetwork,
    pub(crate) story: Story,
    pub(crate) agreement: Agreement,
    pub(crate) load: Arc<dyn Load>,
    /// What crosses the edges of nodes and stages, of all nodes.
    pub(crate) trace: Collector,
    pub(crate) addrs: Vec<SocketAddr>,
    /// Where what nodes send is counted, if anywhere.
    pub(crate) tally: Option<Arc<Tally>>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: NodeName,
    pub(crate) addr: SocketAddr,
    identity: NodeIdentity,
    labels: BTreeSet<String>,
    /// What the node keeps, through the deaths of its processes.
    disk: Arc<MemoryHome>,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    machine: SimulatedMachine,
    control: NodeControl,
    node: JoinHandle<NodeExit>,
    is_paused: bool,
    /// Taken when it ends.
    runtime: Option<Runtime>,
}

impl Machine {
    pub(crate) fn new(name: NodeName, addr: SocketAddr, identity: NodeIdentity, labels: BTreeSet<String>) -> Self {
        Self { name, addr, identity, labels, disk: Arc::default(), process: None }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Whatever the node kept is lost.
    pub(crate) fn wipe(&mut self) {
        self.disk = Arc::default();
    }

    /// Starts the node's process at `now`.
    ///
    /// # Errors
    /// If the node cannot be made, which is a mistake of this test bed.
    pub(crate) fn start(&mut self, now: Duration, boot: BootId, site: &Site) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let context = runtime.enter();
        let machine = SimulatedMachine::new(&site.network, self.addr, now);
        let quic = Quic::on_machine(&machine, self.identity.clone(), QuicOptions::default())?;
        let quic: Arc<dyn Transport> = Arc::new(quic);
        let transport = match &site.tally {
            Some(tally) => Arc::new(Counted::new(quic, Arc::clone(tally))),
            None => quic,
        };
        let mut node = Node::start(self.options(boot, &machine, transport, site)?);
        let control = node.control();
        let node = tokio::spawn(async move { node.wait().await });
        drop(context);
        site.story.tell(What::Boot { node: self.name.clone(), boot });
        self.process = Some(Process { machine, control, node, is_paused: false, runtime: Some(runtime) });
        Ok(())
    }

    fn options(
        &self,
        boot: BootId,
        machine: &SimulatedMachine,
        transport: Arc<dyn Transport>,
        site: &Site,
    ) -> anyhow::Result<NodeOptions> {
        let tracer = Tracer::in_process(&self.name, boot, machine.beginning(), site.trace.clone()).with_serials();
        let others = site.addrs.iter().filter(|addr| **addr != self.addr);
        let join = others.map(|addr| addr.to_string().parse::<PeerAddr>()).collect::<Result<_, _>>();
        Ok(NodeOptions {
            name: self.name.clone(),
            boot,
            transport,
            join: join.context("the address of a machine")?,
            join_after: Duration::ZERO,
            advertise: None,
            agreement: self.agreement(machine, site),
            labels: self.labels.clone(),
            settle: Duration::from_secs(1),
            ping_interval: Duration::from_millis(100),
            ping_misses: 5,
            drain_timeout: Duration::from_secs(5),
            inboxes: LocalStore::in_memory(self.name.clone()),
            pipelines: vec![site.load.pipeline(boot)?],
            dead_letters: forebay::dlq::DeadLetters::in_memory(forebay::dlq::Bounds::default()),
            blobs: None,
            loader: None,
            plugins: None,
            observer: Arc::new(site.story.clone()),
            until_finished: false,
            tracer,
        })
    }

    fn agreement(&self, machine: &SimulatedMachine, site: &Site) -> AgreementOptions {
        match site.agreement {
            Agreement::Islands => AgreementOptions::Islands,
            Agreement::Quorum => {
                let mut options = QuorumOptions::new(Home::Memory(Arc::clone(&self.disk)));
                options.expect = u16::try_from(site.addrs.len()).unwrap_or(u16::MAX);
                options.clock = Clock::Tokio(machine.beginning());
                AgreementOptions::Quorum(options)
            }
        }
    }

    /// Lets the process run until `now`. Says whether it has ended by itself.
    pub(crate) fn run_until(&mut self, now: Duration) -> bool {
        let Some(process) = self.process.as_mut().filter(|process| !process.is_paused) else { return false };
        process.run_until(now);
        process.node.is_finished()
    }

    /// Kills the process at once.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP.
    pub(crate) fn pause(&mut self) {
        if let Some(process) = &mut self.process {
            process.is_paused = true;
        }
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, now: Duration) {
        if let Some(process) = self.process.as_mut().filter(|process| process.is_paused) {
            process.is_paused = false;
            process.jump_to(now);
        }
    }

    /// Tells the node to end in good order.
    pub(crate) fn drain(&self) {
        if let Some(process) = &self.process {
            process.control.drain();
        }
    }

    /// What the node said at its end; `None` if it panicked.
    pub(crate) fn take_exit(&mut self) -> Option<NodeExit> {
        let process = self.process.take().filter(|process| process.node.is_finished())?;
        process.exit()
    }
}

impl Process {
    fn run_until(&self, now: Duration) {
        if let Some(runtime) = &self.runtime {
            let end = self.machine.instant(now);
            runtime.block_on(async { tokio::time::sleep_until(end).await });
        }
    }

    fn jump_to(&self, now: Duration) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(async { tokio::time::advance(now.saturating_sub(self.machine.now())).await });
        }
    }

    fn exit(mut self) -> Option<NodeExit> {
        let runtime = self.runtime.as_ref()?;
        runtime.block_on(&mut self.node).ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Without waiting: what still blocks a thread is none of a killed process's business.
            runtime.shutdown_background();
        }
    }
}
