//! `ekho openapi`: the description of the HTTP interface, without a relay.

use std::io;

use clap::Args;

use super::{CliError, print};
use crate::api::openapi;

const EXAMPLES: &str = "\
Examples:
  ekho openapi > openapi.json

A running relay serves the same at /openapi.json, and a page to browse it at /docs/.";

/// Print the description of the HTTP interface, in OpenAPI 3.1.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct OpenapiArgs {}

pub(super) fn run(_args: &OpenapiArgs) -> Result<(), CliError> {
    let text = openapi::text().map_err(io::Error::from)?;
    print(text.trim_end())
}
