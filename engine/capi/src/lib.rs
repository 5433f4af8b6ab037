//! The engine's sockets for C, with POSIX signatures and errno.
//!
//! `synward.h` is written from the declarations in `config` and `abi`; `docs/c.md` is the manual. From the outside in:
//!
//! * `abi` is what C calls. It turns pointers into memory of the `caller` and nothing else; no panic gets past it.
//! * `descriptors` says what a number stands for: an engine, a socket or an epoll instance.
//! * `engine` holds what threads share, and lets those wait that have to; `stepped`, `frames`, `threaded` and `interface`
//!   are the ways in which an engine is driven.
//! * `life`, `transfer`, `options`, `poll` and `epoll` are the calls themselves, in Linux's order of checks.
//!
//! Unsafe code is in `caller`, whose invariant stands at its top, and in `abi`, which passes on what C promised.

pub mod abi;
mod address;
mod caller;
pub mod config;
mod control;
mod descriptors;
mod engine;
mod epoll;
mod errno;
mod frames;
mod interface;
mod life;
mod network;
mod options;
mod poll;
mod ports;
mod settings;
mod socket;
mod stepped;
mod tcp_info;
mod threaded;
mod transfer;
