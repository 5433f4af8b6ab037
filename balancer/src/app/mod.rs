//! What `synward serve` serves.

mod chargen;
mod discard;
mod echo;
mod http;
mod pattern;
mod session;
mod worker;

pub use chargen::Chargen;
pub use discard::Discard;
pub use echo::Echo;
pub use http::Http;
pub use pattern::Pattern;
pub use session::Session;
pub use worker::{Open, Worker};
