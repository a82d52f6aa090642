//! Asking a node over the network, with an operator's keys.

use std::{
    cell::RefCell,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

use crate::{
    chain::chain,
    cli::{Exit, Failure},
    config::PeerAddr,
    node::admin::channel,
    transport::{
        ConnectError, Connection,
        identity::OperatorIdentity,
        quic::{OperatorClient, QuicOptions},
    },
};

/// How long connecting to one address may take: a first packet that is lost is sent again after 1 s, and 2 s after that.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A connection that was not used for so long is not used again: the node may have let it go after 10 s, since nothing
/// keeps it while no question is asked.
const KEPT_FOR: Duration = Duration::from_secs(3);

/// A node elsewhere. Connects when it is first asked, and anew after a pause.
#[derive(Debug)]
pub(in crate::cli) struct Remote {
    to: PeerAddr,
    identity: OperatorIdentity,
    runtime: Runtime,
    /// Taken while a question is asked; put back only after an answer.
    link: RefCell<Option<Link>>,
}

/// Drops the connection first: its end is then told before the socket goes.
#[derive(Debug)]
struct Link {
    connection: Box<dyn Connection>,
    used: Instant,
    client: OperatorClient,
}

/// Why there is no answer.
pub(in crate::cli) enum NoAnswer {
    /// Nothing was sent, and so nothing was done.
    NotConnected(Failure),
    /// The node may have done what it was asked to.
    Lost(Failure),
}

impl From<NoAnswer> for Failure {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::NotConnected(failure) | NoAnswer::Lost(failure) => failure,
        }
    }
}

impl Remote {
    /// # Errors
    /// If the keys in `identity` are not those of an operator, or not valid now.
    pub(in crate::cli) fn new(to: PeerAddr, identity: &Path) -> Result<Self, Failure> {
        let identity = OperatorIdentity::load(identity)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Software, "cannot start a runtime").because(error))?;
        Ok(Self { to, identity, runtime, link: RefCell::new(None) })
    }

    /// Where the node is.
    pub(super) fn to(&self) -> &PeerAddr {
        &self.to
    }

    /// Connects now, so that it is known whether that can be done.
    pub(in crate::cli) fn connect_now(&self) -> Result<(), Failure> {
        let link = self.runtime.block_on(self.connect())?;
        self.link.replace(Some(link));
        Ok(())
    }

    /// Asks a line, and returns the line that is answered within this time. Both without their ends.
    pub(in crate::cli) fn ask(&self, line: Vec<u8>, within: Duration) -> Result<Vec<u8>, NoAnswer> {
        let kept = self.link.take().filter(|link| link.used.elapsed() < KEPT_FOR);
        self.runtime.block_on(async {
            let mut link = match kept {
                Some(link) => link,
                None => self.connect().await.map_err(NoAnswer::NotConnected)?,
            };
            let answered = tokio::time::timeout(within, channel::ask(&*link.connection, line)).await;
            let lost = |text: String| NoAnswer::Lost(Failure::new(Exit::Unavailable, text));
            let to = &self.to;
            let answer = answered
                .map_err(|_| lost(format!("the node at {to} did not answer within {within:?}; is it paused?")))?
                .map_err(|error| lost(format!("the node at {to} gave no answer: {error}; see its log")))?;
            link.used = Instant::now();
            self.link.replace(Some(link));
            Ok(answer)
        })
    }

    /// To the first of its addresses that answers.
    async fn connect(&self) -> Result<Link, Failure> {
        let to = &self.to;
        let found = tokio::net::lookup_host(to.to_string()).await;
        let found = found.map_err(|error| {
            Failure::new(Exit::Unavailable, format!("cannot find the address of {to}")).because(error)
        })?;
        let mut failure = Failure::new(Exit::Unavailable, format!("{to} has no address"));
        for addr in found {
            match self.connect_to(addr).await {
                Ok(link) => return Ok(link),
                // Whoever sent us away is there, and has more to say than a machine that does not answer.
                Err(why) if failure.exit != Exit::Permission => failure = why,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    async fn connect_to(&self, addr: SocketAddr) -> Result<Link, Failure> {
        let options = QuicOptions { connect_timeout: CONNECT_WITHIN, ..QuicOptions::default() };
        let client = OperatorClient::bind(addr, self.identity.clone(), options)?;
        let connection = client.connect(addr).await.map_err(|error| self.not_connected(&error))?;
        Ok(Link { connection, used: Instant::now(), client })
    }

    fn not_connected(&self, error: &ConnectError) -> Failure {
        let to = &self.to;
        let why = chain(error);
        match error {
            ConnectError::Unreachable { .. } => Failure::new(
                Exit::Unavailable,
                format!("no node answers at {to}: {why}; start it, or give the address of one that runs"),
            ),
            ConnectError::Stranger { .. } | ConnectError::Revoked { .. } => Failure::new(Exit::Permission, why),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Else the node would hold the connection until it times out.
        if let Some(Link { client, connection, .. }) = self.link.take() {
            drop(connection);
            self.runtime.block_on(client.close());
        }
    }
}
