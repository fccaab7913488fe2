//! What a file is, by its bytes and by what is said of it. Knows nothing but types.
//!
//! What is said has to be plausible: a picture has to look like one. What a browser could run is
//! never given out as what it is.

/// Bytes of the beginning that are looked at.
pub const HEAD_BYTES: usize = 8 << 10;

/// What is recognised by its first bytes, so that bytes without them are something else.
const RECOGNISED: [&str; 19] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/tiff",
    "application/pdf",
    "application/zip",
    "application/gzip",
    "application/x-7z-compressed",
    "application/vnd.rar",
    "application/x-bzip2",
    "application/x-xz",
    "application/zstd",
    "audio/flac",
    "audio/x-wav",
    "video/mp4",
    "video/webm",
    "application/wasm",
];
/// What nobody needs to send and whoever opens it runs.
const DENIED: [&str; 6] = [
    "application/hta",
    "application/x-ms-shortcut",
    "application/x-ms-installer",
    "application/x-msi",
    "application/x-msdownload",
    "application/x-ms-application",
];
/// What is given out as what it is: nothing in it runs.
const INERT: [&str; 17] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/tiff",
    "application/pdf",
    "application/zip",
    "application/gzip",
    "audio/mpeg",
    "audio/ogg",
    "audio/flac",
    "audio/x-wav",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
];
/// The same of texts.
const INERT_TEXTS: [&str; 4] = [
    "text/plain",
    "text/csv",
    "text/markdown",
    "application/json",
];
/// Other names of the same.
const NAMES: [(&str, &str); 8] = [
    ("image/jpg", "image/jpeg"),
    ("audio/wav", "audio/x-wav"),
    ("audio/wave", "audio/x-wav"),
    ("audio/vnd.wave", "audio/x-wav"),
    ("audio/mp3", "audio/mpeg"),
    ("application/x-gzip", "application/gzip"),
    ("application/x-zip-compressed", "application/zip"),
    ("application/x-rar-compressed", "application/vnd.rar"),
];

const ANYTHING: &str = "application/octet-stream";

/// Whether a text is a type and subtype, with or without parameters.
pub fn is_mime(text: &str) -> bool {
    let token = |part: &str| {
        let of_a_token = |c: char| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c);
        !part.is_empty() && part.chars().all(of_a_token)
    };
    let printable = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    let essence = text.split(';').next().unwrap_or_default().trim();
    printable
        && essence
            .split_once('/')
            .is_some_and(|(one, two)| token(one) && token(two))
}

/// Type and subtype in small letters, under the name that is used here.
fn essence(mime: &str) -> String {
    let essence = mime.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let known = NAMES.iter().find(|(name, _)| *name == essence);
    known.map_or(essence, |(_, name)| name.to_string())
}

fn is_text(essence: &str) -> bool {
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence,
            "application/json"
                | "application/xml"
                | "application/javascript"
                | "application/yaml"
                | "application/toml"
                | "application/x-sh"
        )
}

/// What the first bytes are recognised as; empty for nothing.
pub fn recognise(head: &[u8]) -> String {
    let found = infer::get(head);
    found.map_or(String::new(), |found| essence(found.mime_type()))
}

/// Why a file cannot be what is said of it, if it cannot. `is_utf8` is said of all of it.
pub fn contradiction(declared: &str, recognised: &str, is_utf8: bool) -> Option<String> {
    let said = essence(declared);
    if DENIED.contains(&said.as_str()) {
        return Some(format!("{said} is not accepted"));
    }
    if said == ANYTHING || said == recognised {
        return None;
    }
    if !recognised.is_empty() {
        let fits = fits(&said, recognised);
        return (!fits).then(|| format!("the bytes are {recognised}, not {said}"));
    }
    if RECOGNISED.contains(&said.as_str()) {
        return Some(format!("the bytes are not {said}"));
    }
    let other_charset = declared.to_ascii_lowercase().contains("charset=")
        && !declared.to_ascii_lowercase().contains("utf-8");
    if is_text(&said) && !is_utf8 && !other_charset {
        return Some(format!("the bytes are not {said} in UTF-8"));
    }
    None
}

