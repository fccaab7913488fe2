//! The console is embedded in the binary: what Vite made is looked at anew when it made it anew.

#![allow(clippy::print_stdout, reason = "so build scripts talk to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=console/dist");
}
