//! Exit codes (those of sysexits.h, and one of `diff`'s), and which of our errors ends in which.

use std::{error::Error, fmt, io, process::ExitCode};

use forebay_author::{AuthorError, rust::BuildError};
use forebay_proto::pipeline::ManifestError;

use crate::{
    chain::chain,
    config::ConfigError,
    dlq, inbox,
    node::RoleError,
    runtime::{LoadError, wasm::SetupError},
    transport::{identity::IdentityError, quic::BindError},
};

/// How the process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Done, and what was compared differs, as with `diff`.
    Different = 1,
    /// Wrong usage.
    Usage = 64,
    /// A pipeline file or a plugin is not what it should be.
    Data = 65,
    /// A file to read is missing.
    NoInput = 66,
    /// Something needed is not available: a toolchain, an address in use.
    Unavailable = 69,
    /// A stage gave up, or a bug of Forebay.
    Software = 70,
    /// A file or socket cannot be made.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// A stage refused what it was asked.
    Refused = 76,
    /// Not permitted.
    Permission = 77,
    /// Bad configuration.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code for an error of the system while something was read or made.
    pub(super) fn of_io(error: &io::Error, otherwise: Self) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoInput,
            io::ErrorKind::PermissionDenied => Self::Permission,
            _ => otherwise,
        }
    }
}

/// Why a command failed, for the person who gave it. Shown as the message and its causes.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    message: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure in words of its own.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), cause: None }
    }

    /// Adds what caused it.
    pub fn because(self, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Box::new(cause)), ..self }
    }

    /// For a file that could not be read.
    pub fn reading(path: &std::path::Path, error: io::Error) -> Self {
        Self::new(Exit::of_io(&error, Exit::Io), format!("cannot read {}", path.display())).because(error)
    }

    pub(super) fn of(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        Self::new(exit, chain(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.cause {
            Some(cause) => write!(f, ": {}", chain(&**cause)),
            None => Ok(()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::of(Exit::Config, &error)
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        Self::of(Exit::Data, &error)
    }
}

impl From<dlq::OpenError> for Failure {
    fn from(error: dlq::OpenError) -> Self {
        Self::of(Exit::Io, &error)
    }
}

impl From<RoleError> for Failure {
    fn from(error: RoleError) -> Self {
        Self::of(Exit::Data, &error)
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let exit = match &error {
            LoadError::Read { source, .. } => Exit::of_io(source, Exit::Io),
            LoadError::NotAPlugin { .. } | LoadError::Refused { .. } | LoadError::UnknownBuiltin { .. } => Exit::Data,
        };
        Self::of(exit, &error)
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let exit = match &error {
            SetupError::Engine(_) => Exit::Unavailable,
            SetupError::Cache { source, .. } => Exit::of_io(source, Exit::CannotCreate),
        };
        Self::of(exit, &error)
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        let exit = match &error {
            BindError::InUse { .. } => Exit::Unavailable,
            BindError::NotAllowed { .. } => Exit::Permission,
            _ => Exit::CannotCreate,
        };
        Self::of(exit, &error)
    }
}

impl From<inbox::OpenError> for Failure {
    fn from(error: inbox::OpenError) -> Self {
        let exit = match &error {
            inbox::OpenError::InUse { .. } => Exit::Unavailable,
            inbox::OpenError::Disk { source, .. } => Exit::of_io(source, Exit::Io),
            inbox::OpenError::Damaged { .. } | inbox::OpenError::Version { .. } => Exit::Io,
        };
        Self::of(exit, &error)
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        Self::of(Exit::Config, &error)
    }
}

impl From<AuthorError> for Failure {
    fn from(error: AuthorError) -> Self {
        let exit = match &error {
            AuthorError::Usage(_) => Exit::Usage,
            AuthorError::NoProject { .. } => Exit::NoInput,
            AuthorError::Manifest { .. } | AuthorError::Source { .. } => Exit::Data,
            AuthorError::Failed { .. } | AuthorError::Component { .. } => Exit::Data,
            AuthorError::Missing { .. } => Exit::Unavailable,
            AuthorError::File { source, .. } => Exit::of_io(source, Exit::Io),
            AuthorError::Cargo(BuildError::NoManifest { .. } | BuildError::NoPackage { .. }) => Exit::NoInput,
            AuthorError::Cargo(
                BuildError::NotCdylib { .. } | BuildError::Metadata { .. } | BuildError::Failed { .. },
            ) => Exit::Data,
            AuthorError::Cargo(_) => Exit::Unavailable,
        };
        Self::of(exit, &error)
    }
}
