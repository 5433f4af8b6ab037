//! The library as C programs use it: compiled against the header by the C compiler of the machine, with every warning an error.

mod compiler;
mod header;
mod oracle;
mod stepped;
mod threaded;
