//! Files that a model may send and save: those of one folder that whoever starts the server names, and
//! nothing outside it. What messages say must not make a model give away or overwrite other files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use ekho_client::{EkhoAgentClient, EkhoError};
use rustix::fs::OFlags;

use crate::sniff;

/// The largest file that is sent; relays usually take less.
const FILE_MAX_BYTES: u64 = 64 << 20;

/// A folder that the model may use.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

fn refused(path: &str, why: impl std::fmt::Display) -> EkhoError {
    EkhoError::InvalidArgument(format!("{path}: {why}"))
}

/// The same whether there is nothing or something that is not to be reached: what there is outside
/// the folder is not told either.
fn not_here(path: &str) -> EkhoError {
    refused(path, "not there, or not in the folder for files")
}

impl Files {
    /// The folder, which must exist.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let root = folder.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is no folder", root.display()),
            ));
        }
        Ok(Files { root })
    }

    /// Uploads a file; its attachment's id.
    pub(super) async fn send(
        &self,
        agent: &EkhoAgentClient,
        path: &str,
    ) -> Result<String, EkhoError> {
        let (files, path) = (self.clone(), path.to_owned());
        let (name, bytes) = apart(move || files.read(&path)).await?;
        let mime = mime_of(&bytes);
        Ok(agent.upload_attachment(&name, &mime, &bytes).await?.id)
    }

    /// Saves bytes under a path at which there is nothing yet.
    pub(super) async fn save(&self, path: &str, bytes: Bytes) -> Result<(), EkhoError> {
        let (files, path) = (self.clone(), path.to_owned());
        apart(move || files.create(&path, |file| file.write_all(&bytes))).await
    }

    /// Where a path within the folder leads, links followed.
    fn inside(&self, path: &str) -> Result<PathBuf, EkhoError> {
        let found = fs::canonicalize(self.root.join(path)).ok();
        let found = found.filter(|found| found.starts_with(&self.root));
        found.ok_or_else(|| not_here(path))
    }

    /// The name of a file, and what is in it.
    fn read(&self, path: &str) -> Result<(String, Vec<u8>), EkhoError> {
        let found = self.inside(path)?;
        let failed = |error: io::Error| refused(path, error);
        let mut options = OpenOptions::new();
        // What has become a link meanwhile is not followed, and a pipe does not wait for its writer.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        options.read(true).custom_flags(flags.cast_signed());
        let file = options.open(&found).map_err(failed)?;
        let is_file = file.metadata().map_err(failed)?.is_file();
        let mut bytes = Vec::new();
        if is_file {
            let mut file = file.take(FILE_MAX_BYTES + 1);
            file.read_to_end(&mut bytes).map_err(failed)?;
        }
        if !is_file || bytes.len() as u64 > FILE_MAX_BYTES {
            let why = format!("not a file of at most {FILE_MAX_BYTES} bytes");
            return Err(refused(path, why));
        }
        let name = found.file_name().unwrap_or_default().to_string_lossy();
        Ok((name.into_owned(), bytes))
    }

    /// Makes a file and fills it; where that fails, there is none.
    fn create(
        &self,
        path: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), EkhoError> {
        let given = Path::new(path);
        let Some(Component::Normal(name)) = given.components().next_back() else {
            return Err(refused(path, "no name of a file"));
        };
        let folder = given.parent().unwrap_or(Path::new(""));
        let folder = self.inside(&folder.to_string_lossy());
        let folder = folder.map_err(|_| not_here(path))?;
        let target = folder.join(name);
        let failed = |error: io::Error| refused(path, error);
        // What is there, also a link, is not written over.
        let mut file = File::create_new(&target).map_err(failed)?;
        // Some disks say only then that they are full.
        let filled = fill(&mut file).and_then(|()| file.sync_all());
        filled.map_err(|error| match fs::remove_file(&target) {
            Ok(()) => failed(error),
            Err(also) => refused(path, format!("{error}; what was saved is left: {also}")),
        })
    }
}

/// Away from the threads that answer, and to its end even if nobody waits for it any more.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EkhoError> + Send + 'static,
) -> Result<T, EkhoError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(EkhoError::InvalidArgument(format!("files: {error}"))))
}

/// What the bytes are, as far as the relay could say something against it.
fn mime_of(bytes: &[u8]) -> String {
    let recognised = sniff::recognise(&bytes[..bytes.len().min(sniff::HEAD_BYTES)]);
    if !recognised.is_empty() {
        return recognised;
    }
    let is_text = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
    let mime = if is_text {
        "text/plain"
    } else {
        "application/octet-stream"
    };
    mime.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn nothing_outside_the_folder_is_reached() {
        let above = tempfile::tempdir().unwrap();
        let root = above.path().join("files");
        fs::create_dir(&root).unwrap();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(above.path().join("secret"), "secret").unwrap();
        fs::write(root.join("own"), "own").unwrap();
        std::os::unix::fs::symlink(above.path(), root.join("out")).unwrap();
        std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
        let files = Files::new(&root).unwrap();
        let outside = above.path().join("secret");
        for path in [
            "../secret",
            "../missing",
            "out/secret",
            "out/missing",
            "link",
            "missing",
            outside.to_str().unwrap(),
        ] {
            let why = files.read(path).unwrap_err().to_string();
            assert!(why.ends_with("not in the folder for files"), "{why}");
        }
        assert_eq!(files.read("sub/../own").unwrap().1, b"own");

        for path in [
            "../new",
            "out/new",
            "link",
            "own",
            "",
            "..",
            "sub",
            "missing/new",
        ] {
            assert!(files.save(path, "x".into()).await.is_err(), "{path}");
        }
        assert!(!above.path().join("new").exists());
        assert_eq!(fs::read(outside).unwrap(), b"secret");
        for path in ["new", "sub/new"] {
            files.save(path, "x".into()).await.unwrap();
            assert_eq!(fs::read(root.join(path)).unwrap(), b"x");
        }
        assert!(Files::new(&root.join("own")).is_err());
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path()).unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let large = File::create(folder.path().join("large")).unwrap();
        large.set_len(FILE_MAX_BYTES + 1).unwrap();
        for path in ["sub", "pipe", "large"] {
            let why = files.read(path).unwrap_err().to_string();
            assert!(why.contains("not a file of at most"), "{why}");
        }
        large.set_len(FILE_MAX_BYTES).unwrap();
        assert!(files.read("large").is_ok());
    }

    #[test]
    fn a_save_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path()).unwrap();
        let full = |file: &mut File| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        assert!(files.create("new", full).is_err());
        assert!(!folder.path().join("new").exists());
        fs::write(folder.path().join("own"), "own").unwrap();
        assert!(files.create("own", full).is_err());
        assert_eq!(fs::read(folder.path().join("own")).unwrap(), b"own");
    }

    #[test]
    fn what_a_file_is_is_said_so_that_the_relay_agrees() {
        for (bytes, mime) in [
            (b"hello".as_slice(), "text/plain"),
            (b"a\0b", "application/octet-stream"),
            (b"\x89PNG\r\n\x1a\n0000", "image/png"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "audio/x-wav"),
            (b"\xff\x00\xfe", "application/octet-stream"),
        ] {
            assert_eq!(mime_of(bytes), mime);
            let is_utf8 = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
            let against = sniff::contradiction(mime, &sniff::recognise(bytes), is_utf8);
            assert_eq!(against, None);
        }
    }
}
