//! The front end on top of the engine: the server, the tools that look into it, the test bed's command line, the demo.

pub mod app;
pub mod balance;
pub mod check;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod front;
pub mod lab;
mod log_limit;
pub mod metrics;
pub mod ports;
pub mod proxy;
pub mod run;
pub mod serve;
pub mod served;
pub mod shield;
