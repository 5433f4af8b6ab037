//! Seeing into a running server: HTTP and JSON on a Unix socket.

pub mod client;
pub mod report;
pub mod server;
pub mod table;
