//! What Synward is measured with: the flood generator, honest clients at a fixed pace and in a closed loop, a herd of idle
//! connections, web servers and proxies of others, and the kernel's TCP as the one to beat.

mod affinity;
pub mod bare;
pub mod bulk;
mod clock;
pub mod completion;
pub mod core_share;
pub mod crowd;
mod descriptors;
pub mod echo_frames;
pub mod far_end;
pub mod flood;
pub mod herd;
pub mod kernel_server;
pub mod load;
mod object;
pub mod paced;
pub mod peers;
pub mod processes;
mod quantile;
pub mod report;
pub mod shield_cost;
pub mod syn_cost;
pub mod validator;

pub use affinity::pin;
pub use quantile::{Quantiles, median, median_and_range};
