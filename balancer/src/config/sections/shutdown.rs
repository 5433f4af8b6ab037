//! `[shutdown]`

use crate::config::quantities::duration;
use crate::config::section::Section;
use crate::config::settings::ShutdownConfig;
use std::time::Duration;

const DRAIN: Duration = Duration::from_secs(30);
const LONGEST_DRAIN: Duration = Duration::from_hours(24);

pub(super) fn read(section: Option<Section<'_>>) -> ShutdownConfig {
    let mut config = ShutdownConfig { drain: DRAIN };
    if let Some(mut section) = section {
        config.drain = section.or("drain", &duration(Duration::ZERO..=LONGEST_DRAIN), DRAIN);
        section.finish();
    }
    config
}
