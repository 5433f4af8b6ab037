//! What `synward serve` serves.

mod echo;
mod http;
mod pattern;
mod session;
mod worker;

pub use echo::Echo;
pub use http::Http;
pub use pattern::Pattern;
pub use session::Session;
pub use worker::{Open, Worker};
