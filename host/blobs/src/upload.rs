//! Uploads: an operator gives a blob in parts, in order, and goes on where a lost connection broke it off.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use forebay_proto::blob::{BLOB_BYTES_MAX, BlobInfo, Digest};

use crate::{
    disk::{UPLOAD_SUFFIX, found, remove},
    error::{BlobError, failed},
    hash::sum,
    store::{BlobStore, Shared},
};

/// Uploads that are not whole. The oldest are dropped for new ones: their operators begin again, or have given up.
pub const UPLOADS_MAX: usize = 16;

/// How far an upload is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Uploaded {
    /// The first so many bytes are here: the next part begins there.
    Held(u64),
    /// All are here, and it is a blob.
    Whole(BlobInfo),
}

impl BlobStore {
    /// Takes the part of a blob of `bytes` bytes that begins at byte `at`. A part that does not begin where the one
    /// before ended changes nothing: the answer says where to go on. So an empty part asks how far it is.
    ///
    /// Parts outlast the process, but perhaps not a loss of power; then the whole shows it, as
    /// [`BlobError::Mismatch`]. Once the answer is [`Uploaded::Whole`] the blob outlasts that, too.
    ///
    /// # Errors
    /// [`BlobError::TooLong`], [`BlobError::Overrun`]; [`BlobError::Mismatch`] when it is whole, and what came is
    /// dropped; [`BlobError::NoRoom`], [`BlobError::Io`], and what came before is kept.
    ///
    /// # Cancel safety
    /// The part is taken or not; ask how far it is.
    pub async fn upload(&self, digest: &Digest, bytes: u64, at: u64, part: Bytes) -> Result<Uploaded, BlobError> {
        if bytes > BLOB_BYTES_MAX {
            return Err(BlobError::TooLong { bytes });
        }
        if at.checked_add(part.len() as u64).is_none_or(|end| end > bytes) {
            return Err(BlobError::Overrun { bytes, at, part: part.len() });
        }
        let digest = *digest;
        let turn = self.shared.busy.turn(&self.shared.folders.upload(&digest)).await;
        self.work_in_turn(turn, move |shared| shared.take_part(&digest, bytes, at, &part)).await
    }
}

impl Shared {
    fn take_part(&self, digest: &Digest, bytes: u64, at: u64, part: &[u8]) -> Result<Uploaded, BlobError> {
        let path = self.folders.upload(digest);
        if let Some(info) = self.held_already(digest)? {
            remove(&path).map_err(failed("remove", &path))?;
            return Ok(Uploaded::Whole(info));
        }
        let file = self.open_upload(&path).map_err(failed("open", &path))?;
        let mut held = file.metadata().map_err(failed("read", &path))?.len();
        if held > bytes {
            // Of another length, or somebody wrote to it: no part of it can be relied on.
            file.set_len(0).map_err(failed("write", &path))?;
            held = 0;
        }
        if at == held {
            file.write_all_at(part, at).map_err(failed("write", &path))?;
            held += part.len() as u64;
        }
        if held == bytes { self.end_upload(&path, &file, digest) } else { Ok(Uploaded::Held(held)) }
    }

    /// A blob that is here need not be uploaded; its age begins anew as if it had been.
    fn held_already(&self, digest: &Digest) -> Result<Option<BlobInfo>, BlobError> {
        let mut info = None;
        self.folders.touch(digest, |file| {
            let summed = sum(file)?;
            info = (summed.whole == *digest).then(|| summed.info());
            Ok(info.is_some())
        })?;
        Ok(info)
    }

    fn open_upload(&self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true).mode(0o600);
        if let Some(file) = found(options.open(path))? {
            return Ok(file);
        }
        let _names = self.folders.names();
        self.drop_oldest_uploads()?;
        options.create(true).truncate(false).open(path)
    }

    /// Until there is room for one more. One that a part is being written to is not old.
    fn drop_oldest_uploads(&self) -> io::Result<()> {
        let mut uploads = Vec::new();
        for entry in fs::read_dir(&self.folders.partial)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(UPLOAD_SUFFIX) {
                uploads.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        uploads.sort();
        let too_many = (uploads.len() + 1).saturating_sub(UPLOADS_MAX);
        let not_busy = uploads.into_iter().filter_map(|(_, path)| Some((self.busy.try_turn(&path)?, path)));
        not_busy.take(too_many).try_for_each(|(_turn, path): (_, PathBuf)| {
            tracing::warn!(path = %path.display(), "the upload is dropped: there are {UPLOADS_MAX} newer ones");
            remove(&path)
        })
    }

    fn end_upload(&self, path: &Path, file: &File, digest: &Digest) -> Result<Uploaded, BlobError> {
        let summed = File::open(path).and_then(sum).map_err(failed("read", path))?;
        if summed.whole != *digest {
            remove(path).map_err(failed("remove", path))?;
            return Err(BlobError::Mismatch { expected: *digest, found: summed.whole });
        }
        self.folders.settle(path, file, digest)?;
        Ok(Uploaded::Whole(summed.info()))
    }
}
