//! The relay as a server: its pages, its limits, its log, its start and its end.

mod console;
mod extension;
mod idle;
mod limits;
mod logs;
mod pages;
mod raw;
mod rotation;
mod routes;
mod shutdown;
mod startup;
pub mod tls;
