//! The thread that watches: waits for events and for files to become quiet, and hands out what is new.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use crate::{
    Drop, Options,
    folder::{Events, Folder},
    names::part_of,
    plugin::{Plugin, Stopped},
};

/// How often is looked whether the folder is still, or again, what is under its path: nothing tells when a folder
/// above it is moved.
const BEAT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Watcher {
    folder: Folder,
    options: Options,
    drops: mpsc::Sender<Drop>,
    /// Closed by the other side to stop the thread.
    stopped: UnixStream,
    /// By the names of their files.
    plugins: BTreeMap<OsString, Plugin>,
    next_beat: Instant,
}

impl Watcher {
    pub(crate) fn new(folder: Folder, options: Options, drops: mpsc::Sender<Drop>, stopped: UnixStream) -> Self {
        Self { folder, options, drops, stopped, plugins: BTreeMap::new(), next_beat: Instant::now() + BEAT }
    }

    /// Returns when the other side is gone.
    pub(crate) fn run(mut self) {
        self.look_at_all();
        // One file at a time: what happened while it was read is taken before another is judged.
        while self.judge_next().is_ok() {
            self.wait();
            self.take_events();
            self.beat();
        }
    }

    /// Until there are events, a file is due, or the other side is gone.
    fn wait(&self) {
        let due = self.plugins.values().filter_map(|plugin| plugin.due(&self.options)).min();
        let until = due.unwrap_or(self.next_beat).min(self.next_beat);
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or_default();
        let mut fds = vec![PollFd::new(&self.stopped, PollFlags::IN)];
        fds.extend(self.folder.events_fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        // When a signal ends it, or the system has no memory for it, the loop comes here again.
        let _ = poll(&mut fds, Some(&timeout));
    }

    fn take_events(&mut self) {
        let now = Instant::now();
        let (plugins, folder) = (&mut self.plugins, &mut self.folder);
        let mut signs = Vec::new();
        let events = folder.take_events(|file, sign| signs.extend(part_of(&file).map(|part| (part, sign))));
        let mut touched = BTreeSet::new();
        for ((file, part), sign) in signs {
            let plugin = plugins
                .entry(file.clone())
                .or_insert_with_key(|file| Plugin::unknown(file, |name| folder.file(name), now));
            plugin.on(part, sign, now);
            touched.insert((file, part));
        }
        for (file, part) in touched {
            plugins.entry(file).and_modify(|plugin| plugin.look(part));
        }
        if events != Events::Told {
            self.look_at_all();
        }
    }

    fn beat(&mut self) {
        let now = Instant::now();
        if now < self.next_beat {
            return;
        }
        self.next_beat = now + BEAT;
        if self.folder.follow_path() {
            self.look_at_all();
        }
    }

    /// Nothing is known of how the files came to be what they are.
    fn look_at_all(&mut self) {
        let now = Instant::now();
        for plugin in self.plugins.values_mut() {
            plugin.look_again(now);
        }
        let folder = &self.folder;
        for (file, _) in folder.names().iter().filter_map(|name| part_of(name)) {
            let plugin = |file: &OsString| Plugin::unknown(file, |name| folder.file(name), now);
            self.plugins.entry(file).or_insert_with_key(plugin);
        }
    }

    /// Judges the plugin that is due longest, if one is.
    fn judge_next(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        let due = |plugin: &Plugin| plugin.due(&self.options).filter(|due| *due <= now);
        let next = self.plugins.iter().filter_map(|(file, plugin)| Some((due(plugin)?, file))).min();
        let next = next.map(|(_, file)| file.clone());
        let drops = &self.drops;
        let mut go_on = || !drops.is_closed();
        if let Some((file, plugin)) = next.and_then(|file| self.plugins.get_mut(&file).map(|plugin| (file, plugin))) {
            for drop in plugin.judge(&self.options, now, &mut go_on)? {
                drops.blocking_send(drop).map_err(|_| Stopped)?;
            }
            if plugin.is_nothing() {
                self.plugins.remove(&file);
            }
        }
        if go_on() { Ok(()) } else { Err(Stopped) }
    }
}