/// Whether what is recognised is what is said under another name, or what that is made of.
fn fits(said: &str, recognised: &str) -> bool {
    let one_of = |prefixes: &[&str]| prefixes.iter().any(|prefix| said.starts_with(prefix));
    let office = [
        "application/vnd.openxmlformats",
        "application/vnd.oasis",
        "application/vnd.ms-",
        "application/msword",
    ];
    match recognised {
        "application/zip" => {
            one_of(&office)
                || said.ends_with("+zip")
                || matches!(
                    said,
                    "application/java-archive" | "application/vnd.android.package-archive"
                )
        }
        "application/gzip" => said.contains("tar") || said.ends_with("+gzip"),
        "text/html" | "text/xml" => is_text(said),
        "text/x-shellscript" => is_text(said),
        _ if one_of(&office) => one_of_office(recognised) || recognised.contains("ole"),
        _ if said == "application/zip" => one_of_office(recognised),
        _ => {
            let sounds = |mime: &str| mime.starts_with("audio/") || mime.starts_with("video/");
            // One container for both, and many names for it.
            sounds(said) && sounds(recognised)
        }
    }
}

fn one_of_office(mime: &str) -> bool {
    mime.starts_with("application/vnd.openxmlformats")
        || mime.starts_with("application/vnd.oasis")
        || mime.starts_with("application/vnd.ms-")
        || mime.starts_with("application/msword")
        || mime == "application/epub+zip"
}

/// As what a file is given out.
pub fn given_out(declared: &str, recognised: &str) -> String {
    let said = essence(declared);
    if INERT.contains(&recognised) {
        return recognised.to_string();
    }
    let is_plain = recognised.is_empty() && INERT_TEXTS.contains(&said.as_str());
    match is_plain {
        true if said.starts_with("text/") && !declared.contains("charset=") => {
            format!("{said}; charset=utf-8")
        }
        true => said,
        false => ANYTHING.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0";
    const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const HTML: &[u8] = b"<!DOCTYPE html><html><script>alert(1)</script></html>";
    const PDF: &[u8] = b"%PDF-1.7\n";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0";

    fn accepts(declared: &str, bytes: &[u8]) -> bool {
        let is_utf8 = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
        contradiction(declared, &recognise(bytes), is_utf8).is_none()
    }

    #[test]
    fn what_is_said_has_to_be_plausible() {
        for (declared, bytes) in [
            ("image/png", PNG),
            ("IMAGE/PNG", PNG),
            ("application/octet-stream", PNG),
            ("application/octet-stream", EXE),
            ("application/pdf", PDF),
            ("application/zip", ZIP),
            ("application/vnd.oasis.opendocument.text", ZIP),
            ("text/html", HTML),
            ("text/plain", HTML),
            ("text/plain", b"hello"),
            ("text/plain", b""),
            ("text/plain; charset=utf-16", b"\xff\xfeh\0i\0"),
            ("application/json", b"{}"),
            (
                "image/svg+xml",
                b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            ),
            ("application/x-our-own", b"\0\x01\x02"),
        ] {
            assert!(accepts(declared, bytes), "{declared} {bytes:?}");
        }
        for (declared, bytes) in [
            ("image/png", PDF),
            ("image/png", EXE),
            ("image/png", ELF),
            ("image/png", b"hello".as_slice()),
            ("image/png", b""),
            ("application/pdf", HTML),
            ("text/plain", PNG),
            ("text/plain", EXE),
            ("text/plain", b"\0\x01\x02"),
            ("application/json", b"\xff\xfe"),
            ("application/x-msdownload", EXE),
        ] {
            assert!(!accepts(declared, bytes), "{declared} {bytes:?}");
        }
    }

    #[test]
    fn what_a_browser_could_run_is_not_given_out_as_what_it_is() {
        let given = |declared: &str, bytes: &[u8]| given_out(declared, &recognise(bytes));
        assert_eq!(given("image/png", PNG), "image/png");
        assert_eq!(given("application/octet-stream", PDF), "application/pdf");
        assert_eq!(given("text/plain", b"hello"), "text/plain; charset=utf-8");
        assert_eq!(given("application/json", b"{}"), "application/json");
        for (declared, bytes) in [
            ("text/html", HTML),
            ("text/plain", HTML),
            ("text/html", b"hello".as_slice()),
            (
                "image/svg+xml",
                b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            ),
            ("application/javascript", b"alert(1)"),
            ("application/octet-stream", EXE),
            ("application/octet-stream", ELF),
            ("application/x-our-own", b"x"),
        ] {
            assert_eq!(given(declared, bytes), ANYTHING, "{declared}");
        }
    }

    #[test]
    fn a_type_has_two_parts() {
        for good in ["text/plain", "text/plain; charset=utf-8", "image/svg+xml"] {
            assert!(is_mime(good), "{good}");
        }
        for bad in [
            "",
            "text",
            "text/",
            "/plain",
            "te xt/plain",
            "text/plain\r\nx: y",
            "tëxt/plain",
        ] {
            assert!(!is_mime(bad), "{bad:?}");
        }
    }
}
