//! The operator console: what Vite made of `console/`, embedded in the binary. Knows files, and
//! nothing of who asks for them.

use std::borrow::Cow;

use rust_embed::RustEmbed;

/// Empty where the console was not built before the binary.
#[derive(RustEmbed)]
#[folder = "console/dist"]
struct Files;

/// The page that everything else is loaded from.
const PAGE: &str = "index.html";
/// Here names carry a hash of what is in them.
const HASHED: &str = "assets/";

/// A file of the console.
pub struct File {
    /// What is in it.
    pub bytes: Cow<'static, [u8]>,
    /// Its media type.
    pub media_type: String,
    /// Changes whenever what is in it does; in quotes.
    pub etag: String,
    /// Whether what is in it never changes under this name.
    pub is_immutable: bool,
    /// Whether it is the page.
    pub is_page: bool,
}

/// The file at a path below `/ui/`. Paths that name no file are places in the console, which its
/// page finds by itself; none where a file is missing, or the console as a whole.
pub fn file(path: &str) -> Option<File> {
    let (name, found) = match Files::get(path) {
        Some(found) => (path, found),
        None if path.starts_with(HASHED) => return None,
        None => (PAGE, Files::get(PAGE)?),
    };
    Some(File {
        media_type: found.metadata.mimetype().to_string(),
        etag: format!("\"{}\"", hex::encode(found.metadata.sha256_hash())),
        bytes: found.data,
        is_immutable: name.starts_with(HASHED),
        is_page: name == PAGE,
    })
}
