//! One plugin file with its signature: read when both are quiet, and told when it is something new.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    time::Instant,
};

use bytes::Bytes;
use forebay_proto::{
    blob::{BLOB_BYTES_MAX, Digest},
    ids::NameError,
};
use sha2::{Digest as _, Sha256};

use crate::{
    Drop, Options, SIGNATURE_BYTES_MAX, Why,
    file::{Identity, Look, ReadError, read_whole},
    history::{History, Sign},
    names::{Part, plugin_name, signature_of},
    writers::has_writer,
};

/// How a component begins: version 13 of the binary format, in the layer of components.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
/// How a core module begins: version 1, layer 0.
const CORE_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

#[derive(Debug)]
pub(crate) struct Plugin {
    name: Result<String, NameError>,
    code: File,
    signature: File,
    /// What was given last.
    found: Option<(Digest, Option<String>)>,
}

/// One of the two files.
#[derive(Debug)]
struct File {
    path: PathBuf,
    history: History,
    /// What was said of it last, and of which contents if they were read.
    unusable: Option<(Why, Option<Digest>)>,
}

/// Why a plugin was not dealt with, or why a part of it is not used.
enum Halt {
    /// A file is not as it was seen: the plugin waits.
    Waits,
    /// The watching ends.
    Stopped,
    Unusable(Why, Option<Digest>),
}

/// The watching ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped;

impl Plugin {
    /// A plugin of which nothing is known but what is in the folder.
    pub(crate) fn unknown(file: &OsStr, path: impl Fn(&OsStr) -> PathBuf, now: Instant) -> Self {
        let part = |file: OsString| {
            let path = path(&file);
            let history = History::unknown(Look::at(&path), now);
            File { path, history, unusable: None }
        };
        let (code, signature) = (part(file.to_owned()), part(signature_of(file)));
        Self { name: plugin_name(file), code, signature, found: None }
    }

    pub(crate) fn on(&mut self, part: Part, sign: Sign, now: Instant) {
        self.part(part).history.on(sign, now);
    }

    /// To be called after the last of several [`Plugin::on`].
    pub(crate) fn look(&mut self, part: Part) {
        let file = self.part(part);
        file.history.look(Look::at(&file.path));
    }

    fn part(&mut self, part: Part) -> &mut File {
        match part {
            Part::Code => &mut self.code,
            Part::Signature => &mut self.signature,
        }
    }

    /// Events may have been lost.
    pub(crate) fn look_again(&mut self, now: Instant) {
        for file in [&mut self.code, &mut self.signature] {
            file.history.look_again(Look::at(&file.path), now);
        }
    }

    /// When to [`Plugin::judge`] it, unless something happens before: both parts have to be quiet, so that a plugin
    /// and its signature that are replaced together come together.
    pub(crate) fn due(&self, options: &Options) -> Option<Instant> {
        if self.code.history.is_written() || self.signature.history.is_written() {
            return None;
        }
        self.code.history.due(options).max(self.signature.history.due(options))
    }

    /// Whether it may be forgotten, since there is nothing of it.
    pub(crate) fn is_nothing(&self) -> bool {
        let missing = |file: &File| file.history.seen().identity.is_none();
        self.found.is_none() && missing(&self.code) && missing(&self.signature)
    }

    /// Reads the files that were quiet, and says what is new. Called when due.
    pub(crate) fn judge(
        &mut self,
        options: &Options,
        now: Instant,
        go_on: &mut impl FnMut() -> bool,
    ) -> Result<Vec<Drop>, Stopped> {
        let mut drops = Vec::new();
        match self.read(options, now, go_on, &mut drops) {
            Ok(found) => {
                self.code.unusable = None;
                drops.extend(found.and_then(|(bytes, signature)| self.tell(bytes, signature)));
            }
            Err(Halt::Waits) => return Ok(drops),
            Err(Halt::Stopped) => return Err(Stopped),
            Err(Halt::Unusable(why, digest)) => drops.extend(self.code.tell(why, digest)),
        }
        self.code.history.settled();
        self.signature.history.settled();
        Ok(drops)
    }

