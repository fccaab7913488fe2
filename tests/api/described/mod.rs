//! The description at /openapi.json, held against what the relay does
//!
//! - `document`: the description, read
//! - `asking`: requests made from it, with the right credentials
//! - `bad_input`: everything that is not right is refused as described
//! - `page`: the page to browse it

mod asking;
mod bad_input;
mod document;
mod page;