    /// The plugin and its signature as they are; nothing when there is no plugin.
    fn read(
        &mut self,
        options: &Options,
        now: Instant,
        go_on: &mut impl FnMut() -> bool,
        drops: &mut Vec<Drop>,
    ) -> Result<Option<(Bytes, Option<String>)>, Halt> {
        for file in [&mut self.code, &mut self.signature] {
            file.still_quiet(options, now)?;
        }
        let Some(seen) = self.code.history.seen().identity else {
            drops.extend(self.gone());
            return Ok(None);
        };
        self.name.clone().map_err(|error| Halt::Unusable(Why::Name(error), None))?;
        let signature = self.read_signature(now, go_on, drops)?;
        let too_long = |bytes| Why::TooLong { bytes };
        let bytes = self.code.read(&seen, BLOB_BYTES_MAX, too_long, now, go_on)?;
        match check(&bytes) {
            Ok(()) => Ok(Some((bytes, signature))),
            Err(why) => Err(Halt::Unusable(why, Some(digest_of(&bytes)))),
        }
    }

    /// What cannot be used counts as no signature; it is said.
    fn read_signature(
        &mut self,
        now: Instant,
        go_on: &mut impl FnMut() -> bool,
        drops: &mut Vec<Drop>,
    ) -> Result<Option<String>, Halt> {
        let file = &mut self.signature;
        let Some(seen) = file.history.seen().identity else {
            file.unusable = None;
            return Ok(None);
        };
        let too_long = |bytes| Why::SignatureTooLong { bytes };
        let text = file.read(&seen, SIGNATURE_BYTES_MAX, too_long, now, go_on).and_then(|bytes| {
            let not_text = |_| Halt::Unusable(Why::SignatureNotText, Some(digest_of(&bytes)));
            String::from_utf8(bytes.to_vec()).map_err(not_text)
        });
        match text {
            Ok(text) => {
                file.unusable = None;
                Ok(Some(text))
            }
            Err(Halt::Unusable(why, digest)) => {
                drops.extend(file.tell(why, digest));
                Ok(None)
            }
            Err(halt) => Err(halt),
        }
    }

    /// What was read, unless it is what was given last.
    fn tell(&mut self, bytes: Bytes, signature: Option<String>) -> Option<Drop> {
        let digest = digest_of(&bytes);
        let name = self.name.clone().ok()?;
        let found = Some((digest, signature.clone()));
        if self.found == found {
            return None;
        }
        self.found = found;
        Some(Drop::Found { name, path: self.code.path.clone(), bytes, digest, signature })
    }

    fn gone(&mut self) -> Option<Drop> {
        self.code.unusable = None;
        self.found.take()?;
        self.name.clone().ok().map(|name| Drop::Gone { name })
    }
}

impl File {
    /// Whether the file is what it was after its last event, and nobody is seen writing it.
    fn still_quiet(&mut self, options: &Options, now: Instant) -> Result<(), Halt> {
        let (look, seen) = (Look::at(&self.path), self.history.seen().identity);
        if look.identity != seen {
            self.history.doubt(look, now);
            return Err(Halt::Waits);
        }
        if options.ask_for_writers && seen.is_some_and(|file| file.regular && has_writer(&file)) {
            self.history.wait_for_writer(now);
            return Err(Halt::Waits);
        }
        Ok(())
    }

    fn read(
        &mut self,
        seen: &Identity,
        bytes_max: u64,
        too_long: impl Fn(u64) -> Why,
        now: Instant,
        go_on: &mut impl FnMut() -> bool,
    ) -> Result<Bytes, Halt> {
        if !seen.regular {
            return Err(Halt::Unusable(Why::NotRegular, None));
        }
        if seen.bytes > bytes_max {
            return Err(Halt::Unusable(too_long(seen.bytes), None));
        }
        read_whole(&self.path, seen, go_on).map_err(|error| match error {
            ReadError::Stopped => Halt::Stopped,
            ReadError::Unreadable(kind) => Halt::Unusable(Why::Unreadable(kind), None),
            ReadError::Changed => {
                self.history.doubt(Look::at(&self.path), now);
                Halt::Waits
            }
        })
    }

    /// That it cannot be used, unless that was said.
    fn tell(&mut self, why: Why, digest: Option<Digest>) -> Option<Drop> {
        let unusable = Some((why.clone(), digest));
        if self.unusable == unusable {
            return None;
        }
        self.unusable = unusable;
        Some(Drop::Unusable { path: self.path.clone(), why })
    }
}

fn check(bytes: &[u8]) -> Result<(), Why> {
    match bytes.get(..8) {
        _ if bytes.is_empty() => Err(Why::Empty),
        Some(start) if *start == COMPONENT => Ok(()),
        Some(start) if *start == CORE_MODULE => Err(Why::CoreModule),
        _ => Err(Why::NotComponent),
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}
